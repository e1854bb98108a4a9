"""Messages: exactly one for each step of an entry, stored whole before it first leaves."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me
from rapport.campaigns.v1 import events_pb2

from docstore import Row, due, leases
from docstore.aggregate import Aggregate
from docstore.documents import InstantField

PENDING, SENT, REFUSED = "STATE_PENDING", "STATE_SENT", "STATE_REFUSED"
DEFERRED, FAILED, SUPPRESSED = "STATE_DEFERRED", "STATE_FAILED", "STATE_SUPPRESSED"
HELD_OUT = "STATE_HELD_OUT"
STATES = (PENDING, SENT, REFUSED, DEFERRED, FAILED, SUPPRESSED, HELD_OUT)
WAITING = (PENDING, DEFERRED)

WITHDRAWN, UNSUBSCRIBED, ERASED = "WITHDRAWN", "UNSUBSCRIBED", "ERASED"
COMPLAINT_OPEN = "COMPLAINT_OPEN"
BEST_TIME = "BEST_TIME"


class Message(Aggregate):
    """One message.

    sealed: the whole mail, encrypted, from just before the first attempt until it was sent or given up.
    held_out: it goes through all rules and decisions, and ends where it would be written and handed over.
    handover: it was given to the mail server, whose answer is not known yet.
    best_time: the hour it was to wait for; whatever it waited for besides, it leaves no sooner.
    due: when to try; absent when it has come to an end or its journey is paused (`held`).
    """

    resource = "messages"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "messages",
        "indexes": [
            {"fields": ["tenant", "entry", "step"], "unique": True},
            ["tenant", "id"],
            ["tenant", "journey", "state", "id"],
            ["tenant", "customer", "state", "id"],
            ["tenant", "state", "id"],
            {"fields": ["tenant", "journey", "held"], "partialFilterExpression": {"held": True}},
            due.INDEX,
        ],
    }

    journey: Any = me.StringField(required=True)
    """Resource name."""
    step: Any = me.StringField(required=True)
    entry: Any = me.StringField(required=True)
    """Uid of the entry."""
    customer: Any = me.StringField(required=True)
    """Resource name, as it was at the entry; empty once the customer was erased."""
    template: Any = me.StringField(required=True)
    purpose: Any = me.StringField(required=True)
    snapshot: Any = me.DictField()
    held_out: Any = me.BooleanField()
    state: Any = me.StringField(required=True, choices=STATES)
    reason: Any = me.StringField()
    decision: Any = me.StringField()
    header: Any = me.StringField(required=True)
    """The Message-ID."""
    language_code: Any = me.StringField()
    sealed: Any = me.BinaryField()
    links: Any = me.ListField(me.StringField())
    """Targets of its links; tokens name them by index."""
    masked_email: Any = me.StringField()
    handover: Any = me.BooleanField()
    withdrawn: Any = me.StringField()
    """Why it must not be tried again, should the attempt under way fail."""
    attempts: Any = me.IntField(required=True, default=0)
    best_time: Any = InstantField()
    due: Any = InstantField()
    held: Any = me.BooleanField()
    send_time: Any = InstantField()
    clicks: Any = me.IntField(required=True, default=0)
    first_click_time: Any = InstantField()
    opens: Any = me.IntField(required=True, default=0)
    first_open_time: Any = InstantField()
    traceparent: Any = me.StringField()

    def __init__(self, *args: Any, **values: Any) -> None:
        self.lease: Row | None = values.pop("lease", None)
        super().__init__(*args, **values)

    def write_guard(self) -> Row:
        """A leased message is written only as long as nobody else has leased or cancelled it."""
        return {"lease.token": self.lease["token"]} if self.lease else {}

    def end(self, state: str, reason: str = "") -> None:
        """It was sent or never will be: what it held is forgotten with the next save."""
        self.state, self.reason = state, reason or None
        self.due = self.best_time = self.sealed = self.handover = self.withdrawn = None
        if state != SENT:
            self.snapshot = {}

    def reference(self) -> events_pb2.MessageReference:
        """How events name it."""
        return events_pb2.MessageReference(
            message=self.name,
            customer=self.customer,
            journey=self.journey,
            step=self.step,
            template=self.template,
            purpose=self.purpose,
        )


def cancel(customers: Collection[str], purpose: str, reason: str) -> list[str]:
    """Nothing more is sent to these customers for a purpose; returns the uids of the entries that waited for it.

    What is at the mail server at this instant is settled by whoever brought it there, and not tried again.
    """
    rows = Message.rows()
    waiting = {"customer": {"$in": list(customers)}, "purpose": purpose, "state": {"$in": list(WAITING)}}
    rows.update_many(waiting | {"handover": True}, {"$set": {"withdrawn": reason}, "$inc": {"version": 1}})
    idle = waiting | {"handover": {"$ne": True}}
    entries = [row["entry"] for row in rows.find(idle, {"entry": 1})]
    rows.update_many(
        idle,
        {
            "$set": {"state": REFUSED, "reason": reason, "snapshot": {}},
            "$unset": {"due": "", "best_time": "", "lease": "", "sealed": "", "held": ""},
            "$inc": {"version": 1},
        },
    )
    return entries


def defer(customers: Collection[str], reason: str, until: datetime) -> None:
    """What waits to be sent to these customers waits on; also what was claimed but not yet handed over."""
    waiting = {"customer": {"$in": list(customers)}, "state": {"$in": list(WAITING)}}
    idle = waiting | {"handover": {"$ne": True}, "held": {"$ne": True}}
    changes = {"state": DEFERRED, "reason": reason, "due": until}
    Message.rows().update_many(idle, {"$set": changes, "$unset": {"lease": ""}, "$inc": {"version": 1}})


def wake(customers: Collection[str], reason: str, now: datetime) -> None:
    """What was deferred for that reason is looked at again now."""
    deferred = {"customer": {"$in": list(customers)}, "state": DEFERRED, "reason": reason, "due": {"$gt": now}}
    Message.rows().update_many(deferred, {"$set": {"due": now}})


_PERSONAL = (
    *("snapshot", "decision", "header", "language_code", "sealed", "links", "masked_email", "traceparent"),
    *("due", "best_time", "lease", "held", "handover", "withdrawn", "requests"),
)
"""Fields that lead to a person, or are of no use without one."""


def erase(customers: Collection[str]) -> tuple[int, bool]:
    """Cancels what waits for these customers, then takes everything personal out of their messages.

    State, times and counts stay, for sums over a journey. Returns how many messages, and whether some are being handed
    to the mail server at this instant: those are left to whoever does it, and not tried again.
    """
    rows = Message.rows()
    of_them = {"customer": {"$in": list(customers)}}
    waiting = of_them | {"state": {"$in": list(WAITING)}}
    rows.update_many(
        waiting | {"handover": True, "withdrawn": {"$ne": ERASED}},
        {"$set": {"withdrawn": ERASED}, "$inc": {"version": 1}},
    )
    idle = {"$or": [{"handover": {"$ne": True}}, leases.free()]}
    cancelled = {"$set": {"state": REFUSED, "reason": ERASED}, "$unset": {"due": "", "lease": ""}}
    rows.update_many(waiting | idle, cancelled | {"$inc": {"version": 1}})
    nobody = {"$set": {"customer": ""}, "$unset": dict.fromkeys(_PERSONAL, ""), "$inc": {"version": 1}}
    ended = rows.update_many(of_them | {"state": {"$nin": list(WAITING)}}, nobody)
    return ended.modified_count, rows.find_one(of_them, {"_id": 1}) is not None


def hold(journey: str, now: datetime, *, held: bool) -> None:
    """Keeps the messages of a journey (resource name) that wait, or lets them go."""
    rows = Message.rows()
    if held:
        waiting = {"journey": journey, "state": {"$in": list(WAITING)}, "handover": {"$ne": True}}
        rows.update_many(waiting, {"$set": {"held": True}, "$unset": {"due": "", "lease": ""}})
    else:
        rows.update_many({"journey": journey, "held": True}, {"$set": {"due": now}, "$unset": {"held": ""}})


def claimed(message: Message) -> Row:
    """What `docstore.leases` needs to know of a claimed message."""
    return {"_id": message.id, "tenant": message.tenant, "lease": message.lease}
