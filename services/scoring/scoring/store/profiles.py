"""What segments know of customers, what has yet to be taken in, who is in which segment, and who moved when.

A profile is written by whoever keeps the tenant's segments (`SegmentKeeper`, by lease); everybody else leaves a
signal. So profiles are never fought for, and a signal costs one insert.
"""

from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me

from docstore.documents import InstantField
from docstore.records import Record

CHANGES_KEPT = timedelta(days=400)
_DUE: dict[str, Any] = {"due": {"$exists": True}}


class Profile(Record):
    """What segments know of one customer; its uid is the customer's. A merged customer keeps its own.

    Personal data, as little as conditions need: of addresses only that there are some, of events times and amounts.
    segments: uids of those it is in; only the customer that stands for a profile is in any.
    value: lifetime value of its scores in minor units, to list members by. due: when time alone may change something.
    spread: a number by chance, so that a part of all customers stands for them.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "profiles",
        "indexes": [
            ["tenant", "segments", "-value", "-id"],
            ["tenant", "spread", "id"],
            {"fields": ["tenant", "due"], "partialFilterExpression": _DUE, "name": "due"},
        ],
    }
    customer: Any = me.StringField(required=True)
    spread: Any = me.LongField(required=True)
    traits: Any = me.ListField()
    """Pairs of name and value: names are the tenants', and not all make field names."""
    traits_sequence: Any = me.ListField(me.LongField())
    deleted: Any = me.BooleanField()
    consents: Any = me.ListField(me.DictField())
    """consent, purpose, channel, state, record, answered (records), sequence."""
    series: Any = me.ListField(me.DictField())
    """`domain.happenings.Series`."""
    segments: Any = me.ListField(me.StringField())
    value: Any = me.LongField()
    known: Any = me.BooleanField()
    """True once it was looked at for all segments."""
    due: Any = InstantField()


class SegmentSignal(Record):
    """News that are to be taken into profiles, or reason to look at some again; in order of rank, then of uid.

    events: {c: customer's name, e, s, y (currency), t, a, i, o (if any)}, see `domain.happenings`. states: {customer,
    kind, sequence, ...}. customers: names of those to look at. cause: why, as `SegmentLeft.Cause`.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "segment_signals", "indexes": [["tenant", "rank", "id"]]}
    rank: Any = me.IntField(required=True)
    """Lower ones are taken in first."""
    size: Any = me.IntField(required=True)
    events: Any = me.ListField(me.DictField())
    states: Any = me.ListField(me.DictField())
    customers: Any = me.ListField(me.StringField())
    cause: Any = me.IntField(required=True)


class SegmentKeeper(Record):
    """Who keeps the tenant's segments now, by lease, and how far a look at all customers has come; its uid is KEEPER.

    scan: `after`, the uid of the last customer looked at, and `segments`, uid -> the version it is done for.
    Its row REFERENCES is written by all changes of which segment asks for which, so that two cannot make a cycle.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "segment_keepers"}
    lease: Any = me.DictField()
    turns: Any = me.LongField()
    scan: Any = me.DictField()
    changes: Any = me.LongField()


KEEPER, REFERENCES = "keeper", "references"


class SegmentChange(Record):
    """One customer entered or left a segment; uids are in order of time."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "segment_changes",
        "indexes": [
            ["tenant", "segment", "-id"],
            ["tenant", "segment", "customer", "-id"],
            ["tenant", "customer"],
            {"fields": ["record_time"], "expireAfterSeconds": int(CHANGES_KEPT.total_seconds())},
        ],
    }
    segment: Any = me.StringField(required=True)
    customer: Any = me.StringField(required=True)
    entered: Any = me.BooleanField(required=True)
    cause: Any = me.IntField(required=True)
    time: Any = InstantField(required=True)
    record_time: Any = InstantField(required=True)
