"""Events in: acknowledged, quarantined, applied once; who did it; what it tells."""

import itertools
import json
import random
import uuid
from datetime import timedelta

import pytest
from google.protobuf.json_format import MessageToDict
from rapport.identity.v1 import events_pb2

from chassis import clock
from chassis.errors import Aborted
from identity.store import IngestionBatch
from identity.usecases import applying

from .conftest import NOW, identify, track

SERVICE = "identity"
pytestmark = pytest.mark.usefixtures("applier")


def order(message_id, user_id, revenue=10.5, **properties):
    return track(message_id, user_id, properties={"revenue": revenue, "order_id": f"o-{message_id}", **properties})


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


def test_traits_become_fields_identifiers_and_traits(client):
    batch = client.apply(
        identify("i1", "u1", {
            "email": "Ada@Example.com", "phone": "555 12", "name": "Ada Lovelace", "firstName": "Ada",
            "lastName": "Lovelace", "address": {"country": "Germany", "city": "Berlin"}, "locale": "de-DE",
            "timezone": "Europe/Berlin", "plan": "gold",
        })
    )  # fmt: skip
    assert batch.unread_value_count == 1
    customer = client.lookup("KIND_EMAIL", "ada@example.com")
    assert (customer.display_name, customer.given_name, customer.family_name) == ("Ada Lovelace", "Ada", "Lovelace")
    assert (customer.region_code, customer.language_code, customer.time_zone) == ("DE", "de-DE", "Europe/Berlin")
    assert MessageToDict(customer.traits) == {
        "plan": "gold", "phone": "555 12", "address": {"country": "Germany", "city": "Berlin"}
    }  # fmt: skip
    client.apply(identify("i2", "u1", {"plan": None, "phone": "+14155552671"}))
    changed = client.GetCustomer(name=customer.name)
    assert "plan" not in changed.traits
    assert changed.phone == "+14155552671"


def test_unusable_addresses_stay_traits_and_join_nobody(client):
    batch = client.apply(
        identify("i1", "u1", {"email": "not an address"}), identify("i2", "u2", {"email": "test@test.com"})
    )
    assert batch.unread_value_count == 1
    client.apply(identify("i3", "u3", {"email": "test@test.com"}))
    assert len(client.ListCustomers().customers) == 3
    assert client.lookup("KIND_USER_ID", "u1", "shop").traits["email"] == "not an address"


def test_a_late_identify_call_does_not_overwrite_a_newer_one(client):
    client.apply(identify("i2", "u1", {"plan": "gold", "name": "Ada"}, event_time=NOW))
    client.apply(identify("i1", "u1", {"plan": "free", "age": 36}, event_time=NOW - timedelta(days=1)))
    customer = client.lookup("KIND_USER_ID", "u1", "shop")
    assert (customer.display_name, customer.traits["plan"], customer.traits["age"]) == ("Ada", "gold", 36)


def test_shop_and_app_that_share_an_address_become_one(client):
    client.apply(order("s1", "u1", 10), identify("s2", "u1", {"email": "ada@example.com"}))
    client.apply(order("a1", "app-7", 5), source="app")
    assert len(client.ListCustomers().customers) == 2
    client.apply(identify("a2", "app-7", {"email": "ADA@example.com", "name": "Ada"}), source="app")
    (customer,) = client.ListCustomers().customers
    assert {(i.kind, i.source) for i in customer.identifiers} == {(1, "shop"), (1, "app"), (2, "")}
    assert customer.display_name == "Ada"
    summary = client.SummarizeTimeline(event="Order Completed")
    assert (summary.event_count, summary.customer_count, summary.amounts[0].units) == (2, 1, 15)
    kinds = [kind for kind, _, _ in client.events()]
    assert kinds.count("CustomerMerged") == 1
    assert len(client.ListMerges().merges) == 1


def test_two_people_on_one_shared_device_stay_two(client):
    client.apply({"message_id": "p0", "kind": "KIND_PAGE", "anonymous_id": "tablet", "event": "Home"})
    client.apply(track("t1", "ann", anonymous_id="tablet"), track("t2", "bob", anonymous_id="tablet"))
    client.apply(track("t3", "", anonymous_id="tablet"))
    ann, bob = (client.lookup("KIND_USER_ID", uid, "shop") for uid in ("ann", "bob"))
    assert ann.name != bob.name
    told = {
        who.name: {e.message_id for e in client.ListTimelineEntries(parent=who.name).timeline_entries}
        for who in (ann, bob)
    }
    assert told == {ann.name: {"p0", "t1", "t3"}, bob.name: {"t2"}}
    assert client.ListMerges().merges == []


