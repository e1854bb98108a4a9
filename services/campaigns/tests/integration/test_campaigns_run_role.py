"""The roles as processes: killed where it hurts, fed with repeats and disorder; real servers throughout."""

import random
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2

from campaigns.store import Message, messages
from campaigns.usecases import sending
from testkit import eventually
from testkit.telling import decoded

SERVICE = "campaigns"
SEGMENT = "segments/at-risk"


@pytest.fixture
def free_leases(client):
    """Lets what a killed process held be claimed at once: tests need not wait as long as people must."""

    def free() -> None:
        with client.context():
            for collection in ("messages", "journey_entries"):
                type(Message.rows())(collection).update_many({}, {"$unset": {"lease": ""}})

    return free


def test_exactly_one_message_for_each_step_whatever_is_killed(ready, runner, inbox, free_leases, travel) -> None:
    """kill -9 of `run` at random instants: every person gets each step's message under one Message-ID."""
    ready.journey(
        "two-steps", ready.mail("first"), ready.mail("second"), {"id": "end", "end": {}}, trigger={"segment": SEGMENT}
    )
    ready.PauseJourney(name="journeys/win-back")
    people = [ready.customer() for _ in range(40)]
    ready.know(*people)
    ready.grant(*people[:30])
    chance = random.Random(4)
    ready.enter(*people)
    kills = 0
    deadline = time.monotonic() + 120
    while kills < 6 or not finished(ready, people):
        assert time.monotonic() < deadline, ready.states()
        process = runner().start().wait_ready()
        if kills < 6:
            before = len(inbox.received)
            wanted = before + chance.randrange(1, 9)
            eventually(lambda wanted=wanted: len(inbox.received) >= wanted or finished(ready, people), 20, "progress")
            process.kill()
            kills += 1
            free_leases()
        else:
            travel(minutes=3)  # an entry whose message ended as the process was killed looks by itself
            eventually(lambda: finished(ready, people), 40, "all are settled")
            travel(minutes=3)
            eventually(lambda: {entry.state for entry in ready.entries("two-steps")} == {2}, 20, "all are at the end")
            assert process.stop() == 0
    assert ready.states(journey="journeys/two-steps") == {"SENT": 60, "REFUSED NEVER_ASKED": 20}
    headers = {(message.customer, message.step): message.message_id_header for message in ready.messages()}
    assert len(headers) == 80
    for person in people:
        got = {mail["Message-ID"] for mail in inbox.to(ready.address(person))}
        wanted = {headers[person, step] for step in ("first", "second")} if person in people[:30] else set()
        assert got == wanted


def finished(client, people: list[str]) -> bool:
    states = client.states(journey="journeys/two-steps")
    return sum(states.values()) == 2 * len(people) and not any("PENDING" in key or "DEFERRED" in key for key in states)


def test_a_mail_the_server_took_unseen_is_sent_again_as_it_was_or_never(
    ready, runner, inbox, free_leases, stored
) -> None:
    """Killed between the mail server's OK and our note of it; meanwhile the consent of one is taken back."""
    stays, leaves = ready.customer(), ready.customer()
    ready.know(stays, leaves)
    ready.grant(stays, leaves)
    inbox.hangs.set()
    first = runner().start()
    for person in (stays, leaves):  # one after the other, so that different connections bring them
        ready.enter(person)
        eventually(lambda person=person: inbox.to(ready.address(person)), 20, "it is under way")
    first.kill()
    ready.withdraw(leaves)
    ready.told_withdrawn(leaves)
    (row,) = stored(leaves)
    assert (row["state"], row["withdrawn"], row["handover"]) == (messages.PENDING, "WITHDRAWN", True)
    inbox.hangs.clear()
    free_leases()
    second = runner().start()
    eventually(lambda: ready.states() == {"SENT": 1, "REFUSED WITHDRAWN": 1}, 40, "both are settled")
    again = [mail["Message-ID"] for mail in inbox.to(ready.address(stays))]
    assert again == [stored(stays)[0]["header"]] * 2
    assert len(inbox.to(ready.address(leaves))) == 1
    assert second.stop() == 0
    assert "example.com" not in first.log.read_text() + second.log.read_text()


def test_an_attempt_under_way_that_fails_is_not_tried_again_after_a_withdrawal(ready, runner, inbox, stored) -> None:
    person = ready.consenting()
    inbox.answers[ready.address(person)] = "451 come back"
    inbox.hangs.set()
    process = runner().start()
    ready.enter(person)
    eventually(lambda: inbox.to(ready.address(person)), 40, "it is under way")
    ready.told_withdrawn(person)
    inbox.hangs.clear()
    eventually(lambda: ready.states() == {"REFUSED WITHDRAWN": 1}, 20, "it is given up")
    assert len(inbox.to(ready.address(person))) == 1
    assert process.stop() == 0


