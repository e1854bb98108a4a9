"""Events that are no purchases: staged with the others, in files once, gone in time; and features made of them."""

import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rapport.identity.v1 import events_pb2

import docstore
from chassis import clock, money, tenancy
from docstore import explain
from scoring.domain.buckets import BUCKETS, bucket_of
from scoring.domain.happenings import KEPT_DAYS, id_of, order_of
from scoring.features import row
from scoring.features.declared import NAMES
from scoring.features.rates import DayRates
from scoring.handlers import Handlers
from scoring.jobs import features
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import FeatureJobSpec
from scoring.settings import ScoringSettings
from scoring.store import FeatureManifest, Profile, PurchaseHistory, StagedActivity
from scoring.store import activity as staged_activity
from scoring.store.features import ACTIVITY, ORDER_LINES, PURCHASES, SUBSCRIPTIONS, manifest_files, subject_of
from scoring.usecases import activity, evaluating, flushing, histories, preparing, retention, summaries

from .conftest import customer

SERVICE = "scoring"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Tenant:
    """One of its own for each test."""

    tenant: str

    def context(self) -> AbstractContextManager[object]:
        return tenancy.service_context(self.tenant)


@pytest.fixture(scope="module")
def settings(database: ScoringSettings) -> ScoringSettings:
    """Nobody is asked here: no other service is needed."""
    return database


@pytest.fixture
def client() -> Tenant:
    return Tenant(f"t{uuid.uuid4().hex[:12]}")


def event(name: str, what: str, when: datetime, message: str, amount: int | None = None, **fields: str):
    told = events_pb2.TrackedEvent(
        customer=name, event=what, source="shop", message_id=message, **{"kind": "KIND_TRACK"} | fields
    )
    told.event_time.FromDatetime(when)
    if amount is not None:
        told.amount.CopyFrom(money.from_minor(amount, "EUR"))
    return told


def heard(client, *events: events_pb2.TrackedEvent, erased: frozenset[str] = frozenset()) -> None:
    """As the worker hears them; of the envelope only who is erased matters."""

    class Told:
        pass

    told = Told()
    told.erased = erased
    message = events_pb2.EventsTracked(events=events)

    def once() -> None:
        Handlers().note_events(message, told)
        Handlers().gather_purchases(message, told)

    with client.context():
        docstore.in_transaction(once)


def in_files(store) -> list[dict]:
    """Every row of every file that the manifest names, every cell decoded; checks what it says of each."""
    found = []
    for file in manifest_files(ACTIVITY):
        with store.open(subject_of(file["bucket"], ACTIVITY), file["name"]) as opened:
            rows = pq.read_table(opened).to_pylist()
        assert len(rows) == file["rows"]
        assert min(each["event_time"] for each in rows) == file["oldest"]
        assert {bucket_of(each["customer"]) for each in rows} == {file["bucket"]}
        found += rows
    return found