HISTORY = [
    {"message_id": "p0", "kind": "KIND_PAGE", "anonymous_id": "d1"},
    track("t1", "ann", anonymous_id="d1"),
    track("t2", "bob", anonymous_id="d1"),
    track("t3", "bob", anonymous_id="d2"),
    identify("i4", "ann", {"email": "ann@example.com"}),
    identify("i5", "zed", {"email": "zed@example.com", "phone": "+493012345"}),
    identify("i6", "ann2", {"email": "ann@example.com"}, anonymous_id="d3"),
    {"message_id": "a7", "kind": "KIND_ALIAS", "user_id": "zed2", "previous_id": "zed"},
    identify("i8", "zed3", {"phone": "+49 30 12345"}),
    {"message_id": "p9", "kind": "KIND_PAGE", "anonymous_id": "d3"},
]


def test_the_order_of_arrival_does_not_decide_who_is_who(client_of):
    chance = random.Random(7)
    events = [{**event, "event_time": NOW + timedelta(minutes=n)} for n, event in enumerate(HISTORY)]
    found = set()
    for _ in range(4):
        client = client_of()
        chance.shuffle(events)
        names = [client.send(*part).ingestion_batch for part in (events[:3], events[3:5], events[5:])]
        for name in names:
            client.applied(name)
        found.add(frozenset(
            frozenset((i.kind, i.source, i.value) for i in customer.identifiers)
            for customer in client.ListCustomers().customers
        ))  # fmt: skip
    (partition,) = found
    assert {frozenset(value for kind, _, value in group if kind == 1) for group in partition} == {
        frozenset({"ann", "ann2"}), frozenset({"bob"}), frozenset({"zed", "zed2", "zed3"})
    }  # fmt: skip


def test_a_profile_past_its_limit_of_addresses_is_a_conflict(client):
    for number in range(7):
        client.apply(identify(f"i{number}", "u1", {"email": f"a{number}@example.com"}))
    customer = client.lookup("KIND_USER_ID", "u1", "shop")
    assert sum(identifier.kind == 2 for identifier in customer.identifiers) == 5
    (conflict,) = client.ListMergeConflicts().merge_conflicts
    assert (conflict.guard, conflict.identifier_kind, list(conflict.customers)) == (1, "KIND_EMAIL", [customer.name])


def test_events_of_a_deleted_customer_neither_bring_it_back_nor_make_another(client):
    client.apply(order("m1", "u1"))
    customer = client.lookup("KIND_USER_ID", "u1", "shop")
    client.DeleteCustomer(name=customer.name)
    client.apply(order("m2", "u1"))
    assert client.ListCustomers().customers == []
    client.UndeleteCustomer(name=customer.name)
    assert len(client.ListTimelineEntries(parent=customer.name).timeline_entries) == 2


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


def test_many_tenants_may_use_the_same_ids(client, client_of):
    other = client_of()
    for one in (client, other):
        one.apply(order("m1", "u1"), identify("i1", "u1", {"email": "ada@example.com"}))
    assert client.lookup("KIND_EMAIL", "ada@example.com").name != other.lookup("KIND_EMAIL", "ada@example.com").name
    assert other.SummarizeTimeline(event="Order Completed").event_count == 1
    missing = other.refused("ListTimelineEntries", parent=client.lookup("KIND_USER_ID", "u1", "shop").name)
    assert missing.code == "NOT_FOUND"


def test_pairs_of_batches_at_once_agree_on_new_people(client):
    names = [
        client.send(
            *(order(f"b{batch}-{n}", f"u{n}") for n in range(20)), identify(f"i{batch}", "u0", {"age": batch})
        ).ingestion_batch
        for batch in range(6)
    ]
    for name in names:
        client.applied(name)
    customers = client.ListCustomers(page_size=100).customers
    assert len(customers) == 20
    assert client.SummarizeTimeline(event="Order Completed").event_count == 120
    created = [subject for kind, subject, _ in client.events() if kind == "CustomerCreated"]
    assert sorted(created) == sorted(customer.name for customer in customers)
    assert len(set(itertools.chain(created))) == 20
