"""A service's part of an erasure: tombstones, two sweeps, one answer, whatever dies when."""

import signal
from datetime import UTC, datetime

import pytest
from rapport.consent.v1 import consent_service_pb2
from rapport.consent.v1 import events_pb2 as consent_events
from rapport.identity.v1 import events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events
from sample.effects import erase
from sample.handlers import Handlers
from sample.publishing import event, fact
from sample.store import Thing

import docstore
from chassis import clock, errors, ids, interceptors
from docstore.outbox import DATASUBJECTS_MAX_BYTES
from eventing import dead_letters, erasing, pruning, republish, sweeping, timers, tombstones
from eventing.delivery import Delivery, Message
from eventing.records import ErasureTask
from eventing.relay.outbox import Outbox
from eventing.verdicts import Settle
from testkit import eventually

SERVICE = "sample"
pytestmark = pytest.mark.usefixtures("database", "tenant", "topology_file")


@pytest.fixture(autouse=True)
def swift(monkeypatch):
    """Sweeps follow at once."""
    monkeypatch.setattr(erasing, "QUIET_S", 0.0)


@pytest.fixture(scope="module")
def delivery():
    return Delivery("sample", Handlers)


def person():
    return f"customers/{ids.uuid7()}"


def request_for(*customers, uid=None):
    name = f"erasureRequests/{uid or ids.uuid7()}"
    asked = consent_events.ErasureRequested(erasure_request=name, customers=customers)
    return event(asked, name, source="//rapport/consent", datasubjects=customers)


def deliver(delivery, envelope):
    properties = envelope.to_properties()
    assert delivery.process([Message(properties["headers"], properties, envelope.body)])[0].settle is Settle.DONE


def task_of(envelope):
    return docstore.collection(ErasureTask).find_one({"uid": envelope.subject.rpartition("/")[2]})


def answers(envelope):
    entries = (task_of(envelope) or {}).get("outbox", [])
    assert {entry["type"] for entry in entries} <= {"rapport.identity.v1.SubjectErased"}
    return [events_pb2.SubjectErased.FromString(bytes(entry["body"])).answer for entry in entries]


def counts(answer):
    return {item.kind: (item.removed, item.anonymized) for item in answer.items}


def tracked(*customers):
    return events_pb2.EventsTracked(events=[events_pb2.TrackedEvent(customer=name, event="Seen") for name in customers])


def test_an_event_is_about_everybody_it_names_unless_told_otherwise():
    anna, bert, chris = person(), person(), person()
    scores = scoring_events.ScoresUpdated(
        scoring_job=f"scoringJobs/{ids.uuid7()}",
        scores=[scoring_events.ScoreSnapshot(customer=name) for name in (anna, bert, anna)],
        removed_customers=[chris],
    )
    thing = Thing.new(label="x")
    thing.emit(scores)
    thing.emit(scores, [bert])
    thing.insert()
    stored = docstore.collection(Thing).find_one({"uid": thing.uid})["outbox"]
    assert [entry["datasubjects"] for entry in stored] == [[anna, bert, chris], [bert]]


def test_more_people_than_one_header_takes_are_refused_at_emit():
    most = DATASUBJECTS_MAX_BYTES // (len(person()) + 1)
    assert most > 2000
    fitting = tracked(*(person() for _ in range(most)))
    Thing.new(label="x").emit(fitting)
    with pytest.raises(ValueError, match=f"is about {most + 1} people.*several events"):
        Thing.new(label="x").emit(tracked(*(person() for _ in range(most + 1))))


def test_the_largest_header_passes_the_broker(bus):
    most = DATASUBJECTS_MAX_BYTES // (len(person()) + 1)
    people = tuple(person() for _ in range(most))
    bus.publish(fact(datasubjects=people), exchange="", key="sample.dead")
    eventually(lambda: bus.count("sample.dead") == 1)


def test_elements_that_name_the_erased_go_and_their_neighbours_stay():
    anna, bert = person(), person()
    given = consent_service_pb2.ListErasureRequestsResponse(
        erasure_requests=[
            {"customer": bert, "customers": [anna, bert]},
            {"customer": anna, "customers": [anna]},
        ]
    )
    name = given.DESCRIPTOR.full_name
    rest = pruning.pruned(name, given.SerializeToString(), [anna, bert], frozenset({anna}))
    left = consent_service_pb2.ListErasureRequestsResponse.FromString(rest.body)
    assert [(each.customer, list(each.customers)) for each in left.erasure_requests] == [(bert, [bert])]
    assert rest.datasubjects == (bert,)


