"""The features of one customer, as they are asked for: those that a job writes of everybody, up to the last event."""

import math
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest
from rapport.scoring.v1 import customer_features_pb2

import docstore
from chassis import clock
from chassis.errors import Unavailable
from docstore import aliases
from docstore.aliases import AliasChange
from scoring import feature_specs, parquet
from scoring.features.declared import FEATURES
from scoring.jobs import features
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import BackfillSpec, FeatureJobSpec
from scoring.usecases import customer_features, evaluations, feature_tables, people

from .conftest import START, Client, customer
from .test_activity_files import event, heard
from .test_job_tasks import rows
from .what_if import asked

SERVICE = "scoring"
NOW = START + timedelta(days=310, hours=13)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def at(monkeypatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.fixture
def told(client: Client, settings, store):
    def of(name: str, **fields: bool):
        return asked(client, settings, store, "GetCustomerFeatures", name=f"{name}/features", **fields)

    return of


def test_what_is_told_of_one_is_what_a_job_writes_of_everybody(client, settings, store, told, tmp_path: Path) -> None:
    client.profiling()
    anna, member, bert, elsewhere = (customer() for _ in range(4))
    heard(
        client,
        event(anna, "Order Completed", NOW - 40 * DAY, "m1", 5_000, order_id="o1"),
        event(anna, "Order Refunded", NOW - 2 * DAY, "m2", 1_250, order_id="o1"),
        event(member, "Order Completed", NOW - 9 * DAY, "m3", 700, order_id="o2"),
        event(member, "Order Completed", NOW, "m4", 9_900, order_id="o3"),
        event(anna, "Page Viewed", NOW - DAY, "m5"),
        event(anna, "Page Viewed", NOW - DAY, "m5"),
        event(bert, "Page Viewed", NOW + DAY, "m6"),
        event(bert, "Page Viewed", NOW - 3 * DAY, "m7"),
    )
    with client.context():
        docstore.in_transaction(lambda: aliases.apply([AliasChange(member, anna, (2, 0))]))
    client.keep()
    found = {name: told(name) for name in (member, bert)}
    assert (found[member].name, found[member].customer) == (f"{anna}/features", anna), "who stands for the profile"
    assert (found[member].currency, found[member].decision.partition("/")[0]) == ("EUR", "decisions")
    of_anna = {each.name: each for each in found[member].features}
    assert (of_anna["revenue_90d"].value, of_anna["events_30d"].value) == (44.5, 3)
    kind = customer_features_pb2.Feature.KIND_MONEY
    declared = of_anna["revenue_90d"]
    assert (declared.kind, declared.window_days, declared.owner, declared.personal) == (kind, 90, "scoring", True)
    assert declared.source_events == ["Order Completed", "Order Refunded"]

    with client.context():
        given, columns, _ = feature_tables.known(settings, store, NOW, lambda *_: None)
        (tmp_path / "aliases.parquet").write_bytes(parquet.strings(columns["aliases"]))
    spec = FeatureJobSpec(**given, as_of=NOW, aliases=str(tmp_path / "aliases.parquet"), output=f"file://{tmp_path}")
    features.run(spec, [NOW], Folder(spec.output), Reporter(Folder(spec.output)))
    written = rows(spec.output)
    assert written.keys() == {anna, bert}
    for answer in found.values():
        scale = {feature.name: 100 if feature.value == "money" else 1 for feature in FEATURES}
        values = {
            each.name: each.value * scale[each.name] if each.HasField("value") else None for each in answer.features
        }
        wanted = {name: value for name, value in written[answer.customer].items() if name != "customer"}
        assert values.keys() == wanted.keys()
        assert all(values[name] is wanted[name] is None or math.isclose(values[name], wanted[name]) for name in wanted)
    assert told(elsewhere, refused=True)[0] == "FEATURES_NOT_KNOWN"


def test_who_only_looked_around_has_features_too(client, settings, store, told, tmp_path: Path) -> None:
    client.profiling()
    anna = customer()
    heard(client, event(anna, "Page Viewed", NOW - DAY, "m1"))
    client.keep()
    answer = told(anna)
    assert (answer.currency, {each.value for each in answer.features if each.name == "events_30d"}) == ("", {1})
    with client.context():
        feature_specs.write(settings, store, str(tmp_path), [NOW])
    spec = BackfillSpec.model_validate_json((tmp_path / feature_specs.SPEC).read_text())
    features.run(spec, spec.instants, Folder(spec.output), Reporter(Folder(spec.output)))
    assert {name: row["events_30d"] for name, row in rows(spec.output).items()} == {anna: 1}


def test_of_who_may_not_be_profiled_nothing_is_told(client, told) -> None:
    client.profiling()
    anna, bert = customer(), customer()
    heard(client, *(event(name, "Page Viewed", NOW - DAY, name) for name in (anna, bert)))
    client.keep()
    client.objects(anna)
    assert told(anna, refused=True)[0] == "PROFILING_REFUSED", "consent was asked"
    assert told(bert).features[0].value == 0
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(bert, "consents/c", NOW))
    assert told(bert, refused=True)[0] == "PROFILING_OBJECTED"


def test_a_consent_that_does_not_answer_holds_other_questions_up_for_less_than_their_askers_wait(
    client, settings, store, monkeypatch
) -> None:
    monkeypatch.setattr(customer_features, "_CONSENT_S", 0.2)
    with client.context(), socket.create_server(("127.0.0.1", 0)) as silent:
        upstreams = {"consent": f"dns:///127.0.0.1:{silent.getsockname()[1]}"}
        begin = time.monotonic()
        (answer,) = customer_features.answers(
            settings.model_copy(update={"upstreams": upstreams}), store, [{"customer": customer()}]
        )
        assert time.monotonic() - begin < evaluations.WAIT_S / 2
    assert isinstance(answer, Unavailable)
    assert answer.reason == "CONSENT_UNAVAILABLE"