def test_two_runners_share_the_work(ready, runner, inbox, record_property) -> None:
    people = [ready.customer() for _ in range(200)]
    ready.know(*people)
    ready.grant(*people)
    one, other = runner().start().wait_ready(), runner().start().wait_ready()
    begin = time.monotonic()
    ready.enter(*people)
    with ready.context():
        eventually(lambda: Message.rows().count({"state": messages.SENT}) == 200, 30, "all are sent")
    record_property("mails_per_s", round(200 / (time.monotonic() - begin)))
    assert Counter(len(inbox.to(ready.address(person))) for person in people) == {1: 200}
    assert (one.stop(), other.stop()) == (0, 0)


def test_repeats_and_disorder_of_events_change_nothing(ready, publish, started, work, inbox, travel) -> None:
    """Everything told twice and shuffled, through the broker and a real worker."""
    people = [ready.customer() for _ in range(8)]
    ready.grant(*people)
    chance = random.Random(2)
    told = []
    for person in people:
        for sequence, given_name in ((1, "Old"), (2, "New")):
            state = {"customer": person, "email": ready.address(person), "given_name": given_name}
            told.append((identity_events_pb2.CustomerUpdated(customer=state), person, sequence))
    scores = [{"customer": person, "p_alive": 0.1} for person in people]
    told.append((scoring_events_pb2.SegmentEntered(segment=SEGMENT, customers=scores), SEGMENT, 1))
    alias = {"customer": people[7], "canonical_customer": people[6]}
    told.append((identity_events_pb2.CustomerMerged(alias=alias), people[7], 1))
    chance.shuffle(told)
    sent = [publish(event, subject=subject, sequence=version) for event, subject, version in told]
    for event in chance.sample(sent, len(sent)):
        publish(event)
    worker = started("work")
    marker = ready.customer()
    contact = {"customer": marker, "email": "m@example.com"}
    publish(identity_events_pb2.CustomerUpdated(customer=contact), subject=marker)
    eventually(lambda: known(ready, [marker]), 30, "all is handled")
    eventually(lambda: len(ready.entries()) == 8 and known(ready, people), 30, "all are in")
    work()
    assert ready.states()["SENT"] == 7
    assert {mail["Subject"] for person in people for mail in inbox.to(ready.address(person))} == {"Hello New"}
    assert [len(inbox.to(ready.address(person))) for person in people] == [1] * 7 + [0]
    assert worker.stop() == 0


def known(client, people: list[str]) -> bool:
    from campaigns.store import Contact

    with client.context():
        found = Contact.rows().count({"uid": {"$in": [person.rpartition("/")[2] for person in people]}})
    return found == len(people)


def test_a_withdrawal_overtakes_a_backlog(ready, publish, started, work, travel) -> None:
    person = ready.consenting()
    travel.to(datetime(2026, 7, 1, 23, tzinfo=UTC))
    ready.UpdateSendingPolicy(sending_policy={"quiet_start": {"hours": 21}, "quiet_end": {"hours": 8}})
    ready.enter(person)
    work()
    assert ready.states() == {"DEFERRED QUIET_HOURS": 1}
    state = {"email": "x@example.com"}
    for _ in range(500):
        other = ready.customer()
        publish(identity_events_pb2.CustomerUpdated(customer=state | {"customer": other}), subject=other)
    consent = {"consent": "consents/1", "customer": person, "purpose": "purposes/news", "channel": 1}
    publish(consent_events_pb2.ConsentWithdrawn(consent=consent), subject="consents/1")
    worker = started("work")
    eventually(lambda: ready.states() == {"REFUSED WITHDRAWN": 1}, 20, "it is cancelled")
    assert worker.stop() == 0


def test_what_happened_is_told(ready, captured, started, work) -> None:
    told = captured("rapport.campaigns.v1.MessageSent")
    person = ready.consenting()
    ready.enter(person)
    work()
    (message,) = ready.messages()
    started("relay")
    envelope = eventually(told, 30, "the event")[0]
    event = decoded(envelope)
    assert envelope.datasubjects == (person,)
    assert (event.message.message, event.message.customer, event.decision) == (message.name, person, message.decision)


def test_the_role_serve_answers_and_ends_in_peace(client, started) -> None:
    process = started("serve")
    assert process.stop() == 0


def test_a_lease_outlives_the_longest_wait_for_the_mail_server() -> None:
    assert sending.LEASE_S > 30