def test_what_is_no_purchase_comes_into_files_without_amounts_and_refunds_with_the_purchases(
    client, settings, store
) -> None:
    anna, gone, now = customer(), customer(), clock.now()
    whole = now.replace(microsecond=now.microsecond // 1000 * 1000)
    heard(
        client,
        event(anna, "Page Viewed", now, "m1"),
        event(anna, "Order Completed", now, "m2", 500, order_id="o1"),
        event(anna, "Order Refunded", now - DAY, "m3", 400, order_id="o1"),
        event(anna, "Order Refunded", now - DAY, "m7", 0, order_id="o1"),
        event(anna, "é" * 100, now - 2 * DAY, "m4"),
        event(anna, "Ancient", now - (KEPT_DAYS + 1) * DAY, "m5"),
        event(gone, "Page Viewed", now, "m6"),
        erased=frozenset((gone,)),
    )
    with client.context():
        assert flushing.flush(settings, store) == 2
        assert activity.flush(settings, store) == 3
        bought = []
        for file in manifest_files():
            assert file["currencies"] == {"EUR": {"rows": 1, "amount_minor": 100}}
            with store.open(subject_of(file["bucket"]), file["name"]) as opened:
                bought += pq.read_table(opened).to_pylist()
        assert summaries.known_purchases() == {"EUR": (1, 100)}
        assert StagedActivity.rows().count({}) == 0
        rows = {each.pop("event"): each for each in in_files(store)}
    assert {each.pop("customer") for each in rows.values()} == {anna}
    assert len({each.pop("id") for each in rows.values()}) == 3
    none = {"order_id": "", "amount_minor": None, "currency": None}
    assert rows == {
        "Page Viewed": {**none, "event_time": whole},
        "é" * 64: {**none, "event_time": whole - 2 * DAY},
        "Order Refunded": {"order_id": "o1", "amount_minor": 0, "currency": "EUR", "event_time": whole - DAY},
    }
    of_order = {"customer": anna, "order_id": "o1", "currency": "EUR"}
    assert sorted(bought, key=lambda each: each["amount_minor"]) == [
        {**of_order, "event_time": whole - DAY, "amount_minor": -400},
        {**of_order, "event_time": whole, "amount_minor": 500},
    ]


def test_a_crash_before_the_manifest_loses_nothing_and_small_files_become_one(
    client, settings, store, monkeypatch
) -> None:
    anna, now = customer(), clock.now()
    heard(client, event(anna, "Page Viewed", now, "first"))

    def die(*_: object) -> None:
        raise SystemExit("killed here")

    with client.context():
        with monkeypatch.context() as patch:
            patch.setattr(flushing, "switch", die)
            with pytest.raises(SystemExit):
                activity.flush(settings, store)
        assert in_files(store) == []
    for number in range(20):
        heard(client, event(anna, "Page Viewed", now - number * DAY, f"m{number}"))
        with client.context():
            activity.flush(settings, store)
    with client.context():
        assert len(in_files(store)) == 21
        assert len(manifest_files(ACTIVITY)) < 16
        assert flushing.remove_orphans(store, older_than=timedelta()) > 16


def test_events_leave_the_files_when_they_are_too_old(client, settings, store, monkeypatch) -> None:
    anna, now = customer(), clock.now()
    heard(client, event(anna, "Old", now - 390 * DAY, "m1"), event(anna, "New", now, "m2"))
    with client.context():
        activity.flush(settings, store)
        assert retention.retire(settings, store) == 0
        monkeypatch.setattr(clock, "now", lambda: now + 39 * DAY)
        assert retention.retire(settings, store) == 0, "a file is not written anew for every event"
        monkeypatch.setattr(clock, "now", lambda: now + 41 * DAY)
        assert retention.retire(settings, store) == 1
        assert [each["event"] for each in in_files(store)] == ["New"]
        monkeypatch.setattr(clock, "now", lambda: now + 431 * DAY)
        assert retention.retire(settings, store) == 1
        assert manifest_files(ACTIVITY) == []


def test_what_happened_to_contracts_is_kept_as_long_as_purchases_with_hashes_of_their_ids(
    client, settings, store, monkeypatch
) -> None:
    anna, gone, now = customer(), customer(), clock.now()
    settings = settings.model_copy(update={"purchases_kept_days": 1_000})
    heard(
        client,
        event(anna, "Page Viewed", now, "m1", subscription_id="plan"),
        event(anna, "Order Completed", now, "m2", 500, order_id="o1"),
        event(anna, "Subscription Started", now - 730 * DAY, "m3", 900, subscription_id="plan"),
        event(gone, "Subscription Started", now, "m4", subscription_id="other"),
        event(anna, "Subscription Renewed", now - DAY, "m5"),
        event(anna, "Subscription Cancelled", now, "m6", kind="KIND_PAGE"),
    )
    with client.context():
        assert staged_activity.forget([gone]) == 1
        activity.flush(settings, store)
        found = {each["event"]: each for each in cells(store, SUBSCRIPTIONS)}
        assert {name: each["subscription"] for name, each in found.items()} == {
            "Subscription Started": order_of("plan"),
            "Subscription Renewed": 0,
        }
        assert found["Subscription Started"]["id"] == id_of("shop", "m3")
        assert {each["customer"] for each in found.values()} == {anna}
        # Beside other activity, which is what features are made of, they are kept no longer than that.
        shown = {"Page Viewed", "Subscription Renewed", "Subscription Cancelled"}
        assert {each["event"] for each in in_files(store)} == shown, "a page of that name ends no contract"
        assert retention.retire(settings, store) == 0
        monkeypatch.setattr(clock, "now", lambda: now + 301 * DAY)
        assert retention.retire(settings, store) == 1
        flushing.remove_orphans(store, older_than=timedelta())
        assert [each["event"] for each in cells(store, SUBSCRIPTIONS)] == ["Subscription Renewed"]


def cells(store, kind: str) -> list[dict]:
    """Every cell of every file of a kind that is there, named or not."""
    found = []
    for bucket in range(BUCKETS):
        for name in store.list(subject_of(bucket, kind)):
            with store.open(subject_of(bucket, kind), name) as opened:
                found += pq.read_table(opened).to_pylist()
    return found


def test_purchases_their_lines_refunds_and_histories_go_when_they_are_too_old(
    client, settings, store, monkeypatch
) -> None:
    anna, bert, now = customer(), customer(), clock.now()
    settings = settings.model_copy(update={"purchases_kept_days": 3_000})

    def bought(name: str, days: float, message: str, what: str = "Order Completed"):
        told = event(name, what, now - days * DAY, message, 500, order_id=f"{name}-{days}")
        told.products.add(product_id="tent", quantity=1)
        return told

    heard(client, bought(anna, 3_100, "m1"), bought(anna, 3_099, "m2", "Order Refunded"), bought(anna, 5, "m3"))
    heard(client, bought(bert, 2_990, "m4"), bought(bert, 2_940, "m5"))
    with client.context():
        assert flushing.flush(settings, store) == 5
        names = {anna, bert}
        assert histories.load(names, "EUR", store, now) == names
        # Files of before it was noted what they hold.
        FeatureManifest.rows().update_many({}, {"$unset": {"files.$[].oldest": ""}})
        assert retention.retire(settings, store) == 2, "purchases and lines of one bucket"
        assert flushing.remove_orphans(store, older_than=timedelta()) == 2
        left = sorted((each["customer"], (now - each["event_time"]).days) for each in cells(store, PURCHASES))
        assert left == sorted([(anna, 5), (bert, 2_990), (bert, 2_940)])
        lines = sorted((each["customer"], (now - each["event_time"]).days) for each in cells(store, ORDER_LINES))
        assert lines == left
        assert summaries.known_purchases() == {"EUR": (3, 1_500)}
        assert {row["customer"] for row in PurchaseHistory.rows().find({})} == {bert}
        assert histories.load({anna}, "EUR", store, now) == {anna}
        told = {row["customer"]: row for row in PurchaseHistory.rows().find({})}
        assert (told[anna]["purchases"], told[anna]["revenue_minor"]) == (1, 500)
        assert retention.retire(settings, store) == 0
        # Who waits to be scored keeps their place, and nothing of before.
        PurchaseHistory.rows().update_one({"customer": bert}, {"$set": {"due": now}})
        monkeypatch.setattr(clock, "now", lambda: now + 41 * DAY)
        assert retention.retire(settings, store) == 2
        flushing.remove_orphans(store, older_than=timedelta())
        kept = [(now - each["event_time"]).days for each in cells(store, PURCHASES) if each["customer"] == bert]
        assert kept == [2_940]
        waiting = PurchaseHistory.rows().find_one({"customer": bert})
        assert (waiting["known"], waiting["due"].replace(microsecond=0)) == (False, now.replace(microsecond=0))
        assert not waiting.keys() & {"days", "oldest_day", "recent", "revenue_minor"}
        explain.assert_indexed(PurchaseHistory, {"oldest_day": {"$lt": 1}}, limit=0, max_keys=10)


def test_how_long_purchases_are_kept_is_never_for_ever_and_never_too_short(settings) -> None:
    values = settings.model_dump()
    assert ScoringSettings.model_fields["purchases_kept_days"].default == 3_653
    for days in (0, 399, 36_526):
        with pytest.raises(ValueError, match="purchases_kept_days"):
            ScoringSettings(**(values | {"purchases_kept_days": days}))


def test_staged_events_are_due_by_age_and_by_number(client, settings) -> None:
    def due(**limits: float) -> bool:
        return client.tenant in activity.waiting_tenants(settings.model_copy(update=limits))

    heard(client, event(customer(), "Page Viewed", clock.now(), "m1"))
    assert not due(flush_seconds=3600)
    assert due(flush_seconds=0)


def test_what_run_takes_in_event_by_event_is_what_the_job_makes_of_the_files(
    client, settings, store, tmp_path: Path
) -> None:
    """Late, repeated and refunded, of customers in one bucket and another, through the worker's own handlers."""
    at = clock.now().replace(microsecond=0) - timedelta(days=9)
    chance = np.random.default_rng(3)
    people = [customer() for _ in range(6)]
    events = []
    for number in range(120):
        name = people[int(chance.integers(0, len(people)))]
        what = str(chance.choice(["Order Completed", "Order Refunded", "Page Viewed", "Cart Viewed"]))
        amount = int(chance.integers(100, 9_000)) if what.startswith("Order") else None
        when = at - timedelta(milliseconds=int(chance.integers(-3 * 86_400_000, 380 * 86_400_000)))
        order = f"{name[-4:]}-{chance.integers(0, 3)}" if amount else ""
        events.append(event(name, what, when, f"m{number}", amount, order_id=order))
    repeated = [*events, *events[::7]]
    order = chance.permutation(len(repeated))
    for batch in np.array_split(order, 5):
        heard(client, *(repeated[place] for place in batch))
        with client.context():
            activity.flush(settings, store)
    with client.context():
        evaluating.evaluate_all()
        flushing.flush(settings, store)
        files = [
            {"url": preparing.url(settings, subject_of(file["bucket"], kind), file["name"]), "kind": kind,
             "bucket": file["bucket"]}
            for kind in (PURCHASES, ACTIVITY)
            for file in manifest_files(kind)
        ]  # fmt: skip
        known = {each["customer"]: each["series"] for each in Profile.rows().find({})}
    spec = FeatureJobSpec(
        tenant=client.tenant, as_of=at, currency="EUR", files=files, output=f"file://{tmp_path}", executor="in_process"
    )
    output = Folder(spec.output)
    features.run(spec, [at], output, Reporter(output))
    tables = [pq.read_table(path) for path in sorted(tmp_path.glob("features-*.parquet"))]
    assert len(tables) == BUCKETS
    rows = {each.pop("customer"): each for table in tables for each in table.to_pylist()}
    bulk = {name: {key: np.nan if cell is None else cell for key, cell in row_.items()} for name, row_ in rows.items()}
    at_us = int(at.timestamp()) * 1_000_000
    assert bulk.keys() == set(people)
    assert sum(values["refunded_share_365d"] > 0 for values in bulk.values()) > 3
    for name in people:
        np.testing.assert_equal(bulk[name], row.row([known[name]], at_us, DayRates("EUR").convert), err_msg=name)
    assert set(bulk[people[0]]) == set(NAMES)