@pytest.mark.parametrize("case", ["everybody", "singular", "unnamed", "unknown"])
def test_what_cannot_be_told_without_the_erased_goes_whole(case):
    anna, bert = person(), person()
    alias = events_pb2.CustomerMerged(alias={"customer": bert, "canonical_customer": anna})
    message, people = {
        "everybody": (tracked(anna), [anna]),
        "singular": (alias, [anna, bert]),
        "unnamed": (tracked(bert), [anna, bert]),
        "unknown": (tracked(anna, bert), [anna, bert]),
    }[case]
    name = "rapport.nowhere.v1.Unknown" if case == "unknown" else message.DESCRIPTOR.full_name
    assert pruning.pruned(name, message.SerializeToString(), people, frozenset({anna})) is None


def test_a_handler_gets_what_is_left_of_an_event_about_others_too(delivery):
    anna, bert = person(), person()
    tombstones.erase([anna])
    seen = []
    delivery._handlers.collect = lambda message, envelope: seen.append((message, envelope.datasubjects))
    try:
        deliver(delivery, fact_about(anna, bert))
        deliver(delivery, fact_about(anna))
    finally:
        del delivery._handlers.collect
    assert seen == [(tracked(bert), (bert,))]


def fact_about(*customers, **fields):
    return event(tracked(*customers), "imports/1", datasubjects=customers, **fields)


def test_a_request_is_swept_twice_and_answered_once(delivery, database, monkeypatch):
    monkeypatch.setattr(erasing, "QUIET_S", 3600.0)
    anna = person()
    asked = request_for(anna)
    Thing.new(label=anna).insert()
    deliver(delivery, asked)
    deliver(delivery, asked)
    with pytest.raises(errors.FailedPrecondition) as refused:
        erasing.require_not_erased(person(), anna)
    assert refused.value.reason == "CUSTOMER_ERASED"
    erasing.step(database, erase, events_pb2.SubjectErased)
    assert Thing.rows().count({"label": anna}) == 0
    # Of somebody who read the tombstones before they were there.
    Thing.new(label=anna).insert()
    erasing.step(database, erase, events_pb2.SubjectErased)
    assert answers(asked) == []
    monkeypatch.setattr(erasing, "QUIET_S", 0.0)
    docstore.collection(ErasureTask).update_one({"uid": task_of(asked)["uid"]}, {"$unset": {"lease": ""}})
    for _ in range(3):
        erasing.step(database, erase, events_pb2.SubjectErased)
    (answer,) = answers(asked)
    assert (answer.erasure_request, list(answer.customers), answer.interrupted) == (asked.subject, [anna], False)
    assert counts(answer) == {"things": (2, 0)}


def test_nothing_under_way_outlives_the_quiet_time(monkeypatch):
    monkeypatch.undo()
    assert erasing.CALL_LIMIT_S == interceptors.DEADLINE_MAX_S
    assert max(erasing.CALL_LIMIT_S, erasing.HANDLER_LIMIT_S) < erasing.QUIET_S


def test_a_second_round_about_more_people_gets_through_and_adds_up(delivery, database):
    anna, bert = person(), person()
    first = request_for(anna)
    for name in (anna, bert):
        Thing.new(label=name).insert()
    deliver(delivery, first)
    erasing.step(database, erase, events_pb2.SubjectErased)
    assert counts(answers(first)[-1]) == {"things": (1, 0)}
    deliver(delivery, request_for(anna, bert, uid=first.subject.rpartition("/")[2]))
    erasing.step(database, erase, events_pb2.SubjectErased)
    one, two = answers(first)
    assert list(one.customers) == [anna]
    assert list(two.customers) == sorted([anna, bert])
    assert counts(two) == {"things": (2, 0)}
    first_sequence, second_sequence = (entry["sequence"] for entry in task_of(first)["outbox"])
    assert second_sequence > first_sequence


