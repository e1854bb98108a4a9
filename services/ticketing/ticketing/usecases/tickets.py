"""Tickets: opened, changed, resolved, reopened."""

from collections.abc import Callable
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from rapport.ticketing.v1 import events_pb2, ticket_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import FailedPrecondition
from docstore import masks, whole_milliseconds
from eventing import erasing
from ticketing import answers, inputs
from ticketing.domain.classification import classify
from ticketing.store import Ticket
from ticketing.store.tickets import BY_AGENT, BY_MODEL, NEW, PENDING, RESOLVED
from ticketing.usecases import assigning, lifecycle, messages, routing
from ticketing.usecases.hearing import Suggested
from ticketing.usecases.opening import Opening, Said


@docstore.command(Ticket, inserts=True)
def create(opening: Opening, said: Said | None = None, suggested: Suggested | None = None) -> Ticket:
    """Opens a ticket, with the customer's first words if there are any, by one insert of one document.

    suggested: what the intent model takes it for.

    What came by mail (it has a uid of its own) is kept with the other messages, for answers to find it: that takes the
    caller's transaction. Raises FailedPrecondition CUSTOMER_ERASED.
    """
    ticket = _opened(opening, said, suggested)
    if said is not None:
        message = messages.said_in(ticket, said)
        if said.uid:
            message.insert()
        else:
            ticket.begin_with(message)
        ticket.publish(messages.posted(ticket, message))
    return ticket.insert()


def _opened(opening: Opening, said: Said | None, suggested: Suggested | None) -> Ticket:
    if opening.customer:
        erasing.require_not_erased(opening.customer)
    now, mood = whole_milliseconds(clock.now()), said.mood if said else None
    ticket = Ticket.new(
        uid=opening.uid,
        subject=opening.subject,
        customer=opening.customer or None,
        requester_email=opening.requester_email or None,
        state=NEW,
        priority=opening.priority,
        kind=opening.kind or None,
        kind_reason=opening.kind_reason or None,
        channel=opening.channel,
        language_code=opening.language_code or None,
        skills=list(opening.skills),
        sentiment=mood.sentiment if mood else None,
        create_time=now,
    )
    if not ticket.kind:
        found = classify(opening.subject, said.text if said else "", mood.score if mood else 0.0)
        ticket.kind, ticket.kind_reason = found.kind, found.kind_reason
    if suggested is not None:
        ticket.suggestion = suggested.suggestion
        if suggested.sure:
            ticket.intent, ticket.intent_source = suggested.suggestion.intent, BY_MODEL
    if opening.intent:
        ticket.intent, ticket.intent_source = opening.intent, BY_AGENT
    routing.rules.get().agree(ticket, now)
    lifecycle.conclude(ticket, now, events_pb2.TicketOpened())
    return ticket


@docstore.command(Ticket)
def update(message: ticket_pb2.Ticket, mask: FieldMask, *, test_environment: bool) -> Ticket:
    """Changes what the mask names. Raises NotFound, Aborted, InvalidArgument, FailedPrecondition CUSTOMER_ERASED."""
    ticket = Ticket.get(fields.uid(message.name))
    wanted = answers.ticket(ticket)
    changed = masks.apply(mask, message, wanted)
    given = inputs.ticket(wanted, test_environment=test_environment)
    if given.customer and given.customer != ticket.customer:
        erasing.require_not_erased(given.customer)
    now, had_agent = whole_milliseconds(clock.now()), lifecycle.holder(ticket)
    ticket.subject = given.subject
    ticket.customer = given.customer or None
    ticket.requester_email = given.requester_email or None
    ticket.language_code = given.language_code or None
    ticket.skills = list(given.skills)
    ticket.priority = given.priority
    if given.kind and "kind" in changed:
        ticket.kind, ticket.kind_reason = given.kind, None
    if "intent" in (changed | set(mask.paths)):
        if ticket.intent != (given.intent or None):
            ticket.lesson = None  # Another one is news to the intent model.
        ticket.intent, ticket.intent_source = given.intent or None, BY_AGENT
        changed.add("intent")
    if changed:
        if changed & {"priority", "kind", "intent", "language_code"}:
            lifecycle.tick(ticket, now)
            routing.rules.get().agree(ticket, now)
        lifecycle.conclude(ticket, now, events_pb2.TicketUpdated(), had_agent=had_agent)
    return ticket.save(message.etag or None)


@docstore.command(Ticket)
def pend(uid: str, etag: str) -> Ticket:
    """Waits for the customer. Raises NotFound, Aborted, FailedPrecondition TICKET_RESOLVED."""
    ticket = Ticket.get(uid)
    if ticket.state == RESOLVED:
        raise FailedPrecondition(
            "TICKET_RESOLVED", f"{ticket.name} is resolved; reopen it first.", metadata={"resource": ticket.name}
        )
    return _moved(ticket, etag, PENDING, lifecycle.pend, events_pb2.TicketUpdated())


@docstore.command(Ticket)
def resolve(uid: str, etag: str) -> Ticket:
    """Resolves a ticket. Raises NotFound, Aborted."""
    return _moved(Ticket.get(uid), etag, RESOLVED, lifecycle.resolve, events_pb2.TicketResolved())


@docstore.command(None)
def reopen(uid: str, etag: str) -> Ticket:
    """Opens a pending or resolved ticket again. Raises NotFound, Aborted, FailedPrecondition CUSTOMER_ERASED."""
    ticket = Ticket.get(uid)
    if ticket.customer:
        erasing.require_not_erased(ticket.customer)
    ticket.check_etag(etag or None)
    if ticket.state in (PENDING, RESOLVED):
        now, had_agent = whole_milliseconds(clock.now()), lifecycle.holder(ticket)
        assigning.reopen(ticket, now)
        lifecycle.conclude(ticket, now, events_pb2.TicketUpdated(), had_agent=had_agent)
    return ticket.save(etag or None)


def _moved(ticket: Ticket, etag: str, state: str, move: Callable[[Ticket, datetime], None], event: Message) -> Ticket:
    ticket.check_etag(etag or None)
    if ticket.state != state:
        now, had_agent = whole_milliseconds(clock.now()), lifecycle.holder(ticket)
        move(ticket, now)
        lifecycle.conclude(ticket, now, event, had_agent=had_agent)
    return ticket.save(etag or None)
