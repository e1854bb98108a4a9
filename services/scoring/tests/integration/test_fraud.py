"""Payments from identity's events to alerts: told once, learned from, resolved, and gone with the person."""

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import monitoring
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1.fraud_alert_pb2 import FraudAlert as Alert

import docstore
from chassis import money
from contracts import descriptors
from docstore import explain, leases
from docstore.aliases import AliasChange
from docstore.listener import TenantGuard
from eventing import tombstones
from scoring.models.fraud import features_of
from scoring.store import FraudAlert, LearnedFraudModel, PaymentFeatures, PaymentWindow
from scoring.store.fraud import released_fraud_model
from scoring.usecases import fraud_training, payments, people

from .conftest import Client, customer
from .test_scoring_erasing import erased  # noqa: F401 - a fixture

SERVICE = "scoring"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MANY_CARDS = "3 or more cards in 10 minutes"


def payment(name: str, minutes: float, card: str = "c", **fields: Any) -> identity_events_pb2.TrackedEvent:
    """A payment so many minutes before NOW, as identity tells it. fields: amount (minor units) and currency too."""
    amount, currency = fields.pop("amount", 1_000), fields.pop("currency", "EUR")
    values = {"customer": name, "event": "Payment Attempted", "source": "shop", "kind": "KIND_TRACK"}
    values |= {"message_id": uuid.uuid4().hex, "address_fingerprint": "home", "payment_method_fingerprint": card}
    event = identity_events_pb2.TrackedEvent(**(values | fields), amount=money.from_minor(amount, currency))
    event.event_time.FromDatetime(NOW - timedelta(minutes=minutes))
    return event


def tracked(*events: identity_events_pb2.TrackedEvent) -> identity_events_pb2.EventsTracked:
    return identity_events_pb2.EventsTracked(events=events)


def tries_of(name: str, cards: int = 3) -> list[identity_events_pb2.TrackedEvent]:
    """Somebody tries stolen cards, one a minute; the last is a minute ago."""
    return [payment(name, cards - at, card=f"stolen-{at}", amount=100) for at in range(cards)]


def told(client: Client) -> list[Any]:
    """What waits to be published of alerts."""
    with client.context():
        entries = [entry for row in FraudAlert.rows().find({}) for entry in row.get("outbox", ())]
    return [descriptors.message_class(entry["type"]).FromString(entry["body"]) for entry in entries]


def learn(client: Client, now: datetime = NOW) -> None:
    """As role `run` does, at an instant."""
    with client.context():
        row = leases.claim(LearnedFraudModel.rows(), {"uid": "fraud"}, 60, "test")
        assert row is not None
        fraud_training.look(row, now)
        released_fraud_model.forget()


def counts(client: Client) -> tuple[int, int, int]:
    """Rows of windows, features and alerts."""
    with client.context():
        return tuple(cls.rows().count({}) for cls in (PaymentWindow, PaymentFeatures, FraudAlert))


def alerts(client: Client, filter: str = "") -> list[Any]:
    return list(client.ListFraudAlerts(filter=filter).fraud_alerts)


@pytest.fixture(autouse=True)
def clock_stands(at: Callable[..., None]) -> None:
    at(NOW)


