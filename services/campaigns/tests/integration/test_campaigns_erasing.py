"""Erasing people: everything is looked through, decoded, before and after; sends in flight, links, sums."""

import threading
from typing import Any

import pytest
from rapport.campaigns.v1 import events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.ticketing.v1 import events_pb2 as ticketing_events_pb2

import docstore
from campaigns.mail import unsealed
from campaigns.store import Message
from campaigns.usecases import advancing, sending
from campaigns.usecases.erasing import erase
from chassis.errors import Unavailable
from chassis.smtp import Mailer
from docstore import due
from eventing import erasing, sweeping
from eventing.records import ErasureTask
from testkit import eventually

SERVICE = "campaigns"
ABOUT_ERASURES = {"eventing_tombstones", "erasure_tasks", "eventing_handled", "eventing_states"}
"""Collections that keep the names of erased people, so that late events can be dropped."""


def holding(client, text: str) -> set[str]:
    """The collections in which a text stands, sealed mails opened."""
    found = set()
    with client.context(), docstore.platform_scope():
        for name in docstore.database().list_collection_names():
            for row in docstore.database()[name].find({"tenant": client.tenant}):
                texts = [repr(row)]
                if name == "messages" and row.get("sealed"):
                    texts.append(repr(unsealed(Message.from_row(row))))
                if any(text in each for each in texts):
                    found.add(name)
    return found - ABOUT_ERASURES


@pytest.fixture
def erased(ready, settings):
    """One sweep as role `run` does it; returns what campaigns itself erased."""

    def sweep(*people: str) -> dict[str, tuple[int, int]]:
        with ready.context():
            found = dict(erase(list(people)))
            sweeping.sweep(settings, frozenset(people))
        return found

    return sweep


@pytest.fixture
def mail_server_away(settings, work):
    """Lets messages be written down, but the mail server is away."""

    def until_idle() -> None:
        away = settings.model_copy(update={"smtp_port": 9})
        while advancing.advance(settings):
            pass
        with Mailer(away) as mailer:
            sending.send_due(away, mailer)

    return until_idle


def test_nothing_of_a_person_is_left_and_everything_of_the_others_is(
    ready, work, inbox, mail_server_away, erased
) -> None:
    gone, same, stays, left = (ready.customer() for _ in range(4))
    for person in (gone, same, stays, left):
        ready.know(person, given_name=f"Planted{person[-6:]}", email=f"planted{person[-6:]}@example.com")
    ready.grant(gone, stays, left)
    ready.merge(same, into=gone)
    ready.enter(gone, stays, left, reasons=["Planted reason"])
    work()
    for person in (gone, stays, left):
        (mail,) = inbox.to(f"planted{person[-6:]}@example.com")
        ready.FollowLink(token=link(mail, "/l/"))
        if person in (stays, left):
            ready.Unsubscribe(token=link(mail, "/u/"))
    ready.enter(gone)
    mail_server_away()
    complaint = {"ticket": "tickets/1", "customer": same, "open": True}
    ready.tell(ticketing_events_pb2.ComplaintOpened(complaint=complaint), "tickets/1")
    ready.CreateSuppression(
        suppression={"email": f"planted{gone[-6:]}@example.com", "reason": "REASON_COMPLAINT"},
        request_id="0d3f1c5e-6b0e-4c1a-9a6e-6f1f6f0a7b11",
    )
    before = {text: holding(ready, text) for text in texts(gone, same, left)}
    assert set.union(*before.values()) == {
        *("contacts", "messages", "journey_entries", "entry_notices", "unsubscribes", "complaints"),
        "customer_aliases",
    }
    assert all(before.values()), before
    others = {text: holding(ready, text) for text in texts(stays)}
    counted = ready.states()

    done = erased(gone, same, left)

    assert {text: holding(ready, text) for text in texts(gone, same, left)} == {
        text: set() for text in texts(gone, same, left)
    }
    assert {text: holding(ready, text) for text in texts(stays)} == others
    assert done == {
        "messages": (0, 3),
        "journeyEntries": (3, 0),
        "unsubscribes": (1, 0),
        "complaints": (1, 0),
        "contacts": (3, 0),
        "customerAliases": (1, 0),
    }
    assert sum(ready.states().values()) == sum(counted.values())
    mine = [message for message in ready.messages() if not message.customer]
    assert sorted((message.state, message.click_count) for message in mine) == [(2, 1), (2, 1), (3, 0)]
    assert {(message.journey, message.template) for message in mine} == {("journeys/win-back", "templates/hello")}
    assert len(ready.ListSuppressions(email=f"planted{gone[-6:]}@example.com").suppressions) == 1
    with ready.context():
        assert docstore.collection("suppressions").find_one({})["reason"] == "REASON_COMPLAINT"
        assert not docstore.collection("suppressions").find_one({"requests": {"$exists": True}})
    assert not any(sum(counts) for counts in erased(gone, same, left).values()), "again: nothing is left to do"
    work()
    assert holding(ready, gone) == set()