def test_a_request_about_people_already_erased_gets_through(delivery, database):
    anna = person()
    first = request_for(anna)
    deliver(delivery, first)
    erasing.step(database, erase, events_pb2.SubjectErased)
    Thing.new(label=anna).insert()
    deliver(delivery, request_for(anna, uid=first.subject.rpartition("/")[2]))
    erasing.step(database, erase, events_pb2.SubjectErased)
    assert [counts(answer) for answer in answers(first)] == [{}, {"things": (1, 0)}]


def test_customers_that_a_service_finds_are_erased_as_well(delivery, database):
    anna, bert = person(), person()
    asked = request_for(anna)
    Thing.new(label=bert).insert()

    def knows_more(customers):
        return erasing.Erased(erase(customers), frozenset({anna, bert}))

    deliver(delivery, asked)
    erasing.step(database, knows_more, events_pb2.SubjectErased)
    (answer,) = answers(asked)
    assert list(answer.customers) == sorted([anna, bert])
    assert counts(answer) == {"things": (1, 0)}
    assert tombstones.erased([bert])


def test_asked_again_while_sweeping_loses_no_count(delivery, database):
    anna, bert = person(), person()
    asked = request_for(anna)
    for name in (anna, bert):
        Thing.new(label=name).insert()
    deliver(delivery, asked)
    again = iter([request_for(anna, bert, uid=asked.subject.rpartition("/")[2])])

    swept = []

    def interrupted(customers):
        swept.append(set(customers))
        done = erase(customers)
        for each in again:
            deliver(delivery, each)
        return done

    erasing.step(database, interrupted, events_pb2.SubjectErased)
    assert swept == [{anna}, {anna, bert}, {anna, bert}]
    (answer,) = answers(asked)
    assert list(answer.customers) == sorted([anna, bert])
    assert counts(answer) == {"things": (2, 0)}


def test_a_task_that_fails_backs_off_and_holds_up_nobody(delivery, database, caplog):
    anna, bert = person(), person()
    failing, fine = request_for(anna), request_for(bert)
    deliver(delivery, failing)
    deliver(delivery, fine)

    def fails(customers):
        if anna in customers:
            raise ValueError("anna@example.com")
        return erase(customers)

    erasing.step(database, fails, events_pb2.SubjectErased)
    assert (len(answers(failing)), len(answers(fine))) == (0, 1)
    task = task_of(failing)
    assert task["attempts"] == 1
    assert task["lease"]["until"].replace(tzinfo=UTC) > clock.real_now()
    assert "ValueError" in caplog.text
    assert "anna" not in caplog.text


@pytest.mark.parametrize(
    ("place", "call"),
    [("sample.effects:erase", 1), ("eventing.erasing:_sweep", 2), ("eventing.erasing:_answer", 1)],
)
def test_a_kill_anywhere_leaves_one_answer_with_true_counts(
    delivery, database, settings_for, role, failpoint, place, call
):
    anna = person()
    asked = request_for(anna)
    for _ in range(3):
        Thing.new(label=anna).insert()
    deliver(delivery, asked)
    with failpoint(place, call=call):
        dying = role(settings_for("sample", role="run")).start()
        assert dying.process.wait(60) == -signal.SIGKILL
    assert answers(asked) == []
    survivor = role(settings_for("sample", role="run")).start()
    eventually(lambda: answers(asked), 60)
    assert survivor.stop() == 0
    (answer,) = answers(asked)
    assert counts(answer) == {"things": (3, 0)}


def test_counts_that_a_kill_took_along_are_called_minima(delivery, database, settings_for, role, failpoint):
    anna = person()
    asked = request_for(anna)
    for _ in range(3):
        Thing.new(label=anna).insert()
    deliver(delivery, asked)
    with failpoint("eventing.sweeping:sweep"):  # the things are gone, and nobody knows how many
        assert role(settings_for("sample", role="run")).start().process.wait(60) == -signal.SIGKILL
    assert Thing.rows().count({"label": anna}) == 0
    survivor = role(settings_for("sample", role="run")).start()
    eventually(lambda: answers(asked), 60)
    assert survivor.stop() == 0
    (answer,) = answers(asked)
    assert (counts(answer), answer.interrupted) == ({}, True)


