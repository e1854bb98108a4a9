"""Which profile a customer belongs to, as identity tells it; every service keeps the map and resolves on read.

The map is flat: identity names for every customer the one that stands for the whole profile. One look-up therefore
always ends, whatever order the events arrived in.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from mongoengine import LongField, StringField
from pymongo import UpdateOne

from docstore.records import Record
from docstore.tenanted import Filter

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


def forget(customers: Iterable[str]) -> int:
    """Remove what is known of erased customers (resource names), as members and as who stands for others; how many."""
    names = list(dict.fromkeys(customers))
    rows = CustomerAlias.rows()
    removed = rows.delete_many({"uid": {"$in": [_uid(name) for name in names]}}).deleted_count
    return removed + rows.delete_many({"canonical": {"$in": names}}).deleted_count


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


def profiles(customers: Iterable[str]) -> dict[str, tuple[str, list[str]]]:
    """The profile of each customer: its canonical name and all its members (resource names); two queries."""
    canonical = resolve(customers)
    members: dict[str, list[str]] = {name: [name] for name in canonical.values()}
    rows = CustomerAlias.rows().find(
        {"canonical": {"$in": list(members)}},
        {"_id": 0, "customer": 1, "canonical": 1},
        limit=MEMBERS_LIMIT * max(len(members), 1),
    )
    for row in rows:
        if row["customer"] != row["canonical"]:
            members[row["canonical"]].append(row["customer"])
    return {customer: (name, members[name]) for customer, name in canonical.items()}


def of_whole_profile(filter: Filter) -> Filter:
    """A list's filter with each `customer` it asks for replaced by all members of that customer's profile."""
    asked: list[str] = []
    _customers_in(filter, asked.append)
    if not asked:
        return filter
    members = {customer: members for customer, (_, members) in profiles(asked).items()}
    return cast(Filter, _with_members(filter, members))


def _customers_in(part: Any, found: Callable[[str], object]) -> None:
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "customer" and isinstance(value, Mapping) and "$eq" in value:
                found(value["$eq"])
            _customers_in(value, found)
    elif isinstance(part, list):
        for item in part:
            _customers_in(item, found)


def _with_members(part: Any, members: Mapping[str, list[str]]) -> Any:
    if isinstance(part, list):
        return [_with_members(item, members) for item in part]
    if not isinstance(part, Mapping):
        return part
    return {
        key: {"$in": members[value["$eq"]]}
        if key == "customer" and isinstance(value, Mapping) and "$eq" in value
        else _with_members(value, members)
        for key, value in part.items()
    }


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