def test_card_testing_is_told_with_the_message_that_shows_it_and_once(client, hear) -> None:
    anna, bert = customer(), customer()
    tries = tries_of(anna)
    envelope = hear(tracked(tries[0], payment(bert, 3), tries[1]))
    assert counts(client) == (2, 3, 0)
    hear(tracked(tries[2], payment(bert, 2, event="Product Viewed")))
    (alert,) = alerts(client)
    assert (alert.customer, alert.source, alert.message_id) == (anna, "shop", tries[2].message_id)
    assert alert.payment_time == tries[2].event_time
    assert (alert.amount, alert.state, alert.basis) == (tries[2].amount, Alert.STATE_OPEN, 1)
    assert list(alert.broken_rules) == [MANY_CARDS]
    assert list(alert.reasons) == ["rule: 3 cards in 10 minutes, 3 or more are not allowed"]
    assert (alert.model_version, alert.rarity, alert.model_payment_count) == (0, 1, 0)
    assert client.GetFraudAlert(name=alert.name) == alert
    (event,) = told(client)
    assert (event.fraud_alert, event.customer, event.message_id) == (alert.name, anna, tries[2].message_id)
    assert (list(event.broken_rules), event.amount) == ([MANY_CARDS], alert.amount)
    # The same message, and the same payments in another one.
    hear(envelope)
    hear(tracked(*tries))
    assert (counts(client), len(told(client))) == ((2, 4, 1), 1)
    # What is no payment of money counts for nothing.
    hear(tracked(payment(anna, 0, "c4", amount=-5), payment(anna, 0, "c5", kind="KIND_PAGE")))
    hear(tracked(payment(anna, 31 * 1_440, "old")))
    assert counts(client) == (2, 4, 1)
    no_amount = payment(anna, 0, "c6")
    no_amount.ClearField("amount")
    hear(tracked(no_amount))
    assert counts(client) == (2, 4, 1)


def test_whatever_order_they_come_in_the_rows_and_alarms_are_those_of_all(client, hear) -> None:
    anna, other, rng = customer(), customer(), random.Random(3)
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(other, anna, (1, 0))))
    tries = tries_of(anna, 5)
    # One of them comes last, under a name that the customer had, too: then the later ones are seen to be too many.
    tries[1].customer = other
    early = [payment(anna, minutes) for minutes in (600, 300, 30)]
    hear(tracked(*rng.sample([*early, tries[0], tries[2]], 5)))
    assert alerts(client) == []
    hear(tracked(tries[1]))
    (alert,) = alerts(client)
    assert (alert.message_id, alert.customer) == (tries[2].message_id, anna)
    hear(tracked(tries[4], tries[3], tries[4]))
    assert {each.message_id for each in alerts(client)} == {each.message_id for each in tries[2:]}
    with client.context():
        stored = {row["customer"]: row["payments"] for row in PaymentWindow.rows().find({})}
        rows = {row["uid"]: tuple(row["features"]) for row in PaymentFeatures.rows().find({})}
    assert {name: len(kept) for name, kept in stored.items()} == {anna: 7, other: 1}
    known = sorted(payments.Payment(*each) for kept in stored.values() for each in kept)
    recomputed = dict(zip((payments.uid_of(each) for each in known), features_of(known), strict=True))
    late = payments.uid_of(next(each for each in known if tries[2].message_id in each.id))
    # A row is what was known when its payment came.
    assert {uid for uid in rows if rows[uid] != recomputed[uid]} == {late}
    assert len(rows) == 8


