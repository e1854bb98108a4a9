"""Marketing pauses for open complaints, whatever order and however often they are told."""

from itertools import permutations

import pytest
from rapport.ticketing.v1 import events_pb2 as ticketing_events_pb2

from campaigns.store import Complaint, Message
from campaigns.usecases import advancing, sending
from campaigns.usecases.complaints import LOOK_AGAIN, PAUSED_FOR
from chassis.smtp import Mailer
from docstore import due

SERVICE = "campaigns"


@pytest.fixture
def complaint(hear):
    """Tells of a complaint."""

    def tell(customer: str, *, is_open: bool, ticket: str = "tickets/1", sequence: int = 1) -> None:
        message = ticketing_events_pb2.ComplaintOpened if is_open else ticketing_events_pb2.ComplaintClosed
        event = message(complaint={"ticket": ticket, "customer": customer, "open": is_open})
        hear(event, customer, subject=ticket, sequence=sequence)

    return tell


def test_nothing_is_sent_while_a_complaint_is_open_and_it_goes_on_when_it_is_closed(
    ready, work, inbox, complaint
) -> None:
    person, other = ready.consenting(), ready.consenting()
    complaint(person, is_open=True)
    ready.enter(person, other)
    work()
    assert ready.states(customer=person) == {"DEFERRED COMPLAINT_OPEN": 1}
    assert ready.states(customer=other) == {"SENT": 1}
    complaint(person, is_open=False, sequence=2)
    work()
    assert ready.states() == {"SENT": 2}
    assert len(inbox.to(ready.address(person))) == 1


def test_what_already_waits_is_paused_at_once_even_when_it_is_about_to_be_sent(
    ready, work, inbox, complaint, settings
) -> None:
    person = ready.consenting()
    ready.enter(person)
    while advancing.advance(settings):
        pass
    ((tenant, rows),) = due.claim(Message, 10, 60, "me")
    assert tenant == ready.tenant
    with ready.context(), Mailer(settings) as mailer:
        batch = sending._Batch(settings, mailer, tenant, [Message.from_row(row) for row in rows])
        complaint(person, is_open=True)  # after the sender's rules were looked at
        batch.work()
    assert ready.states() == {"DEFERRED COMPLAINT_OPEN": 1}
    assert inbox.to(ready.address(person)) == []


def test_a_person_who_merged_with_one_who_complained_gets_nothing(ready, work, inbox, complaint) -> None:
    person, same = ready.consenting(), ready.consenting()
    complaint(same, is_open=True)
    ready.merge(same, into=person)
    ready.enter(person)
    work()
    assert ready.states() == {"DEFERRED COMPLAINT_OPEN": 1}
    complaint(same, is_open=False, sequence=2)
    work()
    assert ready.states() == {"SENT": 1}


def test_all_complaints_must_be_closed_and_one_may_be_somebody_elses_after_all(ready, work, complaint, travel) -> None:
    person, other = ready.consenting(), ready.consenting()
    complaint(person, is_open=True)
    complaint(person, is_open=True, ticket="tickets/2")
    ready.enter(person)
    work()
    complaint(person, is_open=False, sequence=2)
    work()
    assert ready.states() == {"DEFERRED COMPLAINT_OPEN": 1}
    complaint(other, is_open=True, ticket="tickets/2", sequence=2)
    travel(seconds=LOOK_AGAIN.total_seconds() + 1)
    work()
    assert ready.states() == {"SENT": 1}


def test_a_message_is_given_up_when_the_complaint_outlasts_its_occasion(ready, work, inbox, complaint, travel) -> None:
    person = ready.consenting()
    complaint(person, is_open=True)
    ready.enter(person)
    work()
    travel(seconds=PAUSED_FOR.total_seconds() - 60)
    work()
    assert ready.states() == {"DEFERRED COMPLAINT_OPEN": 1}
    travel(hours=1)
    work()
    assert ready.states() == {"SUPPRESSED COMPLAINT_OPEN": 1}
    complaint(person, is_open=False, sequence=2)
    work()
    assert inbox.to(ready.address(person)) == []


@pytest.mark.parametrize("order", sorted(permutations((1, 2, 3))))
def test_the_last_word_counts_whatever_the_order(client, complaint, order) -> None:
    """1: complained, 2: closed, 3: open again; each told twice."""
    person = client.customer()
    for sequence in (*order, *order):
        complaint(person, is_open=sequence != 2, sequence=sequence)
    with client.context():
        assert Complaint.rows().count({"customer": person}) == 1
    for sequence in (4, *order):
        complaint(person, is_open=sequence in (1, 3), sequence=sequence)
    with client.context():
        assert Complaint.rows().count({}) == 0