def texts(*people: str) -> list[str]:
    return [text for person in people for text in (person, f"Planted{person[-6:]}", f"planted{person[-6:]}@")]


def link(mail: Any, path: str) -> str:
    text = mail.get_body(("plain",)).get_content()
    return str(text.split(path)[1].split()[0])


def test_links_in_mails_of_erased_people_lead_nowhere_and_an_unsubscription_is_true_anyway(
    ready, work, inbox, refused, erased
) -> None:
    person = ready.consenting()
    ready.enter(person)
    work()
    (mail,) = inbox.to(ready.address(person))
    erased(person)
    with refused("LINK_INVALID"):
        ready.FollowLink(token=link(mail, "/l/"))
    answer = ready.Unsubscribe(token=link(mail, "/u/"))
    assert (answer.unsubscribed, answer.masked_email) == (True, "")
    assert ready.ViewUnsubscribe(token=link(mail, "/u/")).unsubscribed
    assert holding(ready, person) == set()


def test_what_was_claimed_to_be_sent_is_not_sent_any_more(ready, settings, inbox, erased) -> None:
    person = ready.consenting()
    ready.enter(person)
    while advancing.advance(settings):
        pass
    ((tenant, rows),) = due.claim(Message, 10, 60, "me")
    with ready.context(), Mailer(settings) as mailer:
        batch = sending._Batch(settings, mailer, tenant, [Message.from_row(row) for row in rows])
        erased(person)  # after everything about the person was read
        batch.work()
    assert inbox.to(ready.address(person)) == []
    assert ready.states() == {"REFUSED ERASED": 1}
    assert holding(ready, person) == set()


def test_an_erasure_waits_for_the_mail_server_to_answer(ready, settings, inbox, erased) -> None:
    person = ready.consenting()
    ready.enter(person)
    while advancing.advance(settings):
        pass
    inbox.hangs.set()
    with Mailer(settings) as mailer:
        sender = threading.Thread(target=sending.send_due, args=(settings, mailer))
        sender.start()
        eventually(lambda: inbox.to(ready.address(person)), 20, "it is under way")
        with ready.context(), pytest.raises(Unavailable, match="at this instant"):
            erase([person])
        assert holding(ready, person) == {"messages", "entry_notices"}, "and what is not sent yet of the entry"
        inbox.hangs.clear()
        sender.join()
    assert erased(person)["messages"] == (0, 1)
    assert ready.states() == {"SENT": 1}
    assert holding(ready, person) == set()


def test_a_mail_that_a_dead_runner_was_handing_over_is_not_tried_again(ready, settings, inbox) -> None:
    person = ready.consenting()
    ready.enter(person)
    while advancing.advance(settings):
        pass
    with ready.context():
        # As a runner leaves it that died while it handed the message over.
        Message.rows().update_many({}, {"$set": {"handover": True}})
        assert erase([person])["messages"] == (0, 1)
    with Mailer(settings) as mailer:
        assert sending.send_due(settings, mailer) == 0
    assert inbox.to(ready.address(person)) == []
    assert ready.states() == {"REFUSED ERASED": 1}


def test_the_role_run_erases(ready, runner, hear) -> None:
    person = ready.customer()
    ready.know(person, given_name="Planted")
    ready.enter(person)
    request = consent_events_pb2.ErasureRequested(erasure_request="erasureRequests/2", customers=[person])
    hear(request, person, subject="erasureRequests/2")
    process = runner().start().wait_ready()
    eventually(lambda: holding(ready, person) | holding(ready, "Planted") == set(), 20, "the first sweep")
    assert process.stop() == 0


def test_consent_asks_the_role_run_erases_and_answers_and_nobody_comes_back(
    ready, settings, hear, work, inbox, monkeypatch
) -> None:
    monkeypatch.setattr(erasing, "QUIET_S", 0.0)
    person, other = ready.customer(), ready.customer()
    ready.know(person, other)
    ready.grant(person, other)
    ready.enter(person, other)
    hear(
        consent_events_pb2.ErasureRequested(erasure_request="erasureRequests/1", customers=[person]),
        person,
        subject="erasureRequests/1",
    )
    work()
    assert (inbox.to(ready.address(person)), len(inbox.to(ready.address(other)))) == ([], 1)
    assert ready.states() == {"REFUSED ERASED": 1, "SENT": 1}
    assert erasing.step(settings, erase, events_pb2.SubjectErased)
    assert holding(ready, person) == set()
    hear(ticketing_events_pb2.ComplaintOpened(complaint={"ticket": "tickets/1", "customer": person}), person)
    with ready.context():
        (task,) = ErasureTask.rows().find({})
        (told,) = [entry for entry in task["outbox"] if entry["type"] == "rapport.campaigns.v1.SubjectErased"]
    answer = events_pb2.SubjectErased.FromString(told["body"]).answer
    assert list(answer.customers) == [person]
    assert {item.kind: (item.removed, item.anonymized) for item in answer.items} == {
        "messages": (0, 1),
        "journeyEntries": (1, 0),
        "contacts": (1, 0),
        "unsentEvents": (0, 1),
    }
    assert holding(ready, person) == set()
