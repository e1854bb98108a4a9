"""Nothing of an erased person is left in any collection or file; counts and service levels stay."""

import uuid
from datetime import timedelta
from typing import Any

import bson
import pytest

import docstore
from docstore import blobs
from ticketing.store import InboundMail, OutgoingMail, TicketMessage
from ticketing.store.inbound_mails import PROCESSED, RawMail
from ticketing.store.messages import Attachment
from ticketing.usecases import messages
from ticketing.usecases.erasing import erase
from ticketing.usecases.opening import Said

SERVICE = "ticketing"
PLANTED = "planted"


@pytest.fixture
def store(settings) -> blobs.BlobStore:
    return blobs.store(settings)


def planted(client, settings, store) -> Any:
    """A customer with a ticket of every kind of content, each holding the word `planted`."""
    customer = client.customer()
    ticket = client.ticket(
        customer=customer,
        kind="KIND_UNSPECIFIED",
        subject=f"{PLANTED} complaint",
        requester_email=f"{PLANTED}@example.com",
        text=f"This is terrible, {PLANTED} me. I want to complain!",
    )
    client.say(ticket, f"{PLANTED} answer", "AUTHOR_AGENT")
    client.say(ticket, f"{PLANTED} note", "AUTHOR_INTERNAL")
    note = str(uuid.uuid4())
    with client.context():
        store.put(ticket.name, "a" * 64, PLANTED.encode())
        attachment = Attachment(filename=f"{PLANTED}.txt", content_type="text/plain", size_bytes=7, sha256="a" * 64)
        said = Said(f"{PLANTED} mail", "AUTHOR_CUSTOMER", "CHANNEL_EMAIL", uid=note, attachments=[attachment],
                    message_id=f"<{PLANTED}@example.com>")  # fmt: skip
        docstore.in_transaction(lambda: messages.post(ticket.uid, said))
        InboundMail.new(
            uid=note, fingerprint=PLANTED, state=PROCESSED, masked_sender="p***@example.com", customer=customer,
            message_id=f"<{PLANTED}@example.com>", size_bytes=7, attachments=[attachment], ticket=ticket.name,
        ).insert()  # fmt: skip
        RawMail.of(note, PLANTED.encode()).insert()
    return client.now(ticket)


def left(client) -> dict[str, list[str]]:
    """Where the word is still found, collection by collection; unsent events and marks of requests are eventing's."""
    found: dict[str, list[str]] = {}
    with client.context(), docstore.platform_scope():
        for name in docstore.database().list_collection_names():
            for row in docstore.platform_collection(name).find({"tenant": client.tenant}):
                row.pop("outbox", None)
                if PLANTED.encode() in bson.encode(row).lower():
                    found.setdefault(name, []).append(row["_id"])
    return found


def test_nothing_of_an_erased_person_is_left(client, settings, store, travel) -> None:
    client.always()
    client.policy(
        calendar="calendars/always", targets=[{"priority": "PRIORITY_NORMAL", "resolution": timedelta(hours=1)}]
    )
    client.agent("ann")
    ticket = planted(client, settings, store)
    client.AssignTicket(name=ticket.name, agent="agents/ann")
    unknown = client.ticket(subject=f"{PLANTED} too", requester_email=f"{PLANTED}@example.com")
    other = client.ticket(customer=client.customer(), text="Where is my parcel?")
    client.merge(client.customer(), ticket.customer)
    travel(hours=2)
    resolved = client.ResolveTicket(name=ticket.name)
    assert set(left(client)) == {"tickets", "messages", "inbound_mails"}
    with client.context():
        counts = erase([ticket.customer], blobs=store)
        assert counts == {
            "tickets": (0, 2),
            "ticketMessages": (4, 0),
            "inboundMails": (1, 0),
            "outgoingMails": (1, 0),
            "attachments": (1, 0),
            "customerAliases": (1, 0),
        }
        assert store.list(ticket.name) == []
        assert all(each == (0, 0) for each in erase([ticket.customer], blobs=store).values())
        assert {cls.rows().count({}) for cls in (InboundMail, RawMail, OutgoingMail)} == {0}
        assert TicketMessage.rows().count({}) == 0
    assert left(client) == {}
    kept = client.now(ticket)
    assert (kept.subject, kept.customer, kept.requester_email, kept.kind_reason) == ("erased", "", "", "")
    assert (kept.kind, kept.sla, kept.assignment.agent) == (resolved.kind, resolved.sla, "agents/ann")
    assert kept.sentiment.label == resolved.sentiment.label
    assert list(kept.sentiment.reasons) == []
    assert client.now(other).subject == "Where is it?"
    assert [each.text for each in client.ListTicketMessages(parent=other.name).ticket_messages] == [
        "Where is my parcel?"
    ]
    assert client.now(unknown).subject == "erased"


def test_what_nobody_can_be_answered_any_more_is_resolved(client, store, work) -> None:
    client.agent("ann", capacity=1)
    customer = client.customer()
    complaint = client.ticket(customer=customer, kind="KIND_COMPLAINT")
    waiting = client.ticket()
    work()
    assert client.now(waiting).state == 1
    with client.context():
        erase([customer], blobs=store)
    assert client.now(complaint).state == 4
    told = client.told(complaint.name)
    assert [name for name, _ in told][-1] == "TicketResolved"
    assert (told[-1][1].ticket.subject, told[-1][1].ticket.customer) == ("erased", "")
    work()
    assert client.now(waiting).assignment.agent == "agents/ann"


def test_many_tickets_are_erased_in_bulk(client, store) -> None:
    customer = client.customer()
    for _ in range(60):
        client.ticket(customer=customer, text=f"{PLANTED} words")
    with client.context():
        counts = erase([customer], blobs=store)
    assert (counts["tickets"], counts["ticketMessages"]) == ((0, 60), (60, 0))
    assert left(client) == {}
