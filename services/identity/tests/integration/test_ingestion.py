"""Events in: acknowledged, quarantined, applied once; what they tell."""

import json
import uuid
from datetime import timedelta

import pytest
from google.protobuf.json_format import MessageToDict
from rapport.identity.v1 import events_pb2

from chassis import clock
from chassis.errors import Aborted
from identity.store import IngestionBatch
from identity.usecases import applying

from .conftest import NOW, order, track

SERVICE = "identity"
pytestmark = pytest.mark.usefixtures("applier")


def test_good_events_become_customers_and_timelines(client):
    batch = client.apply(
        order("m1", "u1", 19.99, currency="EUR", items=[{"sku": "a"}]),
        {**order("m2", "u1", "5"), "event_time": NOW},
        {"message_id": "m3", "kind": "KIND_PAGE", "anonymous_id": "d1", "event": "Home"},
        {"message_id": "m4", "kind": "KIND_SCREEN", "user_id": "u1"},
    )
    assert (batch.accepted_count, batch.duplicate_count) == (4, 0)
    assert batch.HasField("apply_time")
    customer = client.lookup("KIND_USER_ID", "u1", "shop")
    entries = client.ListTimelineEntries(parent=customer.name).timeline_entries
    assert {(e.event, e.message_id) for e in entries[:2]} == {("Screen", "m4"), ("Order Completed", "m1")}
    assert [(e.event, e.message_id) for e in entries[2:]] == [("Order Completed", "m2")]
    newest = next(e for e in entries if e.message_id == "m1")
    assert (newest.amount.currency_code, newest.amount.units, newest.amount.nanos) == ("EUR", 19, 990_000_000)
    assert MessageToDict(newest.details) == {
        "revenue": 19.99, "order_id": "o-m1", "currency": "EUR", "items": [{"sku": "a"}]
    }  # fmt: skip
    assert (newest.source, newest.identifier_kind) == ("shop", "KIND_USER_ID")
    oldest = entries[-1]
    assert oldest.event_time.ToDatetime().replace(tzinfo=NOW.tzinfo) == NOW
    assert (oldest.amount.currency_code, oldest.amount.units) == ("USD", 5)
    assert client.lookup("KIND_ANONYMOUS_ID", "d1", "shop").name != customer.name
    summary = client.SummarizeTimeline(event="Order Completed")
    assert (summary.event_count, summary.customer_count) == (2, 1)
    assert [(a.currency_code, a.units) for a in summary.amounts] == [("EUR", 19), ("USD", 5)]


BAD = [
    ("MESSAGE_ID_MISSING", "message_id", track("", "u1")),
    ("MESSAGE_ID_TOO_LONG", "message_id", track("m" * 129, "u1")),
    ("KIND_UNKNOWN", "kind", {"message_id": "b", "user_id": "u1"}),
    ("KIND_UNKNOWN", "kind", {"message_id": "b", "user_id": "u1", "kind": 77}),
    ("EVENT_NAME_MISSING", "event", track("b", "u1", event="")),
    ("IDENTIFIER_MISSING", "user_id", track("b")),
    ("IDENTIFIER_TOO_LONG", "user_id", track("b", "u" * 257)),
    ("BLOCKED_IDENTIFIER", "user_id", track("b", "NULL")),
    ("BLOCKED_IDENTIFIER", "user_id", track("b", "0", anonymous_id="d1")),
    ("BLOCKED_IDENTIFIER", "anonymous_id", track("b", anonymous_id="undefined")),
    (
        "BLOCKED_IDENTIFIER",
        "previous_id",
        {"message_id": "b", "kind": "KIND_ALIAS", "user_id": "u", "previous_id": "-1"},
    ),
    ("ALIAS_INCOMPLETE", "previous_id", {"message_id": "b", "kind": "KIND_ALIAS", "user_id": "u"}),
    ("EVENT_TOO_LARGE", "", track("b", "u1", properties={"long": "x" * 33_000})),
    ("EVENT_TIME_INVALID", "event_time", track("b", "u1", event_time={"seconds": 10**13})),
    ("EVENT_TIME_INVALID", "event_time", track("b", "u1", event_time={"seconds": -5})),
    ("AMOUNT_INVALID", "properties.revenue", track("b", "u1", properties={"revenue": "a lot"})),
    ("AMOUNT_INVALID", "properties.total", track("b", "u1", properties={"total": {"value": 1}})),
    ("UNKNOWN_CURRENCY", "properties.currency", track("b", "u1", properties={"revenue": 1, "currency": "EURO"})),
    ("VALUE_UNSTORABLE", "properties", track("b", "u1", properties={"a\0b": 1})),
    ("VALUE_UNSTORABLE", "user_id", track("b", "u\0")),
]


