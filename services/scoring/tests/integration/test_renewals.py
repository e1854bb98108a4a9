"""Renewals from events of subscriptions to probabilities with reasons, in segments and events; gone when asked."""

import uuid
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from rapport.scoring.v1 import model_pb2

import docstore
from chassis import clock
from docstore import explain
from docstore.aliases import AliasChange
from docstore.blobs import BlobStore
from scoring.domain.happenings import id_of, order_of
from scoring.domain.subscriptions import CANCELLED, RENEWED, STARTED
from scoring.jobs.reproduce import reproduce
from scoring.store import Score, StagedActivity
from scoring.store.activity import packed
from scoring.usecases import people

from . import carrying_out
from .conftest import START, Client, claimed, customer, plant_earlier
from .seen_plots import seen_plots
from .test_scoring_erasing import erased, holding  # noqa: F401 - fixtures

SERVICE = "scoring"
AS_OF = START + timedelta(days=300)
COUNT = 450
Row = tuple[str, datetime, str, str]


def told(client: Client, rows: list[Row]) -> None:
    """Stages events as the worker does. rows: customer, when, what, and of which subscription."""
    events = [
        {"c": name, "e": what, "t": round(when.timestamp() * 1000), "i": id_of("shop", f"{name}{when}{what}{key}")}
        for name, when, what, key in rows
    ]
    keys = [{"place": place, "subscription": order_of(row[3])} for place, row in enumerate(rows) if row[3]]
    with client.context():
        StagedActivity.rows().insert_many([{"uid": uuid.uuid4().hex, **packed(events, clock.real_now(), (), keys)}])


def sold() -> list[Row]:
    """Contracts of a month; many leave at first, few later. The first began 2 years ago and was renewed each month."""
    rng = np.random.default_rng(2)
    found: list[Row] = []
    for number in range(COUNT):
        name, leaves = customer(), rng.beta(0.3, 0.7) if number else 0.0
        at = AS_OF - timedelta(days=rng.uniform(0, 600) if number else 735)
        found.append((name, at, STARTED, "plan"))
        while at < AS_OF and rng.random() >= leaves:
            at += timedelta(days=30)
            found.append((name, at, RENEWED, "plan"))
        found.append((name, at + timedelta(days=rng.uniform(1, 29)), CANCELLED, "plan"))
    return [row for row in found if row[1] < AS_OF]


carried_out = partial(carrying_out.carried_out, kind="KIND_RENEWAL", as_of=AS_OF)
"""A job of the tenant, whose program runs in this process."""


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return sold()


@pytest.fixture(scope="module")
def loyal(rows: list[Row]) -> str:
    return rows[0][0]


@pytest.fixture(scope="module")
def objector(rows: list[Row]) -> str:
    """Somebody whose contract runs."""
    return next(name for name, when, what, _ in reversed(rows) if what == STARTED and AS_OF - when < timedelta(days=9))


@pytest.fixture(scope="module")
def made(channels: Any, settings: Any, store: BlobStore, rows: list[Row], objector: str) -> tuple[Client, Any]:
    """A tenant with renewals, and the job that told them. Two customers had some of an earlier job."""
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    client.objects(objector)
    told(client, rows)
    plant_earlier(client, renewal={"probability": 0.1, "job": "old"})
    job = carried_out(client, settings, store)
    client.keep()
    return client, job


@pytest.fixture(scope="module")
def client(made: tuple[Client, Any]) -> Client:
    """What fixtures that look into a tenant are to look into."""
    return made[0]


def test_who_has_a_contract_is_told_and_who_objects_is_not(made, objector) -> None:
    client, job = made
    scored = {name: scores.renewal for name, scores in client.scored().items() if scores.HasField("renewal")}
    assert job.message.startswith(f"{len(scored)} customers are told by {job.model} whether they renew."), job.message
    assert (job.refused_count, job.scored_count) == (1, len(scored))
    assert 100 < len(scored) < COUNT
    assert objector not in scored
    model = client.GetModel(name=job.model)
    assert (model.kind, model.state) == (model_pb2.Model.KIND_RENEWAL, model_pb2.Model.STATE_CHAMPION)
    assert {gate.name for gate in model.gates} == {"minimum_data", "consenting_share", "baseline", "calibration"}
    assert model.parameters["renewals"]["periods"][0]["period"] == "month"
    assert model.metrics["better"]["low"] > 0


def test_a_start_of_two_years_ago_counts_and_everything_told_names_its_ground(made, loyal) -> None:
    client, job = made
    renewal = client.GetCustomerScores(name=f"{loyal}/scores").renewal
    assert (renewal.renewal_count, renewal.subscription_count, renewal.period_days) == (24, 1, 30)
    assert renewal.renewal_due_time.ToDatetime() == (AS_OF + timedelta(days=15)).replace(tzinfo=None)
    assert 0.8 < renewal.probability_low < renewal.probability < renewal.probability_high < 1
    assert 9 < renewal.expected_renewals_low < renewal.expected_renewals < renewal.expected_renewals_high < 12
    assert renewal.reasons[0].startswith("came through 24 renewals; of such 9")
    assert (renewal.model, renewal.scoring_job, renewal.fallback) == (job.model, job.name, False)
    assert renewal.decision.startswith("decisions/")
    assert renewal.next_refresh_time.ToSeconds() - renewal.as_of.ToSeconds() == 7 * 86_400
    assert renewal.age.seconds >= 0


