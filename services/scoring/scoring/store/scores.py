"""The scores of customers, and who is in which segment by them."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me
from google.protobuf.message import Message

import docstore
from chassis import clock
from docstore import batches
from docstore.connection import Row
from docstore.documents import InstantField
from docstore.records import Record


class Score(Record):
    """The scores of one profile; its uid is that of the customer that stands for it. Written in bulk.

    segments: uids of the segments it is in. Kept here, so that a membership cannot outlive the scores it rests on.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "scores",
        "indexes": [
            ["tenant", "segments", "-lifetime_value_minor", "-id"],
            ["tenant", "-lifetime_value_minor"],
            ["tenant", "job"],
            ["tenant", "currency", "purchases", "revenue_minor"],
        ],
    }
    customer: Any = me.StringField(required=True)
    currency: Any = me.StringField(required=True)
    recency_weeks: Any = me.FloatField()
    frequency: Any = me.LongField()
    age_weeks: Any = me.FloatField()
    monetary_minor: Any = me.LongField()
    purchases: Any = me.LongField()
    revenue_minor: Any = me.LongField()
    rfm: Any = me.DictField()
    """Classes 1 to 5 of `recency`, `frequency`, `monetary`, and the name `segment`."""
    p_alive: Any = me.FloatField()
    expected_purchases: Any = me.FloatField()
    lifetime_value_minor: Any = me.LongField()
    intervals: Any = me.DictField()
    """`p_alive`, `expected_purchases`, `lifetime_value_minor` -> [low, high]."""
    percentiles: Any = me.DictField()
    """The same names -> 0 to 100."""
    reasons: Any = me.ListField(me.StringField())
    segments: Any = me.ListField(me.StringField())
    job: Any = me.StringField(required=True)
    model: Any = me.StringField()
    """Uid of the model; that of the job in rows of before a job could score with an older model."""
    as_of: Any = InstantField(required=True)
    horizon_weeks: Any = me.IntField(required=True)
    decision: Any = me.StringField(required=True)
    score_time: Any = InstantField(required=True)


class ScoreChange(docstore.Batch):
    """Carries the events of one change of scores or memberships to the relay; goes when they are out."""

    resource: ClassVar[str] = "scoreChanges"
    kept_for: ClassVar[timedelta] = timedelta(0)
    meta: ClassVar[dict[str, Any]] = {"collection": "score_changes"}


def tell(events: Iterable[tuple[Message, Iterable[str]]]) -> None:
    """Publishes events with the customers (resource names) each is about; part of the transaction that made the change.

    One document for each: many segments times many customers would not fit into one.
    """
    for event, customers in events:
        change = ScoreChange.new(state=batches.DONE, finish_time=clock.real_now(), expire_time=clock.real_now())
        change.emit(event, customers)
        change.insert()


def totals() -> dict[str, tuple[int, int, int]]:
    """Currency -> (customers with scores, their purchases, their revenue in minor units)."""
    grouped = Score.rows().aggregate(
        [
            {"$match": {}},
            {"$project": {"_id": 0, "currency": 1, "purchases": 1, "revenue_minor": 1}},
            {
                "$group": {
                    "_id": "$currency",
                    "customers": {"$sum": 1},
                    "purchases": {"$sum": "$purchases"},
                    "revenue": {"$sum": "$revenue_minor"},
                }
            },
        ],
        hint="tenant_1_currency_1_purchases_1_revenue_minor_1",
    )
    return {row["_id"]: (row["customers"], row["purchases"], row["revenue"]) for row in grouped}


def currency_of_scores() -> str | None:
    """The currency the tenant's scores are in; one job scores in one currency. None before the first job."""
    row: Row | None = Score.rows().find_one({}, {"currency": 1})
    return str(row["currency"]) if row else None
