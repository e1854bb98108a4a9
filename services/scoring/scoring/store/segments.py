"""Segments: what is asked. The membership itself is kept with the profiles."""

from collections.abc import Mapping
from typing import Any, ClassVar

import mongoengine as me
from pymongo import UpdateOne

import docstore
from docstore import Conflict

SEGMENTS_MAX = 500
"""The most segments of one tenant: each is looked at when something happens that it asks for."""
REFERENCE_DEPTH_MAX = 10
"""How long a chain of segments may get that ask for one another."""


class Segment(docstore.Aggregate):
    """A group of customers by a condition.

    references: uids of the segments it asks for. member_count: changed with the memberships in one transaction,
    without a new version. evaluation_due: True from a change of what it asks for until its members are exactly those.
    A deleted one stays until all have left.
    """

    resource: ClassVar[str] = "segments"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "segments",
        "indexes": [
            ["tenant", "create_time", "id"],
            {"fields": ["tenant", "references"], "partialFilterExpression": {"references": {"$exists": True}}},
            {
                "fields": ["tenant", "evaluation_due"],
                "partialFilterExpression": {"evaluation_due": True},
                "name": "evaluations",
            },
        ],
    }

    display_name: Any = me.StringField(required=True)
    expression: Any = me.StringField(required=True)
    references: Any = me.ListField(me.StringField())
    member_count: Any = me.LongField(default=0)
    evaluation_due: Any = me.BooleanField()


def count_members(changes: Mapping[str, int], versions: Mapping[str, int] | None = None) -> None:
    """Counts members in or out, by uid of the segment; part of the transaction that moves them.

    versions: what the segments were when the moves were decided; who leaves one that was no more then is not counted.
    Raises Conflict when one has changed since.
    """
    moved = {uid: change for uid, change in changes.items() if (change if versions is None else uid in versions)}
    if not moved:
        return
    written = Segment.rows().bulk_write(
        UpdateOne(
            {"uid": uid} if versions is None else {"uid": uid, "version": versions[uid]},
            {"$inc": {"member_count": moved[uid]}},
        )
        for uid in sorted(moved)
    )
    if versions is not None and written is not None and written.matched_count < len(moved):
        raise Conflict(Segment.resource)