def test_it_is_made_again_from_what_the_job_kept(made, settings, loyal, objector) -> None:
    client, job = made
    kept = carrying_out.kept_of(client, settings, job.name)
    found = reproduce(kept, loyal)
    assert found is not None
    assert found.equal, (found.recorded, found.computed)
    assert found.computed["renewal_probability"] == client.scored()[loyal].renewal.probability
    assert reproduce(kept, objector) is None


def test_the_card_shows_retention_by_tenure_real_and_told(made, tmp_path) -> None:
    client, job = made
    card = client.GetModelCard(name=job.model, format="markdown").data.decode()
    assert "## Renewals" in card
    assert "| 0 |" in card
    assert "Its log loss of" in card
    page = client.GetModelCard(name=job.model).data.decode()
    assert page.count('class="band') >= 2
    ((title, (width, marks)),) = seen_plots(page, tmp_path).items()
    assert title == "Share that renews, contracts of a month"
    assert width > 450
    assert marks >= 4, "two lines and what names them"


def test_it_is_told_makes_segments_and_replaces_what_an_earlier_job_told(made, loyal) -> None:
    client, _ = made
    events = [event for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated"]
    states = {state.customer: state for event in events for state in event.renewals}
    scored = {name: scores.renewal for name, scores in client.scored().items() if scores.HasField("renewal")}
    assert {name: state.probability for name, state in states.items()} == {
        name: renewal.probability for name, renewal in scored.items()
    }
    assert states[loyal].renewal_due_time == scored[loyal].renewal_due_time
    assert sum(len(event.removed_renewal_customers) for event in events) == 1, "who has other scores keeps them"
    assert sum(len(event.removed_customers) for event in events) == 1
    client.segment("renewal_probability < 0.7", "at-risk")
    at_risk = {name for name, renewal in scored.items() if renewal.probability < 0.7}
    assert client.members("at-risk") == at_risk
    assert at_risk
    assert loyal not in at_risk


def test_an_objection_a_merge_and_an_erasure_take_it_away(client, rows, loyal, holding, erased) -> None:  # noqa: F811
    others = sorted(name for name, scores in client.scored().items() if scores.HasField("renewal") and name != loyal)
    left, member, gone = others[:3]
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(left, "consents/c", AS_OF))
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(member, loyal, (1, 0))))
    assert holding(gone.partition("/")[2]) >= {"scores", "scoringJobs", "features"}
    done = erased(gone)
    assert done["subscriptionEvents"][0] == sum(row[0] == gone for row in rows)
    assert holding(gone.partition("/")[2]) == set()
    assert not {left, member, gone} & client.scored().keys()
    assert client.scored()[loyal].HasField("renewal")


def test_too_little_is_told_one_rate_and_nobody_nothing(channels, settings, store) -> None:
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    job = client.CreateScoringJob(scoring_job={"kind": "KIND_RENEWAL", "as_of": AS_OF})
    waiting = claimed(client)
    with client.context():
        carrying_out.finish(waiting, settings, store)
    assert "send `Subscription Started` events first" in client.GetScoringJob(name=job.name).message
    some, alone = customer(), customer()
    told(client, [(some, AS_OF + timedelta(days=1), STARTED, "")])
    job = client.CreateScoringJob(scoring_job={"kind": "KIND_RENEWAL", "as_of": AS_OF})
    waiting = claimed(client)
    with client.context():
        carrying_out.finish(waiting, settings, store)
    assert client.GetScoringJob(name=job.name).message == (
        "No events of subscriptions are known up to that instant: choose a later as_of."
    )
    told(client, [(some, AS_OF - timedelta(days=day), RENEWED if day < 70 else STARTED, "") for day in (70, 40, 10)])
    told(client, [(alone, AS_OF - timedelta(days=90), STARTED, ""), (alone, AS_OF - timedelta(days=80), CANCELLED, "")])
    job = carried_out(client, settings, store)
    assert job.message.startswith("1 customers are told one rate for all: 1 contracts were not renewed"), job.message
    assert "the churn model needs 30" in job.message
    renewal = client.GetCustomerScores(name=f"{some}/scores").renewal
    assert (renewal.fallback, renewal.renewal_count) == (True, 2)
    assert "of all contracts" in renewal.reasons[0]
    told(client, [(some, AS_OF - timedelta(days=5), CANCELLED, "")])
    job = carried_out(client, settings, store)
    assert job.message.startswith("Nobody has a subscription that runs"), job.message
    assert not client.scored()


def test_what_a_job_of_renewals_does_not_take_is_refused(client) -> None:
    for field, value in (("horizon_weeks", 13), ("annual_discount_basis_points", 100), ("task", "TASK_TRAIN")):
        reason, _, names = client.refused("CreateScoringJob", scoring_job={"kind": "KIND_RENEWAL", field: value})
        assert (reason, names) == ("INVALID_SCORING_JOB", [f"scoring_job.{'kind' if field == 'task' else field}"])


def test_its_queries_have_their_index(client) -> None:
    with client.context():
        explain.assert_indexed(Score, {"renewal.job": {"$gt": "", "$ne": "new"}}, limit=500, max_keys=600)
