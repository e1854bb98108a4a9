"""Sales reps and how many open leads each has."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import mongoengine as me
from pymongo import UpdateOne

from docstore import Conflict, Row
from docstore.aggregate import Aggregate
from docstore.tenanted import whole_tenant
from sales.domain.assignment import Rep

REPS_MAX = 1000
"""The most sales reps of one tenant: all of them are looked at for each lead."""


class SalesRep(Aggregate):
    """Somebody who looks after leads; the uid is chosen by whoever creates it.

    load: open leads; written only in the transaction that gives or takes a lead, and no part of the version.
    """

    resource = "salesReps"
    meta: ClassVar[dict[str, Any]] = {"collection": "sales_reps", "indexes": [["tenant", "create_time", "id"]]}

    principal: Any = me.StringField(required=True)
    display_name: Any = me.StringField(required=True)
    region_codes: Any = me.ListField(me.StringField())
    language_codes: Any = me.ListField(me.StringField())
    skills: Any = me.ListField(me.StringField())
    capacity: Any = me.IntField(required=True)
    available: Any = me.BooleanField(required=True)
    load: Any = me.IntField(required=True, default=0)


_FIELDS = ("principal", "region_codes", "language_codes", "skills", "load", "capacity", "available")


def rep_of(row: Row) -> Rep:
    """A stored sales rep as the rules know it."""
    return Rep(
        uid=row["uid"],
        principal=row["principal"],
        regions=frozenset(row.get("region_codes") or ()),
        languages=frozenset(row.get("language_codes") or ()),
        skills=frozenset(row.get("skills") or ()),
        load=row["load"],
        capacity=row["capacity"],
        available=row["available"],
    )


def all_reps() -> list[Rep]:
    """Every sales rep of the tenant; those who are away too, for a lead may fit only them."""
    rows = SalesRep.rows().find({"purged": None, **whole_tenant()}, {"_id": 0, "uid": 1, **dict.fromkeys(_FIELDS, 1)})
    return [rep_of(row) for row in rows.limit(REPS_MAX)]


def take_room(before: Mapping[str, Rep], given: Counter[str]) -> None:
    """Counts leads given to sales reps, as read before (by uid). Raises Conflict when one was changed meanwhile.

    Only inside a transaction: a rep who got a lead from somebody else meanwhile makes it start anew, so that nobody
    ever has more than the capacity.
    """
    result = SalesRep.rows().bulk_write(
        UpdateOne(
            {"uid": uid, "load": before[uid].load, "capacity": before[uid].capacity, "purged": None},
            {"$inc": {"load": count}},
        )
        for uid, count in given.items()
    )
    if result is not None and result.matched_count < len(given):
        raise Conflict(SalesRep.resource)


def give_room(taken: Mapping[str, int]) -> None:
    """Counts leads that sales reps (by uid) no longer have; only inside a transaction."""
    SalesRep.rows().bulk_write(
        UpdateOne({"uid": uid, "load": {"$gte": count}}, {"$inc": {"load": -count}}) for uid, count in taken.items()
    )