def test_an_honest_stream_alarms_at_the_stated_rate_and_a_rare_payment_is_told(client, hear) -> None:
    rng = random.Random(11)
    people = [customer() for _ in range(400)]

    def stream(count: int, days: int) -> None:
        events = [
            payment(
                name, rng.uniform(1_440 * days, 1_440 * (days + 7)), name[-4:], amount=int(rng.lognormvariate(8, 1))
            )
            for name in rng.choices(people, k=count)
        ]
        for start in range(0, count, 500):
            hear(tracked(*events[start : start + 500]))

    assert client.GetFraudModel().version == 0
    stream(500, 14)
    learn(client)
    model = client.GetFraudModel()
    assert (model.version, model.payment_count, model.threshold) == (1, 500, 0)
    assert "only the rules" in model.messages[0]
    stream(1_500, 14)
    before = len(alerts(client))
    learn(client)
    model = client.GetFraudModel()
    assert (model.version, model.payment_count, model.currency_code) == (2, 2_000, "EUR")
    assert (model.rate, list(model.messages), MANY_CARDS in model.rules) == (0.002, [], True)
    assert model.train_time.ToDatetime(UTC) == NOW
    stream(2_000, 0)
    assert before == 0
    # 4 are expected; 12 or more happen once in 1,000 streams.
    assert len(alerts(client)) < 12
    # Nothing new to learn from, and no day gone by.
    learn(client, NOW - timedelta(hours=1))
    assert client.GetFraudModel().version == 3, "twice as many are a tenth more"
    learn(client, NOW + timedelta(hours=22))
    assert client.GetFraudModel().version == 3
    rich = payment(people[0], 0, people[0][-4:], amount=10**8)
    hear(tracked(rich, payment(people[1], 0, people[1][-4:], amount=10**8, currency="JPY")))
    (alert,) = alerts(client, f'customer = "{people[0]}"')[:1]
    assert (alert.message_id, list(alert.broken_rules)) == (rich.message_id, [])
    assert (alert.model_version, alert.model_payment_count, alert.model_rate) == (3, 4_000, 0.002)
    assert alert.rarity == pytest.approx(1 / 4_001)
    assert alert.reasons[0].endswith(" EUR spent in 10 minutes: so much in 0.02% of the payments at most")
    assert not any(each.amount.currency_code == "JPY" for each in alerts(client)), "yen are not compared with euros"
    # Confirmed, it is nothing to learn from.
    client.ResolveFraudAlert(name=alert.name, outcome=Alert.STATE_CONFIRMED)
    learn(client, NOW + timedelta(hours=26))
    assert client.GetFraudModel().payment_count == 4_001


def test_who_objects_or_is_erased_has_no_rows_and_is_not_looked_at(client, hear, erased) -> None:  # noqa: F811
    anna, other, bert, stays = (customer() for _ in range(4))
    for name in (anna, bert, stays):
        hear(tracked(*tries_of(name)))
    assert counts(client) == (3, 9, 3)
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(other, anna, (1, 0))))
        hear(tracked(payment(other, 0, card="stolen-1")))
        assert counts(client) == (4, 10, 4)
        docstore.in_transaction(lambda: people.object_to_profiling(other, "consents/c", NOW))
    assert counts(client) == (2, 6, 2)
    hear(tracked(*tries_of(anna), payment(other, 1), payment(stays, 50)))
    assert counts(client) == (2, 7, 2)
    assert alerts(client, f'customer = "{anna}"') == []
    done = erased(bert)
    assert [done[kind] for kind in ("paymentWindows", "payments", "fraudAlerts")] == [(1, 0), (3, 0), (1, 0)]
    assert counts(client) == (1, 4, 1)
    with client.context():
        tombstones.erase([bert])
    hear(tracked(*tries_of(bert), payment(stays, 40)), bert, stays)
    assert counts(client) == (1, 5, 1)
    with client.context():
        docstore.in_transaction(lambda: people.allow_profiling(other))
    hear(tracked(*tries_of(anna)))
    assert counts(client) == (2, 8, 2)


def test_an_objection_that_is_heard_meanwhile_wins(client) -> None:
    anna, attempts = customer(), []

    def objects() -> None:
        with client.context():
            docstore.in_transaction(lambda: people.object_to_profiling(anna, "consents/c", NOW))

    def hears() -> None:
        attempts.append(PaymentWindow.rows().count({}))  # from here on the transaction sees what was then
        if len(attempts) == 1:
            thread = threading.Thread(target=objects)
            thread.start()
            thread.join()
        payments.take_in(tries_of(anna))

    with client.context():
        docstore.in_transaction(hears)
    assert (len(attempts), counts(client)) == (2, (0, 0, 0))