def test_bad_events_are_quarantined_and_named_and_hold_up_nobody(client):
    good = [order("g1", "u1"), order("g2", "u2")]
    sent = client.send(good[0], *(event for _, _, event in BAD), good[1])
    assert sent.accepted_count == 2
    assert [(r.reason, r.field) for r in sent.rejected_events] == [(reason, field) for reason, field, _ in BAD]
    assert [r.index for r in sent.rejected_events] == list(range(1, len(BAD) + 1))
    assert all(rejected.description for rejected in sent.rejected_events)
    client.applied(sent.ingestion_batch)
    assert client.SummarizeTimeline(event="Order Completed").event_count == 2
    kept = client.ListQuarantinedEvents(page_size=100).quarantined_events
    assert {q.name for q in kept} == {r.quarantined_event for r in sent.rejected_events}
    assert {q.reason for q in kept} == {reason for reason, _, _ in BAD}
    blocked = client.ListQuarantinedEvents(
        filter='reason = "BLOCKED_IDENTIFIER" AND source = "shop"'
    ).quarantined_events
    assert len(blocked) == 4
    body = json.loads(next(q.body for q in kept if q.field == "properties.currency"))
    assert body["properties"]["currency"] == "EURO"
    large = next(q for q in kept if q.reason == "EVENT_TOO_LARGE")
    assert len(large.body.encode()) <= 32 * 1024
    assert large.expire_time.ToDatetime() - large.create_time.ToDatetime() == timedelta(days=30)


def test_an_event_too_far_in_the_future_is_quarantined(client):
    soon, late = clock.now() + timedelta(hours=23), clock.now() + timedelta(hours=25)
    sent = client.send(track("m1", "u1", event_time=soon), track("m2", "u1", event_time=late))
    assert [(r.message_id, r.reason) for r in sent.rejected_events] == [("m2", "EVENT_TIME_IN_FUTURE")]


@pytest.mark.parametrize(
    ("fields", "violation"),
    [
        ({"source": "shop"}, "events"),
        ({"source": "shop", "events": [track(f"m{n}", "u1") for n in range(501)]}, "events"),
        ({"source": "My Shop!", "events": [track("m1", "u1")]}, "source"),
        ({"source": "shop", "events": [track("m1", "u")], "unreadable_events": [{"index": 5}]}, "unreadable_events"),
    ],
)
def test_an_unusable_batch_is_refused_whole(client, fields, violation):
    refused = client.refused("IngestEvents", **fields)
    assert refused.code == "INVALID_ARGUMENT"
    assert set(refused.violations) == {violation}
    assert client.ListQuarantinedEvents().quarantined_events == []


def test_what_the_gateway_could_not_read_is_kept_in_its_place(client):
    unreadable = [
        {"index": 0, "reason": "NOT_AN_OBJECT", "description": "Send an object.", "body": "[1]"},
        {"index": 2, "reason": "FIELD_TYPE", "field": "userId", "description": "Send a text.", "message_id": "x" * 200},
    ]
    sent = client.IngestEvents(source="shop", events=[order("m1", "u1"), track("m2")], unreadable_events=unreadable)
    assert [(r.index, r.reason) for r in sent.rejected_events] == [
        (0, "NOT_AN_OBJECT"), (2, "FIELD_TYPE"), (3, "IDENTIFIER_MISSING")
    ]  # fmt: skip
    assert sent.accepted_count == 1
    only_bad = client.IngestEvents(source="shop", unreadable_events=unreadable[:1])
    assert only_bad.ingestion_batch == ""
    assert len(only_bad.rejected_events) == 1


def test_repeats_are_dropped_within_and_across_batches(client):
    first = client.apply(order("m1", "u1"), order("m1", "u1"), order("m2", "u1"))
    assert first.duplicate_count == 1
    second = client.apply(order("m1", "u1"), order("m3", "u1"))
    assert second.duplicate_count == 1
    client.apply(order("m1", "u1"), source="app")
    assert client.SummarizeTimeline(event="Order Completed").event_count == 4, "message ids are unique within a source"
    with client.context():
        told = [entry for row in IngestionBatch.rows().find({}) for entry in row["outbox"]]
    assert [entry["type"] for entry in told] == ["rapport.identity.v1.EventsTracked"] * 3
    assert all(entry["datasubjects"] for entry in told)


@pytest.mark.parametrize("properties", ["from the row in hand", "of a row that was there before"])
def test_the_products_of_an_order_are_told(client, monkeypatch, properties):
    if properties == "of a row that was there before":
        insert = applying.insert_new

        def die_after(rows, batch):
            """Once: the batch is applied again, and finds its own rows."""
            insert(rows, batch)
            monkeypatch.setattr(applying, "insert_new", insert)
            raise Aborted("CONFLICT", "Try again.")

        monkeypatch.setattr(applying, "insert_new", die_after)
    products = [{"product_id": "p1", "quantity": 2, "price": 3}, {"name": "No id"}]
    client.apply(
        order("m1", "u1", 9, currency="EUR", products=products),
        track("m2", "u1", properties={"products": 3, "subscription_id": 7}),
    )
    with client.context():
        (entry,) = [entry for row in IngestionBatch.rows().find({}) for entry in row["outbox"]]
    bought, other = events_pb2.EventsTracked.FromString(entry["body"]).events
    (product,) = bought.products
    assert (product.product_id, product.quantity) == ("p1", 2)
    assert (product.price.currency_code, product.price.units) == ("EUR", 3)
    assert bought.left_out_product_count == 1
    assert (list(other.products), other.left_out_product_count) == ([], 0)
    assert (bought.subscription_id, other.subscription_id) == ("", "7")


