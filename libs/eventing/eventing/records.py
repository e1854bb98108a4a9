"""What eventing keeps in each service's database; `RECORDS` belongs in every service's list of documents to migrate."""

from datetime import timedelta
from typing import Any

import mongoengine as me

import docstore

FACT_RETENTION = timedelta(days=90)
"""How long published facts can be replayed."""

GUARD_RETENTION = timedelta(days=90)
"""How long the ids of handled facts are kept: at least as long as a dead letter may be replayed."""

TIMER_RETENTION = timedelta(days=30)
"""How long a fired timer is remembered, so that scheduling it again by the same key does nothing."""


class HandledEvent(docstore.Record):
    """An event that one handler has handled. `uid` = event id (or state/subject/version) / handler."""

    handle_time = docstore.InstantField(required=True)

    meta = {
        "collection": "eventing_handled",
        "indexes": [{"fields": ["handle_time"], "expireAfterSeconds": int(GUARD_RETENTION.total_seconds())}],
    }


class StateGuard(docstore.Record):
    """The highest sequence of a state seen for a subject. `uid` = state / subject.

    handlers: those that have handled exactly this sequence; all of them refuse lower ones.
    """

    sequence = me.ListField(me.IntField(), required=True)
    handlers = me.ListField(me.StringField())

    meta = {"collection": "eventing_states"}


class Fact(docstore.Record):
    """A FACT event that was published: an outbox entry, kept for replay. `uid` is the event id."""

    type = me.StringField(required=True)
    subject = me.StringField(required=True)
    time = docstore.InstantField(required=True)
    datasubjects = me.ListField(me.StringField())
    sequence = me.ListField(me.IntField())
    traceparent = me.StringField()
    body = me.BinaryField(required=True)
    publish_time = docstore.InstantField(required=True)

    meta = {
        "collection": "fact_log",
        "indexes": [
            {"fields": ["publish_time"], "expireAfterSeconds": int(FACT_RETENTION.total_seconds())},
            {"fields": ["publish_time", "id"], "platform": True},
            ["tenant", "datasubjects"],
        ],
    }


class Tombstone(docstore.Record):
    """A person who was erased. `uid` is the name."""

    create_time = docstore.InstantField(required=True)

    meta = {"collection": "eventing_tombstones"}


class ErasureTask(docstore.Aggregate):
    """What this service still has to do for an erasure request; it emits the service's `SubjectErased`.

    `uid` is the request's, so there is one for each request. customers: everybody to erase. round: grows with every
    change of `customers`. sweeps: how many are done of this round. quiet_from: real instant at which the first one
    began. items: kind -> {removed, anonymized}, of all rounds. sweeping: a sweep has begun and is not
    stored yet. interrupted: one was cut short, so that `items` are minima. No `due`: answered.
    """

    resource = "erasureTasks"

    erasure_request = me.StringField(required=True)
    customers = me.ListField(me.StringField(), required=True)
    round = me.IntField(required=True)
    sweeps = me.IntField(required=True, default=0)
    quiet_from = docstore.InstantField()
    items = me.DictField()
    sweeping = me.BooleanField()
    interrupted = me.BooleanField()
    attempts = me.IntField(default=0)
    traceparent = me.StringField()
    due = docstore.InstantField()

    meta = {"collection": "erasure_tasks", "indexes": [docstore.due.INDEX]}

    def __init__(self, *args: Any, **values: Any) -> None:
        self.lease: dict[str, Any] | None = values.pop("lease", None)
        super().__init__(*args, **values)

    def write_guard(self) -> dict[str, Any]:
        """A claimed task is written only as long as nobody else has claimed it."""
        return {"lease.token": self.lease["token"]} if self.lease else {}


class TimerRecord(docstore.Record):
    """A durable timer. `uid` is the key.

    state: PENDING, FIRED or PARKED (failed too often; `reason` says why). revision grows with every change of the
    plan. attempts: failures so far. A `lease` (docstore.leases) keeps other processes off while it fires, and until
    the next attempt after a failure. datasubjects: the customers that the payload names.
    """

    kind = me.StringField(required=True)
    payload = me.DictField()
    datasubjects = me.ListField(me.StringField())
    due = docstore.InstantField(required=True)
    state = me.StringField(required=True)
    revision = me.IntField(required=True)
    attempts = me.IntField(required=True)
    lease = me.DictField()
    end_time = docstore.InstantField()
    reason = me.StringField()
    traceparent = me.StringField()

    meta = {
        "collection": "timers",
        "indexes": [
            {"fields": ["state", "due", "lease.until"], "platform": True},
            {"fields": ["end_time"], "expireAfterSeconds": int(TIMER_RETENTION.total_seconds())},
            {"fields": ["tenant", "datasubjects"], "partialFilterExpression": {"datasubjects.0": {"$exists": True}}},
        ],
    }


RECORDS: tuple[type[docstore.Record] | type[docstore.Aggregate], ...] = (
    HandledEvent,
    StateGuard,
    Fact,
    Tombstone,
    ErasureTask,
    TimerRecord,
)
"""Every collection of eventing, for `docstore.migrate`."""