@pytest.mark.parametrize("merged", [False, True])
def test_payments_of_one_customer_in_two_processes_at_once_are_counted_together(client, merged) -> None:
    anna, tries, attempts = customer(), tries_of(customer(), 4), []
    other = customer() if merged else anna
    for event, name in zip(tries, (anna, anna, other, other), strict=True):
        event.customer = name

    def beside() -> None:
        with client.context():
            docstore.in_transaction(lambda: payments.take_in(tries[:2]))

    def hears() -> None:
        attempts.append(PaymentWindow.rows().count({}))  # from here on the transaction sees what was then
        if len(attempts) == 1:
            thread = threading.Thread(target=beside)
            thread.start()
            thread.join()
        payments.take_in(tries[2:])

    with client.context():
        if merged:
            docstore.in_transaction(lambda: people.follow_alias(AliasChange(other, anna, (1, 0))))
        docstore.in_transaction(hears)
    assert (len(attempts), counts(client)) == (2, (1 + merged, 4, 2))
    assert {event.message_id for event in told(client)} == {event.message_id for event in tries[2:]}


def test_alerts_are_listed_by_state_and_customer_and_resolved_once(client, hear, at) -> None:
    anna, other, bert = customer(), customer(), customer()
    for number, name in enumerate((anna, other, bert)):
        at(NOW + timedelta(seconds=number))
        hear(tracked(*tries_of(name, 4)))
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(other, anna, (1, 0))))
    newest = alerts(client)
    assert [each.customer for each in newest] == [bert, bert, other, other, anna, anna]
    first = client.ListFraudAlerts(page_size=4)
    rest = client.ListFraudAlerts(page_size=4, page_token=first.next_page_token)
    assert ([*first.fraud_alerts, *rest.fraud_alerts], rest.next_page_token) == (newest, "")
    # By any name the customer had; an alert keeps the one it came under.
    for name in (anna, other):
        assert alerts(client, f'customer = "{name}"') == newest[2:]
    name, etag = newest[0].name, newest[0].etag
    at(NOW + timedelta(minutes=1))
    found = client.ResolveFraudAlert(name=name, outcome=Alert.STATE_CONFIRMED, etag=etag)
    assert (found.state, found.resolver) == (Alert.STATE_CONFIRMED, "principals/tester")
    assert found.resolve_time.ToDatetime(UTC) == NOW + timedelta(minutes=1)
    assert client.ResolveFraudAlert(name=name, outcome=Alert.STATE_CONFIRMED) == found
    asked = {"name": newest[2].name, "request_id": str(uuid.uuid4()), "etag": newest[2].etag}
    once = client.ResolveFraudAlert(outcome=Alert.STATE_DISMISSED, **asked)
    assert client.ResolveFraudAlert(outcome=Alert.STATE_DISMISSED, **asked) == once
    assert client.refused("ResolveFraudAlert", outcome=Alert.STATE_CONFIRMED, **asked)[0] == "REQUEST_ID_REUSED"
    same = {"name": name, "request_id": str(uuid.uuid4()), "outcome": Alert.STATE_CONFIRMED}
    assert [client.ResolveFraudAlert(**same) for _ in range(2)] == [found, found], "it was resolved so already"
    assert (
        client.refused("ResolveFraudAlert", name=name, outcome=Alert.STATE_DISMISSED, etag=etag)[0] == "ETAG_MISMATCH"
    )
    assert client.refused("ResolveFraudAlert", name=name, outcome=Alert.STATE_OPEN)[::2] == (
        "INVALID_OUTCOME",
        ["outcome"],
    )
    missing = client.refused("ResolveFraudAlert", name="fraudAlerts/none", outcome=Alert.STATE_DISMISSED)
    assert missing[0] == "NOT_FOUND"
    assert [each.name for each in alerts(client, "state = STATE_CONFIRMED")] == [name]
    assert len(alerts(client, "state = STATE_OPEN")) == 4
    open_ones = alerts(client, f'state = STATE_OPEN AND customer = "{anna}"')
    assert [each.name for each in open_ones] == [each.name for each in newest[3:]]
    with client.context():
        uid = name.partition("/")[2]
        assert PaymentFeatures.rows().find_one({"uid": uid})["fraud"]
    corrected = client.ResolveFraudAlert(name=name, outcome=Alert.STATE_DISMISSED)
    assert corrected.state == Alert.STATE_DISMISSED
    with client.context():
        assert "fraud" not in PaymentFeatures.rows().find_one({"uid": uid})
    assert len(told(client)) == 6, "an alert that is resolved is not told"
    assert client.refused("ListFraudAlerts", filter="rarity > 1")[0] == "INVALID_FILTER"


