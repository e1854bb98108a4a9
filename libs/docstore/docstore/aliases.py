"""Which profile a customer belongs to, as identity tells it; every service keeps the map and resolves on read.

The map is flat: identity names for every customer the one that stands for the whole profile. One look-up therefore
always ends, whatever order the events arrived in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from mongoengine import LongField, StringField
from pymongo import UpdateOne

from docstore.records import Record

MEMBERS_LIMIT = 1000
"""The most customers one profile is asked for."""

_INDEXES_PER_VERSION = 1024


class CustomerAlias(Record):
    """One customer's place; its uid is the customer's."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "customer_aliases",
        "indexes": [{"fields": ["tenant", "canonical"]}],
    }
    customer: Any = StringField(required=True)
    canonical: Any = StringField(required=True)
    sequence: Any = LongField(required=True)


@dataclass(frozen=True, slots=True)
class AliasChange:
    """A customer's new place: resource names, and the `(version, index)` sequence of the event that told it."""

    customer: str
    canonical: str
    sequence: tuple[int, int]


def apply(changes: Iterable[AliasChange]) -> None:
    """Take over changes. Older ones than what is known are ignored, so order and repeats do not matter."""
    CustomerAlias.rows().bulk_write(_upsert(change) for change in changes)


def resolve(customers: Iterable[str]) -> dict[str, str]:
    """The canonical name of each customer, itself when it is not merged. One query."""
    names = list(dict.fromkeys(customers))
    found = CustomerAlias.rows().find(
        {"uid": {"$in": [_uid(name) for name in names]}}, {"_id": 0, "customer": 1, "canonical": 1}
    )
    known = {row["customer"]: row["canonical"] for row in found}
    return {name: known.get(name, name) for name in names}


def members(canonical: str) -> list[str]:
    """All customers of the profile that `canonical` stands for, itself first; at most `MEMBERS_LIMIT`.

    Empty when `canonical` has itself been merged into another profile.
    """
    rows = list(CustomerAlias.rows().find({"canonical": canonical}, {"_id": 0, "customer": 1}, limit=MEMBERS_LIMIT - 1))
    others = sorted(row["customer"] for row in rows if row["customer"] != canonical)
    return [canonical, *others] if resolve([canonical])[canonical] == canonical else others


def _upsert(change: AliasChange) -> UpdateOne:
    """A pipeline, because a guard in the filter would turn a late event into an insert with a taken key."""
    version, index = change.sequence
    sequence = version * _INDEXES_PER_VERSION + index
    newer = {"$gt": [sequence, {"$ifNull": ["$sequence", -1]}]}
    uid = _uid(change.customer)
    return UpdateOne(
        {"uid": uid},
        [
            {
                "$set": {
                    "customer": {"$literal": change.customer},
                    "canonical": {"$cond": [newer, {"$literal": change.canonical}, "$canonical"]},
                    "sequence": {"$cond": [newer, sequence, "$sequence"]},
                }
            }
        ],
        upsert=True,
    )


def _uid(customer: str) -> str:
    return customer.rpartition("/")[2]
