"""What other services told about customers, as the agent view shows it: one row a thing.

A row keeps the customer it was told of; a merge does not change it. One index serves every read: lists end at their
limit, and totals are added up from the index alone.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from mongoengine import BooleanField, DynamicField, IntField, LongField, StringField
from pymongo import DeleteOne, UpdateOne

import docstore
from docstore.connection import Row
from identity.store.customers import of_members


class Kind(StrEnum):
    """What a row is about."""

    ORDER = "ORDER"
    TICKET = "TICKET"
    STATEMENT = "STATEMENT"
    """Something the customer said in a ticket."""
    MESSAGE = "MESSAGE"
    CONSENT = "CONSENT"
    SCORES = "SCORES"
    CHURN_RISK = "CHURN_RISK"
    CLUSTER = "CLUSTER"
    USAGE = "USAGE"
    RENEWAL = "RENEWAL"
    RESPONSE = "RESPONSE"
    SEND_TIME = "SEND_TIME"
    SEGMENT = "SEGMENT"
    PROMISE = "PROMISE"
    DEAL = "DEAL"


LIKELY: tuple[Kind, ...] = (
    *(Kind.SCORES, Kind.CHURN_RISK, Kind.CLUSTER, Kind.USAGE),
    *(Kind.RENEWAL, Kind.RESPONSE, Kind.SEND_TIME),
)
"""What scoring tells once of a customer, of each kind one row."""

SENT, OPENED, CLICKED = 1, 2, 3
"""How far a message got: the states of its row."""

WON, LOST = 1, 2
"""How a deal ended: the states of its row."""


class Facet(docstore.Record):
    """One thing of a customer. Its uid is `<kind>/<resource name>`, so that what is told again meets its row."""

    customer: Any = StringField(required=True)
    """Uid of the customer it was told of."""
    kind: Any = StringField(required=True)
    shown: Any = BooleanField()
    """Whether lists name it: promises kept, segments left, what scoring removed stay as rows that are not shown."""
    time: Any = docstore.InstantField()
    """What lists of its kind are ordered by."""
    state: Any = IntField()
    """Number of an enum of the contract, or how far a message got."""
    category: Any = IntField()
    """What totals tell apart: the kind of a ticket, the channel of a statement."""
    currency_code: Any = StringField()
    amount_minor: Any = LongField()
    refunded_minor: Any = LongField()
    score: Any = LongField()
    """A statement's sentiment in millionths."""
    told: Any = docstore.InstantField(required=True)
    """When the newest event about it happened."""
    version: Any = DynamicField()
    """For facts of which the newest counts: what orders them. States are ordered before they get here."""
    details: Any = DynamicField()
    """What else is shown."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "facets",
        "indexes": [
            {
                "name": "view",
                "fields": [
                    *("tenant", "customer", "kind", "shown", "time", "id", "state", "category"),
                    *("currency_code", "amount_minor", "refunded_minor", "score", "told"),
                ],
            },
        ],
    }

    @staticmethod
    def uid_of(kind: Kind, name: str) -> str:
        """The row's uid."""
        return f"{kind}/{name}"


DOCUMENTS = (Facet,)
"""Every collection of the agent view; their rows name their `customer` (uid)."""

RECENT = 10
"""How many of the newest orders, tickets, statements and messages are shown."""
PROMISES = 20
SEGMENTS = 100
CONSENTS = 1000
"""Rows of all members; what shows is one for each purpose and channel."""
LIKELY_MOST = 500
"""Rows of all members, those of the oldest first, which stands for them; what shows is one of each kind."""


def put(kind: Kind, name: str, values: Mapping[str, Any]) -> None:
    """Store what a STATE event tells, in place of what was told before."""
    Facet.rows().gather([UpdateOne({"uid": Facet.uid_of(kind, name)}, {"$set": {"kind": kind, **values}}, upsert=True)])


def forget(kind: Kind, name: str) -> None:
    """Remove a row: it is of no customer any more."""
    Facet.rows().gather([DeleteOne({"uid": Facet.uid_of(kind, name)})])


def put_newer(kind: Kind, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Store what FACT events tell of (name, values), each unless its row has that `version` or a higher one."""
    Facet.rows().gather(_newer(kind, name, values) for name, values in rows)


def _newer(kind: Kind, name: str, values: Mapping[str, Any]) -> UpdateOne:
    """A pipeline, because a guard in the filter would turn a late event into an insert with a taken key."""
    newer = {"$gt": [{"$literal": values["version"]}, "$version"]}
    changes: Row = {field: {"$cond": [newer, {"$literal": value}, f"${field}"]} for field, value in values.items()}
    changes["told"] = {"$max": [values["told"], "$told"]}
    changes["kind"] = {"$literal": kind}
    return UpdateOne({"uid": Facet.uid_of(kind, name)}, [{"$set": changes}], upsert=True)


def note_message(name: str, customer: str, told: datetime, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Add to what is known of a message by update operators that give the same in any order."""
    update: dict[str, dict[str, Any]] = {operator: dict(fields) for operator, fields in changes.items()}
    update.setdefault("$set", {}).update(kind=Kind.MESSAGE, customer=customer)
    update.setdefault("$max", {})["told"] = told
    Facet.rows().gather([UpdateOne({"uid": Facet.uid_of(Kind.MESSAGE, name)}, update, upsert=True)])


def pipelines(customers: Collection[str], recent_from: datetime) -> list[list[Row]]:
    """What `of_customers` asks, one pipeline for each list and one for the totals of all kinds."""
    whose = of_members(customers)

    def listed(kind: Kind, limit: int, direction: int = -1) -> list[Row]:
        return [
            {"$match": {**whose, "kind": kind, "shown": True}},
            {"$sort": {"time": direction, "_id": direction}},
            {"$limit": limit},
        ]

    totals: list[Row] = [
        {"$match": whose},
        {
            "$group": {
                "_id": {
                    **{field: f"${field}" for field in ("kind", "state", "category", "currency_code")},
                    "recent": {"$gte": ["$time", recent_from]},
                },
                "count": {"$sum": 1},
                "amount": {"$sum": "$amount_minor"},
                "refunded": {"$sum": "$refunded_minor"},
                "score": {"$sum": "$score"},
                "scored": {"$sum": {"$cond": [{"$isNumber": "$score"}, 1, 0]}},
                "first": {"$min": "$time"},
                "last": {"$max": "$time"},
                "told": {"$max": "$told"},
            }
        },
    ]
    return [
        totals,
        *(listed(kind, RECENT) for kind in (Kind.ORDER, Kind.TICKET, Kind.STATEMENT, Kind.MESSAGE)),
        listed(Kind.PROMISE, PROMISES, 1),
        listed(Kind.CONSENT, CONSENTS),
        listed(Kind.SEGMENT, SEGMENTS),
        [{"$match": {**whose, "kind": {"$in": LIKELY}, "shown": True}}, {"$limit": LIKELY_MOST}],
    ]


def of_customers(customers: Collection[str], recent_from: datetime) -> tuple[list[Row], dict[Kind, list[Row]]]:
    """Totals, and the rows to show by kind in their order, of the members of a profile. One query.

    A total has `_id` {kind, state, category, currency_code, recent}, `recent` telling rows since `recent_from` from
    those before, and count, amount, refunded, score (sums), scored (rows with a score), first, last, told (instants).
    """
    totals: list[Row] = []
    rows: dict[Kind, list[Row]] = {kind: [] for kind in Kind}
    for row in Facet.rows().union(pipelines(customers, recent_from)):
        if "kind" in row:
            rows[Kind(row["kind"])].append(row)
        else:
            totals.append(row)
    return totals, rows
