"""Which queue a ticket goes into and which service level it has: the tenant's rules, kept ready for a moment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rapport.ticketing.v1 import ticket_pb2

from chassis.tenant_cache import TenantCache
from docstore import conditions
from docstore.filters import FilterField, parse
from ticketing.domain.business_time import OpenHours
from ticketing.domain.sla_clock import Clock
from ticketing.store import Calendar, Queue, SlaPolicy, Ticket
from ticketing.store.queues import DEFAULT
from ticketing.store.tickets import NO_SKILLS, NO_TERM, PENDING, PRIORITIES, RESOLVED, StoredClock

_INTENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def intent(slug: str) -> str:
    """An intent, as it is written. Raises ValueError, with a text for callers."""
    if not _INTENT.fullmatch(slug):
        raise ValueError("an intent has 1 to 63 lower-case letters, digits and hyphens, no hyphen at an end")
    return slug


INTENT = FilterField("string", convert=intent)
FILTER: Mapping[str, FilterField] = {
    "kind": FilterField("enum", values=ticket_pb2.Ticket.Kind.keys()[1:]),
    "intent": INTENT,
    "priority": FilterField("enum", values=PRIORITIES),
    "channel": FilterField("enum", values=ticket_pb2.Ticket.Channel.keys()[1:]),
    "language_code": FilterField("string"),
    "sentiment": FilterField("enum", values=ticket_pb2.Sentiment.Label.keys()[1:]),
}
"""What filters of queues and policies may ask of a ticket."""

KEPT_S = 1.0
"""How long a process goes by rules that another one has changed."""
_CALENDARS_MAX = 1_000


@dataclass(frozen=True)
class Rules:
    """Queues and policies in the order they are looked at, with their filters; calendars by uid."""

    queues: Sequence[tuple[Queue, Mapping[str, Any]]]
    policies: Sequence[tuple[SlaPolicy, Mapping[str, Any]]]
    calendars: dict[str, OpenHours]

    def route(self, ticket: Ticket) -> None:
        """Puts a ticket into the first queue that takes it, and says what it needs and how urgent it is."""
        values = _values(ticket)
        queue = next(queue for queue, filter in self.queues if conditions.holds(filter, values))
        ticket.queue = queue.uid
        ticket.need = ",".join(sorted({*ticket.skills, *queue.skills})) or NO_SKILLS
        ticket.rank = PRIORITIES.index(ticket.priority)

    def agree(self, ticket: Ticket, now: datetime) -> None:
        """Lets a ticket go by the first policy that fits it; running clocks get its targets, missing ones begin."""
        values = _values(ticket)
        policy = next((policy for policy, filter in self.policies if conditions.holds(filter, values)), None)
        target = policy.target(ticket.priority) if policy else None
        ticket.sla_policy = policy.uid if policy else None
        if policy and not ticket.calendar:
            ticket.calendar = policy.calendar
        for name in ("first_response", "resolution"):
            seconds = getattr(target, name) if target else None
            setattr(ticket, name, self._agreed(ticket, name, policy, seconds, now))
        if policy:
            ticket.calendar = policy.calendar

    def _agreed(
        self, ticket: Ticket, name: str, policy: SlaPolicy | None, seconds: int | None, now: datetime
    ) -> StoredClock | None:
        stored: StoredClock | None = getattr(ticket, name)
        if policy is None or seconds is None:
            return stored if stored is not None and stored.done else None
        target = timedelta(seconds=seconds)
        if stored is None:
            clock = Clock(target, policy.warning_percent)
            standing = ticket.state == RESOLVED or (ticket.state == PENDING and name == "resolution")
            return StoredClock.of(clock if standing else clock.started(self.hours(policy.calendar), now))
        if stored.done:
            return stored
        clock = stored.value()
        if policy.calendar != ticket.calendar and clock.since is not None:
            # What is used was counted in the other calendar.
            clock = clock.paused(self.hours(ticket.calendar), now).started(self.hours(policy.calendar), now)
        return StoredClock.of(clock.retargeted(self.hours(policy.calendar), now, target, policy.warning_percent))

    def hours(self, calendar: str) -> OpenHours:
        """The open hours of a calendar (uid)."""
        known = self.calendars.get(calendar)
        if known is None:  # created a moment ago, elsewhere; or deleted since the ticket began
            known = self.calendars[calendar] = Calendar.get(calendar, deleted=True).value()
        return known


def term(ticket: Ticket) -> datetime:
    """When the first running clock of a ticket is used up; far off when none runs."""
    dues = (clock.due for clock in (ticket.first_response, ticket.resolution) if clock is not None and clock.due)
    return min(dues, default=NO_TERM)


def _read() -> Rules:
    queues = [(queue, {} if queue.uid == DEFAULT else parse(queue.filter or "", FILTER)) for queue in Queue.in_order()]
    policies = [(policy, parse(policy.filter or "", FILTER)) for policy in SlaPolicy.in_order()]
    calendars = {each.uid: each.value() for each in Calendar.find({}, limit=_CALENDARS_MAX)} if policies else {}
    return Rules(queues, policies, calendars)


rules = TenantCache(_read, KEPT_S)
"""The current tenant's rules; those of another process's last second may be missing."""


def _values(ticket: Ticket) -> Mapping[str, Any]:
    return {
        "kind": ticket.kind,
        "intent": ticket.intent,
        "priority": ticket.priority,
        "channel": ticket.channel,
        "language_code": ticket.language_code or None,
        "sentiment": ticket.sentiment.label if ticket.sentiment else None,
    }
