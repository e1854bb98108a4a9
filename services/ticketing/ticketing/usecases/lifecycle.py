"""What follows from a change of a ticket: its clocks, its complaint, what is told, and when it is looked at next."""

from collections.abc import Callable
from datetime import datetime

from google.protobuf.message import Message
from rapport.ticketing.v1 import events_pb2, ticket_pb2

from ticketing.domain.business_time import OpenHours
from ticketing.domain.sla_clock import Clock
from ticketing.store import Ticket
from ticketing.store.tickets import (
    BY_AGENT,
    COMPLAINT,
    ERASED_SUBJECT,
    HELD,
    NEW,
    OPEN,
    PENDING,
    RESOLVED,
    StoredClock,
)
from ticketing.usecases import routing
from ticketing.usecases.learned_models import INTENTS

_TARGETS = {
    "first_response": ticket_pb2.Sla.TARGET_FIRST_RESPONSE,
    "resolution": ticket_pb2.Sla.TARGET_RESOLUTION,
}

Change = Callable[[Clock, OpenHours], Clock]


def answered(ticket: Ticket, now: datetime) -> None:
    """An agent has answered: the first response is done, if it was not."""
    _turn(ticket, "first_response", lambda clock, hours: clock.ended(hours, now))


def pend(ticket: Ticket, now: datetime) -> None:
    """It waits for the customer: the resolution's clock stands still."""
    ticket.state = PENDING
    _turn(ticket, "resolution", lambda clock, hours: clock.paused(hours, now))


def resolve(ticket: Ticket, now: datetime) -> None:
    """It is resolved: its clocks are done."""
    ticket.state, ticket.resolve_time = RESOLVED, now
    for name in _TARGETS:
        _turn(ticket, name, lambda clock, hours: clock.ended(hours, now))


def reopen(ticket: Ticket, now: datetime) -> None:
    """It is worked on again, by its agent if it has one: the resolution's clock runs on."""
    ticket.state, ticket.resolve_time = OPEN if ticket.agent else NEW, None
    _turn(ticket, "resolution", lambda clock, hours: clock.started(hours, now))


def release(ticket: Ticket, reason: str) -> None:
    """Nobody works on it any more; it waits for an agent unless it is pending or resolved."""
    ticket.agent = ticket.agent_load = ticket.assign_time = None
    ticket.assign_reason = reason
    if ticket.state == OPEN:
        ticket.state = NEW


def give(ticket: Ticket, agent: str, load: int, reason: str, now: datetime) -> None:
    """An agent (uid), who had `load` tickets, works on it from now on."""
    ticket.agent, ticket.agent_load, ticket.assign_reason, ticket.assign_time = agent, load, reason, now
    if ticket.state == NEW:
        ticket.state = OPEN


def tick(ticket: Ticket, now: datetime) -> None:
    """Tells what has come to pass of its clocks."""
    for name in _TARGETS:
        _turn(ticket, name, lambda clock, _hours: clock.ticked(now))


def conclude(ticket: Ticket, now: datetime, event: Message | None, *, had_agent: str | None = None) -> None:
    """The last step before every write: the rest of the ticket is as it shall be.

    Puts it into its queue while it waits for an agent, tells of its clocks and its complaint, fills `event` with the
    ticket as it now is and tells it, and says when it is to be looked at next. `had_agent`: who worked on it before.
    """
    tick(ticket, now)
    ticket.create_time = ticket.create_time or now
    ticket.term = routing.term(ticket)
    if ticket.state == NEW:
        routing.rules.get().route(ticket)
    _tell_complaint(ticket)
    _teach(ticket, now)
    if event is not None:
        event.ticket.CopyFrom(ticket.state_message())  # type: ignore[attr-defined]
        ticket.publish(event)
    has_agent = ticket.agent if ticket.state in HELD else None
    makes_room = had_agent is not None and had_agent != has_agent
    ticket.due = now if ticket.state == NEW or makes_room else next_tick(ticket)


def next_tick(ticket: Ticket) -> datetime | None:
    """When a clock of the ticket has something to tell next."""
    clocks = (clock.value().next for clock in (ticket.first_response, ticket.resolution) if clock is not None)
    return min((instant for instant in clocks if instant is not None), default=None)


def holder(ticket: Ticket) -> str | None:
    """The agent (uid) whose load the ticket counts for."""
    return ticket.agent if ticket.state in HELD else None


def _turn(ticket: Ticket, name: str, change: Change) -> None:
    stored: StoredClock | None = getattr(ticket, name)
    if stored is None:
        return
    before = stored.value()
    after = change(before, routing.rules.get().hours(ticket.calendar))
    if after == before:
        return
    setattr(ticket, name, StoredClock.of(after))
    if after.warned and not before.warned:
        ticket.publish(events_pb2.SlaWarning(clock=_told(ticket, name, before)))
    if after.breached and not before.breached:
        ticket.publish(events_pb2.SlaBreached(clock=_told(ticket, name, before)))


def _told(ticket: Ticket, name: str, clock: Clock) -> events_pb2.SlaClock:
    return events_pb2.SlaClock(
        ticket=ticket.name,
        customer=ticket.customer,
        target=_TARGETS[name],
        due_time=clock.due,
        agent=f"agents/{ticket.agent}" if ticket.agent else "",
    )


def _teach(ticket: Ticket, now: datetime) -> None:
    """Lets a resolved ticket with an intent that somebody gave teach the intent model."""
    teaches = ticket.state == RESOLVED and ticket.intent and ticket.intent_source == BY_AGENT
    if not teaches or ticket.subject == ERASED_SUBJECT:
        ticket.lesson = None
    elif ticket.lesson is None:
        ticket.lesson = now
        INTENTS.expected.get()


def _tell_complaint(ticket: Ticket) -> None:
    told = ticket.complaint
    now = ticket.customer if ticket.kind == COMPLAINT and ticket.state != RESOLVED else None
    now = now or None
    if told == now:
        return
    if told:
        closed = events_pb2.ComplaintState(ticket=ticket.name, customer=told, open=False)
        ticket.emit(events_pb2.ComplaintClosed(complaint=closed), [told])
    if now:
        opened = events_pb2.ComplaintState(ticket=ticket.name, customer=now, open=True)
        ticket.emit(events_pb2.ComplaintOpened(complaint=opened), [now])
    ticket.complaint = now
