"""Whose events are: who did them, what they tell of people, and who becomes one with whom."""

import itertools
import random
from datetime import timedelta

import pytest
from google.protobuf.json_format import MessageToDict

from .conftest import NOW, identify, order, track

SERVICE = "identity"

pytestmark = pytest.mark.usefixtures("applier")


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
