"""The scores of customers, and the events that tell of them."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me
from google.protobuf.message import Message

import docstore
from chassis import clock
from docstore import aliases, batches
from docstore.connection import Row
from docstore.documents import InstantField
from docstore.records import Record
from scoring.store.profiles import Profile


class Score(Record):
    """The scores of one profile; its uid is that of the customer that stands for it. Written in bulk.

    Of whom no job of lifetime value knows there is nothing but `customer` and what the others told: PARTS.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "scores",
        "indexes": [
            ["tenant", "-lifetime_value_minor"],
            ["tenant", "job"],
            ["tenant", "churn.job"],
            ["tenant", "cluster.job"],
            ["tenant", "usage.job"],
            ["tenant", "renewal.job"],
            ["tenant", "response.job"],
            ["tenant", "currency", "purchases", "revenue_minor"],
        ],
    }
    customer: Any = me.StringField(required=True)
    currency: Any = me.StringField()
    recency_weeks: Any = me.FloatField()
    frequency: Any = me.LongField()
    age_weeks: Any = me.FloatField()
    monetary_minor: Any = me.LongField()
    purchases: Any = me.LongField()
    revenue_minor: Any = me.LongField()
    repeat_revenue_minor: Any = me.LongField()
    """Of the days that `frequency` counts; absent in rows of before it was kept."""
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
    job: Any = me.StringField()
    """Uid of the last job that told these scores or left newer ones alone."""
    made_by: Any = me.StringField()
    """Uid of the job whose models and scales they were made with; absent in rows of before it was kept."""
    model: Any = me.StringField()
    """Uid of the model; that of the job in rows of before a job could score with an older model."""
    as_of: Any = InstantField()
    horizon_weeks: Any = me.IntField()
    decision: Any = me.StringField()
    score_time: Any = InstantField()
    churn: Any = me.DictField()
    """The risk of leaving: probability, low, high, percentile, reasons ({feature, points, text}), horizon_weeks, as_of,
    job, model (uids), decision, score_time, rescored and outdated_since (as below), and made_of (feature -> value) of
    those made online; absent where there is none."""
    cluster: Any = me.DictField()
    """The group of customers who are alike: name, fallback, distance, second, second_distance (those three absent where
    `fallback`), reasons (texts), as_of, job, model (uids), decision, score_time; absent where there is none."""
    response: Any = me.DictField()
    """The probability of a response: probability, low, high, percentile, reasons ({feature, points, text}),
    horizon_days, as_of, job, model (uids), decision, score_time; absent where there is none."""
    renewal: Any = me.DictField()
    """The contract that comes to its renewal first: probability, low, high, expected_renewals, expected_low,
    expected_high, renewals, period_days, due_time, subscriptions, reasons (texts), fallback, as_of, job, model (uids),
    decision, score_time; absent where there is none."""
    usage: Any = me.DictField()
    """Whether usage is as usual: state, begin_time, window_weeks, used, expected, low, high, probability, as_group,
    drop_tellable (those six absent where not judged), reasons (texts), fallback, as_of, job, model (uids), decision,
    score_time; absent where there is none."""
    rescored: Any = me.BooleanField()
    """True when role `run` made it by what the job left, because the customer bought."""
    outdated_since: Any = InstantField()
    """Since when it is known that the next job will tell something else; absent when it is not."""


RESPONSE = "response"
RENEWAL = "renewal"
VALUE = "job"
"""The part that jobs of lifetime value tell: VALUES."""
VALUES = (
    *("currency", "recency_weeks", "frequency", "age_weeks", "monetary_minor", "purchases", "revenue_minor"),
    *("repeat_revenue_minor", "rfm", "p_alive", "expected_purchases", "lifetime_value_minor", "intervals"),
    *("percentiles", "reasons", VALUE, "made_by", "model", "as_of", "horizon_weeks", "decision", "score_time"),
    *("rescored", "outdated_since"),
)
PARTS = (VALUE, "churn", "cluster", RESPONSE, RENEWAL, "usage")
"""Fields of which a row has at least one: what each kind of job alone makes and removes."""


class ScoreChange(docstore.Batch):
    """Carries the events of one change of scores or memberships to the relay; goes when they are out."""

    resource: ClassVar[str] = "scoreChanges"
    kept_for: ClassVar[timedelta] = timedelta(0)
    meta: ClassVar[dict[str, Any]] = {"collection": "score_changes"}


PEOPLE_MAX = 400
"""Customers whom the events of one document are about, but for a larger event."""


def tell(events: Iterable[tuple[Message, Iterable[str]]]) -> None:
    """Publishes events with the customers (resource names) each is about; part of the transaction that made the change.

    In several documents: many segments times many customers would not fit into one.
    """
    changes: list[ScoreChange] = []
    room = 0
    for event, customers in events:
        about = list(customers)
        if len(about) > room or not changes:
            now = clock.real_now()
            changes.append(ScoreChange.new(state=batches.DONE, finish_time=now, expire_time=now))
            room = PEOPLE_MAX
        changes[-1].emit(event, about)
        room -= max(1, len(about))
    ScoreChange.insert_many(changes)


def totals() -> dict[str, tuple[int, int, int]]:
    """Currency -> (customers with scores, their purchases, their revenue in minor units)."""
    grouped = Score.rows().aggregate(
        [
            {"$match": {"currency": {"$gt": ""}}},
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


def scores_by_any_name(customer: str) -> Row | None:
    """The scores of the profile that a customer (resource name) belongs to, with its segments; None without any.

    Two queries: a merged customer has no scores of its own, so that only who has none is looked up among the aliases.
    """
    row = Score.rows().find_one({"uid": customer.rpartition("/")[2]})
    if row is None:
        canonical = aliases.resolve([customer])[customer]
        row = Score.rows().find_one({"uid": canonical.rpartition("/")[2]}) if canonical != customer else None
    if row is None:
        return None
    profile = Profile.rows().find_one({"uid": row["uid"]}, {"segments": 1}) or {}
    return row | {"segments": profile.get("segments", ())}


def scores_of(uids: Iterable[str]) -> dict[str, Row]:
    """Scores by uid of the customer, with the segments each is in; two queries."""
    rows = Score.rows().find({"uid": {"$in": list(uids)}})
    return {row["uid"]: row for row in with_segments(rows)}


def with_segments(rows: Iterable[Row]) -> list[Row]:
    """The rows, each with the uids of the segments the customer is in."""
    scores = list(rows)
    found = Profile.rows().find({"uid": {"$in": [row["uid"] for row in scores]}}, {"uid": 1, "segments": 1})
    inside = {row["uid"]: row.get("segments", ()) for row in found}
    return [row | {"segments": inside.get(row["uid"], ())} for row in scores]