def log(envelope):
    row = {
        "uid": envelope.id, "type": envelope.type, "subject": envelope.subject, "time": envelope.time,
        "sequence": [1, 0], "body": envelope.body, "datasubjects": list(envelope.datasubjects),
        "publish_time": datetime.now(UTC),
    }  # fmt: skip
    docstore.collection("fact_log").insert_one(row)
    return envelope


def logged(envelope):
    return docstore.collection("fact_log").find_one({"uid": envelope.id})


def test_the_fact_log_forgets_the_erased_and_nobody_else(database):
    anna, bert = person(), person()
    alone, shared, other = log(fact_about(anna)), log(fact_about(bert, anna)), log(fact_about(bert))
    asked = log(request_for(anna))
    assert sweeping.sweep(database, frozenset({anna}))["publishedEvents"] == (1, 1)
    assert logged(alone) is None
    assert bytes(logged(shared)["body"]) == tracked(bert).SerializeToString(deterministic=True)
    assert logged(shared)["datasubjects"] == [bert]
    assert bytes(logged(other)["body"]) == other.body
    assert bytes(logged(asked)["body"]) == asked.body
    assert sweeping.sweep(database, frozenset({anna}))["publishedEvents"] == (0, 0)


def test_unsent_events_forget_the_erased_and_are_still_relayed(database):
    anna, bert = person(), person()
    thing = Thing.new(label="x")
    for message in (tracked(anna), tracked(anna, bert), tracked(bert)):
        thing.emit(message)
    thing.insert()
    relaying = Outbox()
    read_before = [source for source in relaying.read() if source.key.endswith(thing.uid)]
    assert sweeping.sweep(database, frozenset({anna}))["unsentEvents"] == (1, 1)
    left = docstore.collection(Thing).find_one({"uid": thing.uid})["outbox"]
    assert [events_pb2.EventsTracked.FromString(bytes(entry["body"])) for entry in left] == [tracked(bert)] * 2
    assert left[0]["datasubjects"] == [bert]
    relaying.remove(read_before, {entry["id"] for source in read_before for entry in source.entries})
    assert docstore.collection(Thing).find_one({"uid": thing.uid})["outbox"] == []


def test_a_purged_document_goes_with_its_last_unsent_event(database):
    anna = person()
    thing = Thing.new(label="x").insert()
    thing.emit(tracked(anna))
    thing.purge()
    sweeping.sweep(database, frozenset({anna}))
    assert docstore.collection(Thing).find_one({"uid": thing.uid}) is None


def test_a_relay_that_logs_after_the_sweep_brings_nobody_back(database):
    anna, bert = person(), person()
    thing = Thing.new(label="x")
    thing.emit(tracked(anna))
    thing.emit(tracked(anna, bert))
    thing.insert()
    relaying = Outbox()
    read_before = [source for source in relaying.read() if source.key.endswith(thing.uid)]
    tombstones.erase([anna])
    sweeping.sweep(database, frozenset({anna}))
    relaying.keep_facts(read_before)
    rows = [docstore.collection("fact_log").find_one({"uid": entry["id"]}) for entry in read_before[0].entries]
    assert rows[0] is None
    assert rows[1]["datasubjects"] == [bert]
    assert anna.encode() not in bytes(rows[1]["body"])


def test_timers_that_name_the_erased_are_withdrawn(database):
    anna, bert = person(), person()
    for key, payload in (("a", {"to": [anna]}), ("b", {"to": [bert]}), ("c", {"nested": {"who": anna}})):
        timers.schedule(f"{anna}/{key}", clock.now(), "nobody", payload)
    rows = docstore.collection("timers")
    rows.update_one({"uid": f"{anna}/c"}, {"$set": {"state": "FIRED"}})
    assert sweeping.sweep(database, frozenset({anna}))["timers"] == (1, 1)
    left = {key: rows.find_one({"uid": f"{anna}/{key}"}) for key in "abc"}
    assert left["a"] is None
    assert left["b"]["payload"] == {"to": [bert]}
    assert left["c"]["payload"] == {}


