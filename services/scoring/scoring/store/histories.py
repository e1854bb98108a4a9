"""What scoring online needs: news of purchases, what customers have bought so far, and what they are scored by.

Histories are written by whoever re-scores the tenant's customers (`ScoreKeeper`, by lease); `work` leaves news.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me
from pymongo import UpdateOne

from docstore.connection import Row
from docstore.documents import InstantField
from docstore.records import Record

CURRENT = "current"
_DUE: dict[str, Any] = {"due": {"$exists": True}}
_BOUGHT: dict[str, Any] = {"bought": True}
_DATED: dict[str, Any] = {"oldest_day": {"$exists": True}}
_SUMS = (
    "oldest_day",
    "first_day",
    "days",
    "purchases",
    "revenue_minor",
    "first_revenue_minor",
    "later",
    "abroad",
    "recent",
    "older",
    "refunded",
)
FORGOTTEN: dict[str, Any] = {"$set": {"known": False}, "$unset": dict.fromkeys(_SUMS, "")}
"""What is done to histories of those who wait to be scored: they keep their places."""


class PurchaseNews(Record):
    """Purchases that were staged together and are in no history yet; uids are in order of time.

    purchases: {c: customer, t: time in milliseconds since 1970, a: amount in minor units, y: currency, o: order as
    `domain.happenings.order_of` gives it}.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "purchase_news", "indexes": [["tenant", "id"]]}
    purchases: Any = me.ListField(me.DictField())


class PurchaseHistory(Record):
    """What one customer has bought, as `domain.histories.History` keeps it; its uid is the customer's.

    Only of customers who bought since the first job and may be profiled. known: false while only `due`; then, after a
    change of the currency that is scored in, and of rows of an older `form`, files and stage tell. due: when to score
    anew, absent when that is done. bought: true where a purchase makes it due; else a job asked. asked: counted up with
    every reason to, so that one that comes meanwhile is not taken for done.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "purchase_histories",
        "indexes": [
            {"fields": ["tenant", "due"], "partialFilterExpression": _DUE, "name": "due"},
            {"fields": ["tenant", "bought", "due"], "partialFilterExpression": _BOUGHT, "name": "bought"},
            {"fields": ["tenant", "oldest_day"], "partialFilterExpression": _DATED, "name": "oldest_day"},
        ],
    }
    customer: Any = me.StringField(required=True)
    known: Any = me.BooleanField()
    currency: Any = me.StringField()
    oldest_day: Any = me.LongField()
    first_day: Any = me.LongField()
    days: Any = me.BinaryField()
    purchases: Any = me.LongField()
    revenue_minor: Any = me.LongField()
    first_revenue_minor: Any = me.LongField()
    later: Any = me.ListField()
    abroad: Any = me.ListField()
    recent: Any = me.ListField()
    older: Any = me.ListField()
    refunded: Any = me.BooleanField()
    form: Any = me.IntField()
    due: Any = InstantField()
    bought: Any = me.BooleanField()
    asked: Any = me.LongField()


class LeftToScoreWith(Record):
    """What the last job of a kind scored with; its uid is CURRENT. currency: that amounts are told in."""

    meta: ClassVar[dict[str, Any]] = {"abstract": True}
    job: Any = me.StringField(required=True)
    model: Any = me.StringField(required=True)
    currency: Any = me.StringField(required=True)

    @classmethod
    def current(cls) -> Row | None:
        """What the current tenant's customers are scored by; None until such a job has scored."""
        return cls.rows().find_one({"uid": CURRENT})


class Scorer(LeftToScoreWith):
    """What the last job of lifetime value scored with, whole: models, scales and rankings.

    choice: as `models.artefact.dump` gives it. scales: as `jobs.fit.Fitted.scales`. rankings: score -> the steps of
    `domain.percentiles.Ranking`.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "scorers"}
    choice: Any = me.DictField(required=True)
    scales: Any = me.DictField(required=True)
    rankings: Any = me.DictField(required=True)


class RiskScorer(LeftToScoreWith):
    """What the last job of churn scored with. The model lies in the blob store, under its own name.

    ranking: the steps of `domain.percentiles.Ranking`.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "risk_scorers"}
    horizon_weeks: Any = me.IntField(required=True)
    ranking: Any = me.ListField(me.FloatField())


class ResponseScorer(LeftToScoreWith):
    """The same of the last job of responses: what-if questions are answered by it."""

    meta: ClassVar[dict[str, Any]] = {"collection": "response_scorers"}
    ranking: Any = me.ListField(me.FloatField())


class ScoreKeeper(Record):
    """Who re-scores the tenant's customers now, by lease; its uid is CURRENT.

    changes: counted up by whoever takes scores away, so that nobody stores one unseen by them.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "score_keepers"}
    lease: Any = me.DictField()
    turns: Any = me.LongField()
    changes: Any = me.LongField()


def ask(customers: Collection[str], due: datetime) -> None:
    """Has these customers (resource names) scored anew by what they bought, from files where no history is known."""
    PurchaseHistory.rows().bulk_write(
        UpdateOne(
            {"uid": _uid(customer)},
            {"$set": {"due": due, "customer": customer}, "$inc": {"asked": 1}, "$setOnInsert": {"known": False}},
            upsert=True,
        )
        for customer in customers
    )


def forget(customers: Iterable[str]) -> int:
    """Deletes what these customers (resource names) bought, and takes them out of the news; returns of how many."""
    names = list(customers)
    PurchaseNews.rows().update_many({"purchases.c": {"$in": names}}, {"$pull": {"purchases": {"c": {"$in": names}}}})
    return PurchaseHistory.rows().delete_many({"uid": {"$in": [_uid(name) for name in names]}}).deleted_count


def forget_before(day: int, most: int) -> int:
    """Forgets what some of those bought who bought something before a day (since 1970): files tell it, without that,
    when it is asked for next. Returns of how many, below `most` when there were no more.
    """
    rows = PurchaseHistory.rows()
    before = {"oldest_day": {"$lt": day}}
    some = {**before, "uid": {"$in": [row["uid"] for row in rows.find(before, {"uid": 1}, limit=most)]}}
    gone = rows.delete_many({**some, "due": {"$exists": False}}).deleted_count
    return gone + rows.update_many(some, FORGOTTEN).modified_count


def forestall() -> None:
    """Makes scores that are being stored online meanwhile conflict with this transaction, so that they look again."""
    ScoreKeeper.rows().update_one({"uid": CURRENT}, {"$inc": {"changes": 1}})


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
