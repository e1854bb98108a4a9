"""Merges, the edges of the graph of customers, and merges that a guard stopped."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from mongoengine import DynamicField, ListField, StringField
from pymongo import UpdateOne

import docstore
from identity.domain.graph import pair
from identity.domain.resolution import PlannedConflict

ACTIVE = "STATE_ACTIVE"
UNDONE = "STATE_UNDONE"


class Merge(docstore.Aggregate):
    """An edge between two customers, with its reasons. States are named as in the contract."""

    resource: ClassVar[str] = "merges"

    ends: Any = ListField(StringField(), required=True)
    """Uids of the two customers that the evidence names."""
    customer: Any = StringField(required=True)
    """Uid of the customer that stood for the joined profile when they were merged."""
    merged_customer: Any = StringField(required=True)
    """Uid of the customer that stood for the other one."""
    state: Any = StringField(required=True, choices=(ACTIVE, UNDONE))
    reasons: Any = ListField(DynamicField())
    """{rule, identifier_kind, message_id, comment, customers}, as `MergeReason`."""
    actor: Any = StringField(required=True)
    undo_time: Any = docstore.InstantField()

    meta: ClassVar[dict[str, Any]] = {
        "collection": "merges",
        "indexes": [
            {"fields": ["tenant", "ends", "state"]},
            {"fields": ["tenant", "create_time", "id"]},
            {"fields": ["tenant", "customer", "create_time", "id"]},
            {"fields": ["tenant", "merged_customer", "create_time", "id"]},
        ],
    }


class MergeConflict(docstore.Record):
    """A merge that a guard stopped; one row for the same customers, guard and kind."""

    key: Any = StringField(required=True)
    customers: Any = ListField(StringField(), required=True)
    guard: Any = StringField(required=True)
    identifier_kind: Any = StringField()
    message_id: Any = StringField()
    create_time: Any = docstore.InstantField(required=True)

    meta: ClassVar[dict[str, Any]] = {
        "collection": "merge_conflicts",
        "indexes": [
            {"fields": ["tenant", "key"], "unique": True},
            {"fields": ["tenant", "create_time", "id"]},
            {"fields": ["tenant", "customers"]},
        ],
    }


def edges(members: Iterable[str], state: str) -> list[tuple[str, str]]:
    """The ends of the merges in that state that touch one of these customers."""
    found = Merge.rows().find({"ends": {"$in": list(members)}, "state": state, "purged": None}, {"ends": 1})
    return [(row["ends"][0], row["ends"][1]) for row in found]


def separated_pairs(members: Sequence[str]) -> set[str]:
    """`graph.pair` keys of customers that somebody separated, among those that touch one of `members`."""
    return {pair(*ends) for ends in edges(members, UNDONE)}


def record_conflicts(conflicts: Iterable[PlannedConflict], now: datetime) -> None:
    """Keep stopped merges for people to look at; a known one is left as it is."""
    operations = []
    for conflict in conflicts:
        key = "|".join((*conflict.customers, conflict.guard.value, conflict.kind.value))
        values = {
            "customers": list(conflict.customers),
            "guard": conflict.guard.value,
            "identifier_kind": conflict.kind.value,
            "message_id": conflict.message_id,
            "create_time": docstore.whole_milliseconds(now),
        }
        operations.append(UpdateOne({"key": key}, {"$setOnInsert": values}, upsert=True))
    MergeConflict.rows().bulk_write(operations)
