"""What models may know of leads, how they ended, and their scores."""

from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me

from chassis import clock
from docstore import due
from docstore.documents import InstantField
from docstore.records import Record

KEPT = timedelta(days=1_095)
"""Since a lead was first heard of, on the real clock: the business clock of a test platform may stand anywhere."""
SCAN = "leads"
_OPEN: dict[str, Any] = {"open": True}
SCORED: dict[str, Any] = {"score.probability": {"$exists": True}}
"""Matches leads with a score."""


class Lead(Record):
    """One lead of the sales service, by its uid: its facts as they were when it was created, and its score.

    know_time: when the facts were known. points: those it had then. sequence: of the newest event taken in. open: true
    while nothing has come of it, else absent. due: when it is to be scored, absent when it is or cannot be. changes:
    counted up with every change, so that what was scored as something else is not stored.
    score: probability, low, high, percentile, reasons ({fact, points, text}), model (uid), model_time, decision
    (absent where no customer is known), score_time.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "leads",
        "indexes": [
            due.INDEX,
            ["tenant", "create_time", "id"],
            ["tenant", "customer"],
            {"fields": ["tenant", "open", "id"], "partialFilterExpression": _OPEN, "name": "open"},
            {
                "fields": ["tenant", "-score.probability", "-id"],
                "partialFilterExpression": SCORED,
                "name": "scored",
            },
            {"fields": ["tenant", "id"], "partialFilterExpression": SCORED, "name": "exported"},
            {"fields": ["expire_time"], "expireAfterSeconds": 0, "platform": True},
        ],
    }
    customer: Any = me.StringField()
    facts: Any = me.DictField(required=True)
    points: Any = me.IntField(required=True)
    create_time: Any = InstantField(required=True)
    know_time: Any = InstantField(required=True)
    convert_time: Any = InstantField()
    disqualify_time: Any = InstantField()
    sequence: Any = me.ListField(me.LongField())
    open: Any = me.BooleanField()
    due: Any = InstantField()
    lease: Any = me.DictField()
    changes: Any = me.LongField(required=True)
    score: Any = me.DictField()
    expire_time: Any = InstantField(required=True)


class LeadScan(Record):
    """A look at all open leads of a tenant, because another model scores now; its uid is SCAN.

    due: absent when all are scored. after: uid of the last lead looked at. scored: how many have a new score.
    calls: grows with every call, so that one that comes meanwhile is not taken for done.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "lead_scans", "indexes": [due.INDEX]}
    due: Any = InstantField()
    after: Any = me.StringField()
    scored: Any = me.LongField()
    calls: Any = me.LongField()
    lease: Any = me.DictField()


def score_all_anew() -> None:
    """Has all open leads scored again; part of the transaction that gave them another champion."""
    begin = {"due": clock.now(), "after": "", "scored": 0}
    LeadScan.rows().update_one({"uid": SCAN}, {"$set": begin, "$inc": {"calls": 1}}, upsert=True)