def test_a_repeated_request_stores_nothing_again(client):
    request_id = str(uuid.uuid4())
    events = [order("m1", "u1"), track("bad")]
    first = client.IngestEvents(source="shop", events=events, request_id=request_id)
    assert client.IngestEvents(source="shop", events=events, request_id=request_id) == first
    assert len(client.ListQuarantinedEvents().quarantined_events) == 1
    refused = client.refused("IngestEvents", source="shop", events=events[:1], request_id=request_id)
    assert refused.reason == "REQUEST_ID_REUSED"


def test_timelines_come_in_pages_the_newest_first(client):
    events = [
        track(f"m{n}", "u1", event="Viewed" if n % 2 else "Clicked", event_time=NOW + timedelta(minutes=n // 3))
        for n in range(9)
    ]
    client.apply(*events)
    name = client.lookup("KIND_USER_ID", "u1", "shop").name
    found, token = [], ""
    for _ in range(10):
        page = client.ListTimelineEntries(parent=name, page_size=2, page_token=token)
        found += [(entry.event_time.seconds, entry.message_id) for entry in page.timeline_entries]
        token = page.next_page_token
        if not token:
            break
    assert {message_id for _, message_id in found} == {f"m{n}" for n in range(9)}
    assert len(found) == 9
    assert [when for when, _ in found] == sorted((when for when, _ in found), reverse=True)
    viewed = client.ListTimelineEntries(parent=name, filter='event = "Viewed"').timeline_entries
    assert {entry.message_id for entry in viewed} == {"m1", "m3", "m5", "m7"}
    day = client.ListTimelineEntries(parent=name, filter=f'event_time < "{(NOW + timedelta(minutes=1)).isoformat()}"')
    assert len(day.timeline_entries) == 3
    token = client.ListTimelineEntries(parent=name, page_size=2).next_page_token
    other = client.create().name
    assert client.refused("ListTimelineEntries", parent=other, page_token=token).reason == "INVALID_PAGE_TOKEN"


def test_summaries_cover_an_interval(client):
    client.apply(*({**order(f"m{n}", f"u{n % 2}", 1), "event_time": NOW + timedelta(days=n)} for n in range(4)))
    summary = client.SummarizeTimeline(
        event="Order Completed", start_time=NOW + timedelta(days=1), end_time=NOW + timedelta(days=3)
    )
    assert (summary.event_count, summary.customer_count, summary.amounts[0].units) == (2, 2, 2)
    refused = client.refused("SummarizeTimeline", event="x", start_time=NOW, end_time=NOW)
    assert refused.reason == "INVALID_INTERVAL"
    nothing = client.SummarizeTimeline(event="Never Happened")
    assert (nothing.event_count, nothing.customer_count, list(nothing.amounts)) == (0, 0, [])


def test_money_is_rounded_to_the_currency(client):
    amounts = [("12.345", "EUR"), (0.1 + 0.2, "EUR"), (1999, "JPY"), ("1.2345", "KWD"), (-5, "eur"), (None, "EUR")]
    client.apply(*(order(f"m{n}", "u1", value, currency=code) for n, (value, code) in enumerate(amounts)))
    name = client.lookup("KIND_USER_ID", "u1", "shop").name
    entries = {e.message_id: e.amount for e in client.ListTimelineEntries(parent=name).timeline_entries}
    found = [(entries[f"m{n}"].units, entries[f"m{n}"].nanos) for n in range(len(amounts))]
    assert found == [(12, 340_000_000), (0, 300_000_000), (1999, 0), (1, 234_000_000), (-5, 0), (0, 0)]
    assert entries["m5"].currency_code == ""


def test_an_event_nothing_can_be_made_of_holds_up_no_other(client, database, monkeypatch):
    from identity.usecases import applying

    real = applying._entry

    def failing(batch, one, *rest):
        if one.event.message_id == "poison":
            raise RuntimeError("cannot be applied")
        return real(batch, one, *rest)

    monkeypatch.setattr(applying, "_entry", failing)
    sent = client.send(order("m1", "u1"), order("poison", "u2"), order("m2", "u3"))
    with client.context():
        batch = IngestionBatch.get(sent.ingestion_batch.rpartition("/")[2])
        batch.attempts = 3
        applying.apply_batch(batch, database)
    assert client.SummarizeTimeline(event="Order Completed").event_count == 2
    (kept,) = client.ListQuarantinedEvents(filter='reason = "APPLY_FAILED"').quarantined_events
    assert kept.message_id == "poison"
