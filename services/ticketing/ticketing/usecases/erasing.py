"""Erasing people (GDPR article 17).

What was said and sent goes, with its files. Tickets stay without the person, for counts and service levels; whatever
of them nobody can be answered any more is resolved. No command takes an erased customer's name, so nobody can bring
one back.
"""

from collections.abc import Sequence

from rapport.ticketing.v1 import events_pb2

import docstore
from chassis import clock
from docstore import Row, aliases, whole_milliseconds
from docstore.blobs import BlobStore
from eventing.erasing import Items
from ticketing.store import (
    InboundMail,
    IntentModelState,
    OutgoingMail,
    RawMail,
    SentimentModelState,
    Ticket,
    TicketMessage,
    inbound_mails,
    text_models,
)
from ticketing.store.tickets import BY_AGENT, ERASED_SUBJECT, RESOLVED, forget_first_messages
from ticketing.usecases import lifecycle

_TICKETS, _MESSAGES = 50, 1_000


def erase(customers: list[str], *, blobs: BlobStore) -> Items:
    """Erases everything of these customers (resource names); for `eventing.erasing`. Repeating it changes nothing.

    Tickets without a customer that were opened from an address of theirs are theirs, and all mails from one.
    """
    of_them: Row = {"customer": {"$in": customers}}
    emails = Ticket.rows().distinct("requester_email", {**of_them, "requester_email": {"$type": "string"}})
    counts = {"tickets": 0, "ticketMessages": 0, "inboundMails": 0, "outgoingMails": 0, "attachments": 0}
    from_them: Row = {"sender_key": {"$in": [inbound_mails.sender_key(each) for each in emails]}}
    # Those of no ticket first: once the tickets are anonymous, nothing tells whose addresses they are.
    _forget_all_mails({**from_them, "ticket": None}, counts)
    for theirs in ({"requester_email": {"$in": emails}, "customer": None}, of_them):
        while found := [row["uid"] for row in Ticket.rows().find(theirs, {"uid": 1}, limit=_TICKETS)]:
            for ticket in found:
                counts["attachments"] += blobs.delete_subject(f"tickets/{ticket}")
            while rows := _some_said_in(found):
                _count(counts, _forget_said(rows))
            _count(counts, _anonymize(found))
    # Mails that became no ticket of theirs, or whose ticket went to another customer.
    _forget_all_mails(of_them, counts)
    anonymized = counts.pop("tickets")
    return {
        "tickets": (0, anonymized),
        **{kind: (removed, 0) for kind, removed in counts.items()},
        "customerAliases": (aliases.forget(customers), 0),
    }


@docstore.command(None)
def _anonymize(uids: Sequence[str]) -> dict[str, int]:
    """Takes the person out of tickets, with whatever was said in them until this instant, in one transaction."""
    now = whole_milliseconds(clock.now())
    counts = _forget_said(_some_said_in(uids))
    counts["ticketMessages"] += forget_first_messages(uids)
    tickets = list(Ticket.get_many(uids, deleted=True).values())
    # Also those whose intent somebody took away since: they may have taught the model in place.
    if any(ticket.intent_source == BY_AGENT for ticket in tickets):
        text_models.forget_lessons(IntentModelState)
    if any(ticket.mood_said for ticket in tickets):
        text_models.forget_lessons(SentimentModelState)
    for ticket in tickets:
        had_agent = lifecycle.holder(ticket)
        ticket.subject = ERASED_SUBJECT
        ticket.customer = ticket.requester_email = ticket.language_code = ticket.kind_reason = ticket.complaint = None
        if ticket.sentiment is not None:
            ticket.sentiment.reasons = []
        if ticket.suggestion is not None:
            ticket.suggestion.reasons = []
        ticket.lesson = ticket.mood_said = None
        if ticket.state != RESOLVED:
            lifecycle.resolve(ticket, now)
            lifecycle.conclude(ticket, now, events_pb2.TicketResolved(), had_agent=had_agent)
    Ticket.save_many(tickets)
    return {**counts, "tickets": len(tickets)}


def _some_said_in(tickets: Sequence[str]) -> list[str]:
    """Uids of up to _MESSAGES messages in tickets (uids)."""
    said = TicketMessage.rows().find({"ticket": {"$in": list(tickets)}}, {"uid": 1}, limit=_MESSAGES)
    return [row["uid"] for row in said]


def _forget_said(messages: Sequence[str]) -> dict[str, int]:
    """Removes messages (uids) and the mails they came or went by, which have the same uids."""
    mails = _forget_mails(messages)
    outgoing = OutgoingMail.rows().delete_many({"uid": {"$in": list(messages)}}).deleted_count
    removed = TicketMessage.rows().delete_many({"uid": {"$in": list(messages)}}).deleted_count
    return {**mails, "outgoingMails": outgoing, "ticketMessages": removed}


def _forget_mails(mails: Sequence[str]) -> dict[str, int]:
    RawMail.rows().delete_many({"uid": {"$in": list(mails)}})
    return {"inboundMails": InboundMail.rows().delete_many({"uid": {"$in": list(mails)}}).deleted_count}


def _forget_all_mails(which: Row, counts: dict[str, int]) -> None:
    while mails := [row["uid"] for row in InboundMail.rows().find(which, {"uid": 1}, limit=_MESSAGES)]:
        _count(counts, _forget_mails(mails))


def _count(counts: dict[str, int], more: dict[str, int]) -> None:
    for kind, number in more.items():
        counts[kind] += number
