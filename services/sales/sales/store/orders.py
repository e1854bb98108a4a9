"""Orders of all sources, each number once."""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me
from rapport.sales.v1 import events_pb2

import docstore
from chassis import clock, money
from docstore import batches
from docstore.aggregate import Aggregate
from docstore.connection import Row
from docstore.documents import InstantField
from docstore.tenanted import Filter
from sales.domain import refunds as rules

API = "api"
STATES = (rules.PLACED, rules.PARTLY_REFUNDED, rules.REFUNDED)
REFUNDS_MAX = 500
"""The most refunds of one order."""

SUMMARY_INDEX = "order_sums"


class Refund(me.EmbeddedDocument):
    """Something given back.

    key: the message that told it. asked: how much was told, absent for all that is left. share: how much of it counts.
    """

    key: Any = me.StringField()
    asked: Any = me.LongField()
    currency: Any = me.StringField()
    share: Any = me.LongField(required=True)
    time: Any = InstantField(required=True)


class Order(Aggregate):
    """One order; `customer` is a resource name as it was then, absent once that one is erased.

    awaited: only refunds have been told so far, the order itself is to come; nobody sees it until then.
    """

    resource = "orders"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "orders",
        "indexes": [
            {
                "fields": ["tenant", "source", "order_number"],
                "unique": True,
                "partialFilterExpression": {"order_number": {"$exists": True}},
            },
            ["tenant", "-order_time", "-id"],
            ["tenant", "customer", "-order_time", "-id"],
            ["tenant", "source", "-order_time", "-id"],
            ["tenant", "state", "-order_time", "-id"],
            {
                "fields": ["tenant", "order_time", "source", "customer", "currency", "amount_minor", "refunded_minor"],
                "name": SUMMARY_INDEX,
            },
        ],
    }
    customer: Any = me.StringField()
    source: Any = me.StringField(required=True)
    order_number: Any = me.StringField()
    message_id: Any = me.StringField()
    """The source's message that told it."""
    currency: Any = me.StringField()
    amount_minor: Any = me.LongField(required=True, default=0)
    refunded_minor: Any = me.LongField(required=True, default=0)
    state: Any = me.StringField(required=True, choices=STATES, default=rules.PLACED)
    order_time: Any = InstantField()
    refunds: Any = me.EmbeddedDocumentListField(Refund)
    tracked: Any = me.BooleanField()
    awaited: Any = me.BooleanField()

    @classmethod
    def read_filter(cls, filter: Filter | None, *, deleted: bool) -> Filter:
        """Hides orders of which only refunds are known."""
        return {"awaited": None, **super().read_filter(filter, deleted=deleted)}

    @property
    def rest(self) -> int:
        """What can still be given back, in minor units."""
        return rules.rest(self.amount_minor, self.refunded_minor)

    def settle(self) -> int:
        """Works out anew what each refund gives back; returns how many cannot count: another currency."""
        asked = [rules.Asked(refund.asked, refund.currency) for refund in self.refunds]
        shares = rules.shares(self.amount_minor, self.currency, asked)
        for refund, share in zip(self.refunds, shares, strict=True):
            refund.share = share or 0
        counted = [share for share in shares if share is not None]
        self.refunded_minor = sum(counted)
        self.state = rules.state(self.amount_minor, self.refunded_minor, len(counted))
        return len(shares) - len(counted)

    def public_state(self, revision: int) -> events_pb2.OrderState:
        """How events tell it; `revision` is the version it has with the write that tells it."""
        return events_pb2.OrderState(
            order=self.name,
            customer=self.customer or "",
            source=self.source,
            order_number=self.order_number or "",
            amount=money.from_minor(self.amount_minor, self.currency),
            refunded_amount=money.from_minor(self.refunded_minor, self.currency),
            order_time=self.order_time,
            revision=revision,
            tracked=bool(self.tracked),
        )


class OrderChange(docstore.Batch):
    """Carries events of many documents to the relay, as of orders that one message told; goes when they are out."""

    resource: ClassVar[str] = "orderChanges"
    kept_for: ClassVar[timedelta] = timedelta(0)
    meta: ClassVar[dict[str, Any]] = {"collection": "order_changes"}


def change() -> OrderChange:
    """A new carrier; emit on it and insert it in the transaction that changed what it tells of."""
    now = clock.real_now()
    return OrderChange.new(state=batches.DONE, finish_time=now, expire_time=now)


def by_number(numbers: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Order]:
    """The orders of these numbers by source, awaited ones too; one query a source."""
    found: dict[tuple[str, str], Order] = {}
    for source, wanted in numbers.items():
        rows = Order.rows().find({"source": source, "order_number": {"$in": list(wanted)}}, Order.projection())
        for row in rows:
            found[source, row["order_number"]] = Order.from_row(row)
    return found


def sums(interval: Row, source: str) -> Iterator[Row]:
    """Orders, revenue and refunds (minor units) by customer and currency; read from the index alone."""
    yield from Order.rows().aggregate(sums_pipeline(interval, source), hint=SUMMARY_INDEX)


def sums_pipeline(interval: Row, source: str) -> list[Row]:
    """How `sums` adds up; orders that are awaited have no time and are left out."""
    matched = {"order_time": interval, **({"source": source} if source else {})}
    grouped = {
        "_id": {"customer": "$customer", "currency": "$currency"},
        "orders": {"$sum": 1},
        "revenue": {"$sum": "$amount_minor"},
        "refunded": {"$sum": "$refunded_minor"},
    }
    needed = {"_id": 0, "customer": 1, "currency": 1, "amount_minor": 1, "refunded_minor": 1}
    return [{"$match": matched}, {"$project": needed}, {"$group": grouped}]