def test_dead_letters_forget_the_erased_and_keep_their_neighbours(database, amqp, bus):
    anna, bert = person(), person()
    buried = {
        "other": fact_about(bert),
        "alone": fact_about(anna),
        "shared": fact_about(anna, bert),
        "elsewhere": fact_about(anna, tenant="other"),
        "asked": request_for(anna),
        "untold": event(tracked(anna), "imports/1"),
    }
    for envelope in buried.values():
        properties = envelope.to_properties()
        properties["headers"] |= {"rapport-attempt": 4, "rapport-dead-reason": "ATTEMPTS_EXHAUSTED", "x-death": []}
        bus.raw(envelope.body, properties, key="sample.dead")
    bus.raw(b"\xff", {"content_type": "text/plain"}, key="sample.dead")
    assert sweeping.sweep(database, frozenset({anna}))["deadLetters"] == (2, 1)
    assert sweeping.sweep(database, frozenset({anna}))["deadLetters"] == (0, 0)
    eventually(lambda: bus.count("sample.dead") == 5)
    left = {}
    for _ in range(5):
        _, properties, body = bus.take("sample.dead")
        left[properties.message_id] = (properties.headers, body)
    kept = {name: left.get(envelope.id) for name, envelope in buried.items()}
    assert kept["alone"] is kept["untold"] is None
    for name in ("other", "elsewhere", "asked"):
        assert kept[name][1] == buried[name].body
    headers, body = kept["shared"]
    assert body == tracked(bert).SerializeToString(deterministic=True)
    assert (headers["ce-datasubjects"], headers["rapport-dead-reason"]) == (bert, "ATTEMPTS_EXHAUSTED")
    assert left[None][1] == b"\xff"


def test_what_fails_after_the_sweep_is_no_dead_letter(database, bus, settings_for, role, failpoint):
    anna, bert = person(), person()
    refused = {
        name: event(
            events_pb2.EventsTracked(events=[events_pb2.TrackedEvent(customer=name, event="refuse")]),
            "imports/1",
            datasubjects=[name],
        )
        for name in (anna, bert)
    }
    with failpoint("eventing.settle:Settler._copy", action="pause") as there:
        worker = role(settings_for("sample", role="work")).start().wait_ready()
        bus.publish(refused[anna])
        there.wait()
        tombstones.erase([anna])
        assert sweeping.sweep(database, frozenset({anna}))["deadLetters"] == (0, 0)
        there.release()
        bus.publish(refused[bert])
        eventually(lambda: bus.count("sample.dead") == 1)
        assert worker.stop() == 0
    assert bus.take("sample.dead")[1].message_id == refused[bert].id
    assert (bus.count("sample"), bus.count("sample.dead")) == (0, 0)


def test_a_broker_lost_while_purging_loses_no_letter(database, amqp, bus, monkeypatch):
    anna, bert = person(), person()
    shared = fact_about(anna, bert)
    bus.raw(shared.body, shared.to_properties(), key="sample.dead")
    monkeypatch.setattr(dead_letters.BlockingChannel, "basic_ack", lambda *_: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        sweeping.sweep(database, frozenset({anna}))
    monkeypatch.undo()
    eventually(lambda: bus.count("sample.dead") == 2)
    assert sweeping.sweep(database, frozenset({anna}))["deadLetters"] == (0, 1)
    bodies = [bus.take("sample.dead")[2] for _ in range(2)]
    assert bodies == [tracked(bert).SerializeToString(deterministic=True)] * 2


def test_republishing_carries_the_people_and_brings_no_erased_one_back(
    delivery, database, settings_for, bus, monkeypatch
):
    docstore.collection(Thing).delete_many({})
    docstore.collection("fact_log").delete_many({})
    anna = person()

    def names_a_customer(thing):
        return [events_pb2.CustomerUpdated(customer=events_pb2.CustomerState(customer=thing.label))]

    monkeypatch.setattr(Thing, "state_events", names_a_customer)
    Thing.new(label=anna).insert()
    log(fact_about(anna))
    settings = settings_for("sample", role="republish")
    assert republish.republish(settings, "sample") == 2
    assert [bus.take("sample")[1].headers["ce-datasubjects"] for _ in range(2)] == [anna, anna]
    deliver(delivery, request_for(anna))
    erasing.step(database, erase, events_pb2.SubjectErased)
    assert republish.republish(settings, "sample") == 0


def test_an_erasure_without_customers_is_no_erasure(delivery):
    envelope = request_for()
    properties = envelope.to_properties()
    outcome = delivery.process([Message(properties["headers"], properties, envelope.body)])[0]
    assert outcome.settle is not Settle.DONE
