"""Erasing people: everything is looked through before and after; late events, races, people who come back."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2
from rapport.identity.v1.identity_service_pb2 import IngestEventsRequest
from rapport.sales.v1 import events_pb2 as sales_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2

import docstore
from chassis import clock, tenancy
from docstore import batches
from eventing import erasing, sweeping, tombstones
from eventing.erasing import Erased
from eventing.records import ErasureTask
from identity.store import ErasedIdentifier, IdentifierRow, IngestionBatch, QuarantinedEvent, TimelineEntry
from identity.usecases import applying, resolving
from identity.usecases.applying import apply_batch
from identity.usecases.erasing import erase
from testkit import eventually

from .conftest import identify, track

SERVICE = "identity"
ABOUT_ERASURES = {"eventing_tombstones", "erasure_tasks", "eventing_handled", "eventing_states"}
"""Collections that keep the names of erased people, so that late events can be dropped."""


@pytest.fixture
def holding(client):
    """The collections in which a text stands, payloads of batches decoded."""

    def places(text: str) -> set[str]:
        found = set()
        with client.context(), docstore.platform_scope():
            for name in docstore.database().list_collection_names():
                for row in docstore.database()[name].find({"tenant": client.tenant}):
                    payload = row.get("payload") if name == "ingestion_batches" else None
                    texts = [repr(row), str(IngestEventsRequest.FromString(payload)) if payload else ""]
                    if any(text in each for each in texts):
                        found.add(name)
        return found - ABOUT_ERASURES

    return places


@pytest.fixture
def erased(client, settings):
    """Sweeps as role `run` does until nobody else is found; returns what identity itself erased."""

    def sweep(*names: str) -> dict[str, int]:
        wanted = set(names)
        with client.context():
            while (done := erase(sorted(wanted), settings)).customers:
                wanted |= done.customers
                tombstones.erase(wanted)
            sweeping.sweep(settings, frozenset(wanted))
        return {kind: removed for kind, (removed, _) in done.items.items() if removed}

    return sweep


@pytest.fixture
def apply(client, database):
    """Applies what was sent, as role `run` does."""

    def pending() -> None:
        for batch in batches.claim(IngestionBatch, 100):
            with tenancy.service_context(batch.tenant):
                batches.finish(batch, apply_batch(batch, database))

    return pending


@pytest.fixture
def sent(client, apply):
    """Sends events and applies them."""

    def send(*events: dict[str, Any], source: str = "shop") -> Any:
        answer = client.send(*events, source=source)
        apply()
        return answer

    return send


def quarantined(client) -> list[Any]:
    return list(client.ListQuarantinedEvents(filter='reason = "ERASED_PERSON"').quarantined_events)


def uid(name: str) -> str:
    return name.rpartition("/")[2]


def test_nothing_of_a_person_is_left_and_everything_of_the_others_is(
    client, sent, apply, erased, holding, hear
) -> None:
    ann = {"email": "planted.ann@example.com", "phone": "+14155550123", "name": "Planted Ann"}
    ben = {"email": "other.ben@example.com", "phone": "+14155550199", "name": "Other Ben"}
    sent(
        track("m1", "", "Visited", anonymous_id="planted-device"),
        identify("m2", "planted-1", ann, anonymous_id="planted-device"),
        track("m3", "planted-1", properties={"order_id": "planted-order", "revenue": 12}),
        identify("m4", "other-1", ben),
        track("m5", "other-1", properties={"order_id": "other-order", "revenue": 12}),
        track("m6", "planted-2"),
        {"message_id": "m7", "kind": "KIND_ALIAS", "user_id": "planted-1", "previous_id": "planted-2"},
    )
    by_hand = client.create(display_name="Planted by hand", traits={"shoe": "planted-shoe"})
    person = client.lookup("KIND_EMAIL", "planted.ann@example.com")
    other = client.lookup("KIND_EMAIL", "other.ben@example.com")
    client.MergeCustomer(name=person.name, merged_customer=by_hand.name, comment="planted comment")
    merged = client.MergeCustomer(name=person.name, merged_customer=other.name, comment="planted by mistake")
    client.UndoMerge(name=merged.name)
    sent(identify("m8", "planted-1", {"email": "other.ben@example.com"}))  # stopped by what was separated
    assert client.ListMergeConflicts().merge_conflicts
    for whose in (person, other):
        order = {"order": f"orders/of-{whose.display_name}", "customer": whose.name, "order_number": "1"}
        hear(sales_events_pb2.OrdersPlaced(orders=[order]), whose.name)
    names = [person.name, other.name]

    def at_risk(probability: float) -> scoring_events_pb2.ScoresUpdated:
        each = [{"customer": name, "probability": probability} for name in names]
        clusters = [{"customer": name, "display_name": "planted-group"} for name in names]
        return scoring_events_pb2.ScoresUpdated(churn_risks=each, clusters=clusters, responses=each, renewals=each)

    def reached() -> scoring_events_pb2.SendTimesUpdated:
        told = scoring_events_pb2.SendTimesUpdated(
            send_times=[{"customer": name, "hours_of_week": range(168)} for name in names]
        )
        told.change_time.GetCurrentTime()
        return told

    hear(at_risk(0.3), *names)
    hear(reached(), *names)
    bad = {"properties": {"revenue": "much"}, "event": "Order Completed"}
    client.send(track("q1", "planted-1", **bad), track("q2", "other-1", **bad))
    client.IngestEvents(
        source="app",
        unreadable_events=[
            {"index": 0, "reason": "UNREADABLE", "body": '{"email": "Planted.Ann@example.com", "name": "Planted'},
            {"index": 1, "reason": "UNREADABLE", "body": '{"phone": "(415) 555-0123", "name": "Planted'},
            {"index": 2, "reason": "UNREADABLE", "body": '{"id": "other-1", "email": "not.planted.ann@example.com'},
        ],
    )
    waiting = client.send(track("m9", "planted-1", "Planted Event"), track("m10", "other-1", "Other Event"))
    failed = client.send(track("m11", "planted-2", "Planted Event"), track("m12", "other-1", "Other Event"))
    with client.context():
        IngestionBatch.rows().update_one({"uid": uid(failed.ingestion_batch)}, {"$set": {"state": "FAILED"}})
    mine = ["planted-1", "planted-2", "planted-device", "planted-order", "planted-shoe", "Planted", "planted comment",
            *(uid(name) for name in (person.name, by_hand.name))]  # fmt: skip
    theirs = ["other-1", "other.ben", "Other Ben", "other-order", "Other Event", "orders/of-Other Ben"]
    found = {text: holding(text) for text in mine}
    assert all(found.values()), found
    assert set.union(*found.values()) == {
        *("customers", "identifiers", "merges", "merge_conflicts", "timeline", "facets"),
        *("quarantined_events", "ingestion_batches"),
    }
    before = {text: holding(text) for text in theirs}

    done = erased(by_hand.name)

    assert {text: places for text in mine if (places := holding(text))} == {}
    assert {text: holding(text) for text in theirs} == before
    assert done == {
        "customers": 3,
        "identifiers": 5,
        "merges": 3,
        "mergeConflicts": 1,
        "timelineEntries": 7,
        "facets": 6,
        "quarantinedEvents": 3,
        "ingestedEvents": 2,
    }
    assert holding("not.planted.ann") == {"quarantined_events"}, "an address that only ends alike"
    for name in (person.name, by_hand.name):
        assert client.refused("GetCustomer", name=name).code == "NOT_FOUND"
    assert client.refused("LookupCustomer", kind="KIND_EMAIL", value="planted.ann@example.com").code == "NOT_FOUND"
    assert erased(by_hand.name) == {}, "again: nothing is left to do"
    apply()
    hear(at_risk(0.4), *names)  # as scoring told it of both, late
    hear(reached(), *names)
    kept = client.ViewCustomer(name=other.name)
    assert (kept.churn_risk.probability, kept.response.probability, kept.HasField("send_time")) == (0.4, 0.4, True)
    assert {text: places for text in mine if (places := holding(text))} == {}
    assert client.applied(waiting.ingestion_batch).duplicate_count == 0
    assert client.lookup("KIND_EMAIL", "other.ben@example.com").name == other.name
    assert len(quarantined(client)) == 2


def test_members_nobody_named_are_answered_before_anything_of_the_graph_goes(client, settings, sent) -> None:
    sent(identify("m1", "u1", {"email": "ann@example.com"}), identify("m2", "u2", {"email": "ann@example.com"}))
    person = client.lookup("KIND_USER_ID", "u1", "shop")
    with client.context():
        canonical, other = (IdentifierRow.rows().find_one({"value": value})["customer"] for value in ("u1", "u2"))
        assert erase([f"customers/{other}"], settings) == Erased({}, frozenset({f"customers/{canonical}"}))
        assert client.GetCustomer(name=person.name).email == "ann@example.com"
        done = erase([f"customers/{canonical}", f"customers/{other}"], settings)
        assert (done.items["customers"], done.customers) == ((2, 0), frozenset())


def test_late_events_bring_nobody_back_and_later_ones_a_new_customer(client, sent, apply, erased, holding) -> None:
    sent(identify("m1", "u1", {"email": "ann@example.com"}, anonymous_id="device"), track("m2", "u1"))
    person = client.lookup("KIND_EMAIL", "ann@example.com")
    before = clock.now() - timedelta(minutes=1)
    in_hand = client.send(track("m3", "u1", "Seen", event_time=clock.now() + timedelta(hours=1)))
    erased(person.name)
    apply()  # the batch that had been received
    assert client.applied(in_hand.ingestion_batch).accepted_count == 1
    late = sent(
        track("m4", "u1", "Late", event_time=before),
        identify("m5", "u9", {"email": "Ann@Example.com", "name": "Late Ann"}, event_time=before),
        track("m6", "", "Late", anonymous_id="device", event_time=before),
        {"message_id": "m7", "kind": "KIND_ALIAS", "user_id": "u8", "previous_id": "u1", "event_time": before},
        track("m8", "ben", "Bens", anonymous_id="device", event_time=before),
        {"message_id": "m9", "kind": "KIND_TRACK", "user_id": "u1", "event_time": before},
    )
    assert (late.accepted_count, [each.reason for each in late.rejected_events]) == (5, ["EVENT_NAME_MISSING"])
    assert [(each.message_id, each.body, each.source) for each in quarantined(client)] == [("", "", "shop")] * 5
    with client.context():
        told = QuarantinedEvent.rows().distinct("description", {"reason": "ERASED_PERSON"})
        places = {text.split()[1] for text in told if late.ingestion_batch in text}
        assert places == {"0", "1", "2", "3"}
        assert TimelineEntry.rows().distinct("event") == ["Bens"]
        rest = QuarantinedEvent.rows().find_one({"reason": "EVENT_NAME_MISSING"})
        assert (rest["message_id"], rest.get("body")) == ("", None)
    assert client.applied(late.ingestion_batch).duplicate_count == 0
    assert [each.display_name for each in client.ListCustomers().customers] == [""]
    sent(track("m20", "u1", "Back"), identify("m21", "u1", {"email": "ann@example.com"}))
    back = client.lookup("KIND_USER_ID", "u1", "shop")
    assert back.name != person.name
    sent(track("m22", "u1", "Late again", event_time=before))
    with client.context():
        assert set(TimelineEntry.rows().distinct("event", {"customer": uid(back.name)})) == {"Back", "Identify"}
    assert holding("Late") == set()


def test_a_customer_may_be_created_again_by_hand(client, sent, erased) -> None:
    sent(identify("m1", "u1", {"email": "ann@example.com"}))
    person = client.lookup("KIND_EMAIL", "ann@example.com")
    with client.context():
        tombstones.erase([person.name])
    for method, fields in (
        ("UpdateCustomer", {"customer": {"name": person.name, "display_name": "A"}, "update_mask": "display_name"}),
        ("DeleteCustomer", {"name": person.name}),
        ("MergeCustomer", {"name": client.create(display_name="B").name, "merged_customer": person.name}),
    ):
        if "update_mask" in fields:
            fields["update_mask"] = {"paths": ["display_name"]}
        assert client.refused(method, **fields).code == "NOT_FOUND", "its erasure has begun"
    erased(person.name)
    again = client.create(email="ann@example.com")
    assert client.lookup("KIND_EMAIL", "ann@example.com").name == again.name
    with client.context():
        assert ErasedIdentifier.rows().count({}) == 2


@pytest.mark.parametrize("place", [(resolving, "record_conflicts"), (applying, "insert_new")])
@pytest.mark.parametrize("traits", [{}, {"email": "ann@example.com", "name": "Ann Two"}])
def test_an_erasure_in_the_middle_of_applying_leaves_nothing(
    client, sent, apply, erased, holding, monkeypatch, place, traits
) -> None:
    """In the transaction that settles identities, and between that and the timeline, by a runner so slow that both
    sweeps are over."""
    sent(identify("m1", "u1", {"email": "ann@example.com", "name": "Ann"}))
    person = client.lookup("KIND_EMAIL", "ann@example.com")
    module, name = place
    real, passed = getattr(module, name), []

    def meanwhile() -> None:
        with client.context():
            tombstones.erase([person.name])
        erased(person.name)

    def erased_first(*arguments: Any) -> Any:
        if not passed:
            passed.append(name)
            thread = threading.Thread(target=meanwhile)
            thread.start()
            thread.join(10)
            assert not thread.is_alive()
        return real(*arguments)

    monkeypatch.setattr(module, name, erased_first)
    sent(identify("m2", "u1", traits, anonymous_id="new-device"), track("m3", "u1", "Seen"))
    assert passed
    for text in ("u1", "ann@example.com", "Ann", uid(person.name), "new-device", "Seen"):
        assert holding(text) == set(), text
    assert client.ListCustomers().customers == []


@pytest.mark.parametrize("step", ["_erase_quarantined", "_erase_graph", "_erase_ingested"])
def test_an_erasure_that_is_killed_anywhere_is_done_again(client, sent, erased, settings, holding, step) -> None:
    sent(identify("m1", "u1", {"email": "ann@example.com"}), track("m2", "u1"))
    client.send(track("m3", "u1", "Waits"))
    client.send(track("m4", "u1", ""))
    person = client.lookup("KIND_EMAIL", "ann@example.com")

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, client.context():
        patched.setattr(f"identity.usecases.erasing.{step}", dies)
        with pytest.raises(KeyboardInterrupt):
            erase([person.name], settings)
    erased(person.name)
    for text in ("u1", "ann@example.com", uid(person.name), "Waits"):
        assert holding(text) == set()


def test_two_runners_that_erase_at_once_do_no_harm(client, sent, settings, holding) -> None:
    people = []
    for number in range(6):
        sent(identify(f"m{number}", f"u{number}", {"email": f"planted{number}@example.com"}))
        people.append(client.lookup("KIND_USER_ID", f"u{number}", "shop").name)
    barrier, failures = threading.Barrier(2), []

    def run() -> None:
        try:
            with client.context():
                for person in people[:5]:
                    barrier.wait(10)
                    erase([person], settings)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    with client.context():
        for person in people:
            sweeping.facts(frozenset([person]))
        assert ErasedIdentifier.rows().count({}) == 10
    assert [text for text in map(uid, people[:5]) if "customers" in holding(text)] == []
    assert [each.name for each in client.ListCustomers().customers] == people[5:]


def test_the_role_run_erases(client, sent, settings, role, holding, hear) -> None:
    sent(identify("m1", "u1", {"email": "planted@example.com"}))
    person = client.lookup("KIND_EMAIL", "planted@example.com").name
    request = consent_events_pb2.ErasureRequested(erasure_request="erasureRequests/2", customers=[person])
    hear(request, person)
    process = role(settings.model_copy(update={"role": "run"})).start().wait_ready()
    eventually(lambda: holding("planted") == set(), 20, "the first sweep")
    assert process.stop() == 0
    assert "planted" not in process.log.read_text()


def test_consent_asks_the_role_run_erases_and_answers_for_all_names(
    client, settings, sent, holding, hear, monkeypatch
) -> None:
    monkeypatch.setattr(erasing, "QUIET_S", 0.0)
    sent(identify("m1", "u1", {"email": "ann@example.com"}), identify("m2", "u2", {"email": "ann@example.com"}))
    with client.context():
        names = {f"customers/{row['customer']}" for row in IdentifierRow.rows().find({"kind": "KIND_USER_ID"})}
    named = sorted(names)[1]
    request = consent_events_pb2.ErasureRequested(erasure_request="erasureRequests/1", customers=[named])
    hear(request, named)
    assert erasing.step(settings, lambda wanted: erase(wanted, settings), events_pb2.SubjectErased)
    with client.context():
        (task,) = ErasureTask.rows().find({})
        (told,) = [entry for entry in task["outbox"] if entry["type"] == "rapport.identity.v1.SubjectErased"]
    answer = events_pb2.SubjectErased.FromString(told["body"]).answer
    assert set(answer.customers) == names
    counts = {item.kind: item.removed for item in answer.items}
    assert (counts["customers"], counts["timelineEntries"], counts["identifiers"]) == (2, 2, 3)
    for text in ("u1", "u2", "ann@example.com", *map(uid, names)):
        assert holding(text) == set()


def test_what_is_older_than_an_erasure_neither_finds_nor_makes_the_person_known(client, erased) -> None:
    """Such as a mail that waited; what came in later may, with the same address."""
    lookup = {"kind": "KIND_EMAIL", "value": "Ann@Example.com"}
    before = clock.now()
    ann = client.CreateCustomer(customer={"email": "ann@example.com"})
    assert client.LookupCustomer(**lookup, evidence_time=before) == ann
    erased(ann.name)
    assert client.refused("LookupCustomer", **lookup, evidence_time=before).reason == "ERASED_PERSON"
    new = {"email": "ann@example.com"}
    assert client.refused("CreateCustomer", customer=new, evidence_time=before).reason == "ERASED_PERSON"
    after = clock.now() + timedelta(milliseconds=1)
    back = client.CreateCustomer(customer=new, evidence_time=after)
    assert client.LookupCustomer(**lookup, evidence_time=after) == back
    assert client.refused("LookupCustomer", **lookup, evidence_time=before).reason == "ERASED_PERSON"