def test_a_flood_of_payments_is_no_flood_of_alerts(client, hear) -> None:
    anna, bert = customer(), customer()
    hear(tracked(*tries_of(anna, 90)))
    hear(tracked(*tries_of(anna, 90), *tries_of(bert)))
    assert [len(alerts(client, f'customer = "{name}"')) for name in (anna, bert)] == [50, 1]
    with client.context():
        assert FraudAlert.rows().count({"customer": anna}) == payments.OPEN_MOST
    client.ResolveFraudAlert(name=alerts(client, f'customer = "{anna}"')[0].name, outcome=Alert.STATE_CONFIRMED)
    hear(tracked(payment(anna, 0), payment(anna, 0)))
    with client.context():
        assert FraudAlert.rows().count({"customer": anna}) == payments.OPEN_MOST + 1


def test_every_query_has_its_index(client, hear) -> None:
    names = [customer() for _ in range(30)]
    for start in range(0, 30, 10):
        hear(tracked(*(event for name in names[start : start + 10] for event in tries_of(name, 4))))
    newest = [("create_time", -1), ("_id", -1)]
    living = {"delete_time": None}
    with client.context():
        explain.assert_indexed(FraudAlert, living, newest, limit=11, max_keys=12)
        explain.assert_indexed(FraudAlert, living | {"state": "OPEN"}, newest, limit=11, max_keys=12)
        theirs = {"customer": {"$in": names[:2]}}
        explain.assert_indexed(FraudAlert, living | theirs, newest, limit=11, max_keys=8)
        explain.assert_indexed(FraudAlert, theirs, max_keys=8)
        # Many of a customer's are resolved.
        FraudAlert.rows().update_many({"customer": names[0]}, {"$set": {"state": "DISMISSED"}})
        theirs_open = {"customer": {"$in": names[:2]}, "state": "OPEN"}
        explain.assert_indexed(FraudAlert, theirs_open, max_keys=4)
        explain.assert_indexed(FraudAlert, living | theirs_open, newest, limit=11, max_keys=4)
        explain.assert_indexed(PaymentFeatures, theirs, max_keys=12)
        recent = {"event_time": {"$gt": NOW - timedelta(minutes=2)}, "fraud": {"$ne": True}}
        explain.assert_indexed(PaymentFeatures, recent, [("event_time", -1)], limit=50_000, max_keys=62)


class Commands(monitoring.CommandListener):
    """Notes which commands were sent."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to note."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to note."""


@pytest.fixture
def commands(database) -> Iterator[list[str]]:
    listener = Commands()
    docstore.disconnect()
    docstore.connect(database, event_listeners=[TenantGuard(), listener])
    yield listener.names
    docstore.disconnect()
    docstore.connect(database, event_listeners=[TenantGuard()])


def test_many_payments_take_few_queries_and_other_events_none(client, commands) -> None:
    names = [customer() for _ in range(1_000)]
    with client.context():
        released_fraud_model.get()
        commands.clear()
        docstore.in_transaction(lambda: payments.take_in([payment(name, 1) for name in names]))
        assert len(commands) <= 12, commands
        commands.clear()
        docstore.in_transaction(lambda: payments.take_in([payment(names[0], 1, event="Order Completed")]))
        assert commands == []
    assert counts(client) == (1_000, 1_000, 0)
