"""Tickets: one document each, which is also the timer of its service level and of its assignment."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import mongoengine as me
from google.protobuf.message import Message
from rapport.ticketing.v1 import events_pb2, ticket_pb2

from docstore import Row, due
from docstore.aggregate import Aggregate
from docstore.documents import InstantField
from ticketing.domain.sla_clock import Clock
from ticketing.store.messages import TicketMessage
from ticketing.store.sentiments import Sentiment

NEW, OPEN, PENDING, RESOLVED = "STATE_NEW", "STATE_OPEN", "STATE_PENDING", "STATE_RESOLVED"
STATES = (NEW, OPEN, PENDING, RESOLVED)
HELD = (OPEN, PENDING)
"""States of tickets that count for the load of their agent."""

BY_AGENT, BY_MODEL = "INTENT_SOURCE_AGENT", "INTENT_SOURCE_MODEL"
COMPLAINT = "KIND_COMPLAINT"
ERASED_SUBJECT = "erased"
"""Of tickets whose person was erased."""
PRIORITIES = ("PRIORITY_URGENT", "PRIORITY_HIGH", "PRIORITY_NORMAL", "PRIORITY_LOW")
NO_SKILLS = "*"
"""`need` of a ticket that anybody can take."""
NO_TERM = datetime(9999, 1, 1, tzinfo=UTC)
_REASONS = "waiting_reasons"
_WITH_AGENT: Row = {"agent": {"$exists": True}}
_WITH_EMAIL: Row = {"requester_email": {"$exists": True}}
_WITH_INTENT: Row = {"intent": {"$exists": True}}
_LESSONS: Row = {"lesson": {"$exists": True}}
_FIRST_LESSONS: Row = {"first.lesson": {"$exists": True}}


class StoredClock(me.EmbeddedDocument):
    """A clock of a service level; see `domain.sla_clock`. Durations in seconds."""

    target: Any = me.FloatField(required=True)
    warning_percent: Any = me.IntField(required=True)
    used: Any = me.FloatField(required=True)
    since: Any = InstantField()
    due: Any = InstantField()
    warn: Any = InstantField()
    done: Any = InstantField()
    warned: Any = InstantField()
    breached: Any = InstantField()

    @classmethod
    def of(cls, clock: Clock) -> "StoredClock":
        """The clock as stored."""
        instants = {name: getattr(clock, name) for name in ("since", "due", "warn", "done", "warned", "breached")}
        return cls(
            target=clock.target.total_seconds(),
            warning_percent=clock.warning_percent,
            used=clock.used.total_seconds(),
            **instants,
        )

    def value(self) -> Clock:
        """The clock as the rules know it."""
        return Clock(
            timedelta(seconds=self.target),
            self.warning_percent,
            timedelta(seconds=self.used),
            self.since,
            self.due,
            self.warn,
            self.done,
            self.warned,
            self.breached,
        )


class IntentSuggestion(me.EmbeddedDocument):
    """What the model of that version took a ticket for."""

    intent: Any = me.StringField(required=True)
    probability: Any = me.FloatField(required=True)
    reasons: Any = me.ListField(me.StringField())
    model_version: Any = me.IntField(required=True)

    def message(self) -> ticket_pb2.IntentSuggestion:
        """The suggestion as the contract has it."""
        return ticket_pb2.IntentSuggestion(
            intent=self.intent, probability=self.probability, reasons=self.reasons, model_version=self.model_version
        )


class Ticket(Aggregate):
    """A ticket.

    rank, term: what waiting tickets are ordered by: the place of the priority, and when the first clock is used up.
    skills: those asked for in the ticket itself; need: all of them with the queue's, sorted, with commas between.
    due: when somebody has to look at it next: at once while it may be assigned or has made room for another one,
    else when a clock has something to tell. `run` claims it.
    complaint: the customer whose complaint has been told as open.
    lesson: since when the ticket teaches the intent model, if it does: resolved, with an intent that somebody gave.
    mood_said: somebody said how something in it sounds: it teaches, or taught, the model of moods.
    first (stored only): the row of the first message, unless that is kept with the others; so a ticket is one insert.
    """

    resource = "tickets"
    hidden: ClassVar[tuple[str, ...]] = ("outbox", "lease", "first")
    meta: ClassVar[dict[str, Any]] = {
        "collection": "tickets",
        "indexes": [
            ["tenant", "create_time", "id"],
            ["tenant", "customer", "create_time", "id"],
            ["tenant", "state", "create_time", "id"],
            ["tenant", "priority", "create_time", "id"],
            ["tenant", "kind", "create_time", "id"],
            {"fields": ["tenant", "intent", "create_time", "id"], "partialFilterExpression": _WITH_INTENT},
            {"fields": ["tenant", "lesson", "id"], "partialFilterExpression": _LESSONS},
            {
                "fields": [("tenant", 1), ("first.lesson", 1), ("_id", 1)],
                "partialFilterExpression": _FIRST_LESSONS,
            },
            ["tenant", "queue", "create_time", "id"],
            {"fields": ["tenant", "agent", "create_time", "id"], "partialFilterExpression": _WITH_AGENT},
            {"fields": ["tenant", "agent", "state"], "partialFilterExpression": _WITH_AGENT},
            {"fields": ["tenant", "requester_email"], "partialFilterExpression": _WITH_EMAIL},
            {
                "fields": ["tenant", "rank", "term", "id", "need"],
                "name": "waiting",
                "partialFilterExpression": {"state": NEW},
            },
            {
                "fields": ["tenant", "need", "assign_reason"],
                "name": _REASONS,
                "partialFilterExpression": {"state": NEW},
            },
            due.INDEX,
        ],
    }

    subject: Any = me.StringField(required=True)
    customer: Any = me.StringField()
    """Resource name, as it was given."""
    requester_email: Any = me.StringField()
    state: Any = me.StringField(required=True, choices=STATES)
    priority: Any = me.StringField(required=True, choices=PRIORITIES)
    kind: Any = me.StringField(required=True, choices=ticket_pb2.Ticket.Kind.keys()[1:])
    kind_reason: Any = me.StringField()
    intent: Any = me.StringField()
    intent_source: Any = me.StringField(choices=[BY_AGENT, BY_MODEL])
    suggestion: Any = me.EmbeddedDocumentField(IntentSuggestion)
    lesson: Any = InstantField()
    mood_said: Any = me.BooleanField()
    channel: Any = me.StringField(required=True, choices=ticket_pb2.Ticket.Channel.keys()[1:])
    language_code: Any = me.StringField()
    sentiment: Any = me.EmbeddedDocumentField(Sentiment)

    queue: Any = me.StringField(required=True)
    """Uid of the queue."""
    skills: Any = me.ListField(me.StringField())
    need: Any = me.StringField(required=True, default=NO_SKILLS)
    rank: Any = me.IntField(required=True)
    term: Any = InstantField(required=True)

    agent: Any = me.StringField()
    """Uid of the agent."""
    agent_load: Any = me.IntField()
    assign_reason: Any = me.StringField()
    assign_time: Any = InstantField()

    sla_policy: Any = me.StringField()
    """Uid of the policy."""
    calendar: Any = me.StringField()
    """Uid of the calendar the clocks go by."""
    first_response: Any = me.EmbeddedDocumentField(StoredClock)
    resolution: Any = me.EmbeddedDocumentField(StoredClock)

    complaint: Any = me.StringField()
    resolve_time: Any = InstantField()
    due: Any = InstantField()

    def __init__(self, *args: Any, **values: Any) -> None:
        self._first: Row | None = None
        super().__init__(*args, **values)

    def begin_with(self, message: TicketMessage) -> None:
        """Keeps the first message within the new ticket."""
        self._first = message.to_row()

    def to_row(self) -> Row:
        """What is stored, the first message included."""
        return {**super().to_row(), **({"first": self._first} if self._first else {})}

    def publish(self, event: Message) -> None:
        """Tells an event about the ticket with its next write."""
        self.emit(event, [self.customer] if self.customer else [])

    def state_message(self) -> events_pb2.TicketState:
        """The ticket as others need it."""
        return events_pb2.TicketState(
            ticket=self.name,
            customer=self.customer,
            subject=self.subject,
            state=self.state,
            priority=self.priority,
            kind=self.kind,
            intent=self.intent,
            channel=self.channel,
            agent=f"agents/{self.agent}" if self.agent else "",
            sentiment=self.sentiment.message() if self.sentiment else None,
            create_time=self.create_time,
            resolve_time=self.resolve_time,
        )

    def state_events(self) -> list[Message]:
        """What is told again when everything is told again."""
        told: list[Message] = [events_pb2.TicketUpdated(ticket=self.state_message())]
        if self.complaint:
            state = events_pb2.ComplaintState(ticket=self.name, customer=self.complaint, open=True)
            told.append(events_pb2.ComplaintOpened(complaint=state))
        return told


def first_messages(uid: str) -> list[Row]:
    """The row of the message that is kept within a ticket, if there is one."""
    found = Ticket.rows().find_one({"uid": uid}, {"first": 1}) or {}
    return [found["first"]] if "first" in found else []


def language_code(uid: str) -> str:
    """The language a ticket is written in; empty: not known."""
    found = Ticket.rows().find_one({"uid": uid}, {"language_code": 1}) or {}
    return found.get("language_code") or ""


def keep_mood(message: TicketMessage) -> None:
    """Stores how a message sounds and since when it teaches, wherever it is kept."""
    kept: Row = {"sentiment": message.sentiment.to_mongo().to_dict(), "lesson": message.lesson, "told": message.told}
    if TicketMessage.rows().update_one({"uid": message.uid}, {"$set": kept}).matched_count:
        return
    within = {f"first.{name}": value for name, value in kept.items()}
    Ticket.rows().update_one({"uid": message.ticket, "first.uid": message.uid}, {"$set": within})


def is_last_word(message: TicketMessage) -> bool:
    """Whether nothing that sounds like anything came after it in its ticket."""
    wanted = {"ticket": message.ticket, "sentiment": {"$exists": True}}
    order = [("create_time", -1), ("_id", -1)]
    last = TicketMessage.rows().find_one(wanted, {"create_time": 1}, sort=order)
    return last is None or (last["create_time"], last["_id"]) <= (message.create_time, message.id)


def forget_first_messages(uids: Collection[str]) -> int:
    """Removes the messages kept within tickets; returns how many."""
    kept = {"uid": {"$in": list(uids)}, "first": {"$exists": True}}
    return Ticket.rows().update_many(kept, {"$unset": {"first": ""}}).modified_count


def loads(agents: Collection[str]) -> dict[str, int]:
    """How many unresolved tickets agents (uids) have; one query."""
    found = Ticket.rows().aggregate(
        [
            {"$match": {"agent": {"$in": list(agents)}, "state": {"$in": list(HELD)}}},
            {"$group": {"_id": "$agent", "load": {"$sum": 1}}},
        ]
    )
    counted = {row["_id"]: int(row["load"]) for row in found}
    return {agent: counted.get(agent, 0) for agent in agents}


def waiting(limit: int, blocked: Collection[str]) -> list[Row]:
    """Tickets that wait for an agent, in the order they are taken; without those whose `need` is among the blocked."""
    wanted: Row = {"state": NEW}
    if blocked:
        wanted["need"] = {"$nin": sorted(blocked)}
        # The index of the order would be read to its end to find that nothing else waits; this one tells at once.
        if Ticket.rows().find_one(wanted, {"_id": 1}, hint=_REASONS) is None:
            return []
    order = [("rank", 1), ("term", 1), ("_id", 1)]
    return list(Ticket.rows().find(wanted, {"uid": 1, "need": 1, "language_code": 1}, sort=order, limit=limit))


def explain_waiting(need: str, reason: str) -> None:
    """Notes why tickets with that need wait; no new version of them."""
    waiting = {"state": NEW, "need": need, "assign_reason": {"$ne": reason}}
    # By this index it costs what changes, not what waits.
    Ticket.rows().update_many(waiting, {"$set": {"assign_reason": reason}}, hint=_REASONS)
