"""Who objected to profiling, as consent tells it. This may only refuse: what allows is a decision of consent."""

from collections.abc import Collection
from typing import Any, ClassVar

import mongoengine as me

from chassis import ids
from docstore import Row
from docstore.aliases import CustomerAlias, resolve
from docstore.documents import InstantField
from docstore.records import Record

MEMBERS_MAX = 1_000
"""The most members of one profile that are looked at."""


class Objection(Record):
    """One customer that objected, or took a consent back; its uid is the customer's."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "profiling_objections",
        "indexes": [
            {
                "fields": ["tenant", "results_due"],
                "partialFilterExpression": {"results_due": True},
                "name": "results_due",
            }
        ],
    }
    customer: Any = me.StringField(required=True)
    consent: Any = me.StringField(required=True)
    decide_time: Any = InstantField()
    results_due: Any = me.BooleanField()
    """True until the results that are kept of jobs are without the customer's profile."""
    results_mark: Any = me.StringField()
    """A new UUIDv7 each time `results_due` is set: only who has seen the last one may unset it."""


def due_in_results() -> Row:
    """Values that have an objection looked for in the results that are kept, again if that goes on already."""
    return {"results_due": True, "results_mark": ids.uuid7()}


def profiles(canonicals: Collection[str]) -> dict[str, list[str]]:
    """All members of the profiles that these customers stand for (resource names), themselves first; one query."""
    members = {name: [name] for name in canonicals}
    rows = CustomerAlias.rows().find(
        {"canonical": {"$in": list(members)}},
        {"_id": 0, "customer": 1, "canonical": 1},
        limit=MEMBERS_MAX * max(1, len(members)),
    )
    for row in rows:
        if row["customer"] != row["canonical"]:
            members[row["canonical"]].append(row["customer"])
    return members


def objecting(canonicals: Collection[str]) -> set[str]:
    """Those of the customers of whose profile any member objected; two queries."""
    members = profiles(canonicals)
    uids = [name.rpartition("/")[2] for group in members.values() for name in group]
    objected = {row["customer"] for row in Objection.rows().find({"uid": {"$in": uids}}, {"customer": 1})}
    return {canonical for canonical, group in members.items() if objected.intersection(group)}


def profile_of(customer: str) -> list[str]:
    """All members of the profile a customer belongs to, the one that stands for it first."""
    canonical = resolve([customer])[customer]
    return profiles([canonical])[canonical]
