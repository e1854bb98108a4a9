"""Segments: who belongs, in words. The membership itself is kept with the scores."""

from collections.abc import Mapping
from typing import Any, ClassVar

import mongoengine as me
from pymongo import UpdateOne

import docstore

SEGMENTS_MAX = 100
"""The most segments of one tenant: each is looked at whenever scores are stored."""


class Segment(docstore.Aggregate):
    """A group of customers by their scores.

    member_count: changed with the memberships in one transaction, without a new version. evaluation_due: True from a
    change of what it asks for until its members are exactly those. A deleted one stays until all have left.
    """

    resource: ClassVar[str] = "segments"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "segments",
        "indexes": [
            ["tenant", "create_time", "id"],
            {
                "fields": ["evaluation_due"],
                "partialFilterExpression": {"evaluation_due": True},
                "platform": True,
            },
        ],
    }

    display_name: Any = me.StringField(required=True)
    expression: Any = me.StringField(required=True)
    member_count: Any = me.LongField(default=0)
    evaluation_due: Any = me.BooleanField()
    evaluations: Any = me.LongField(default=0)
    """Chunks of members moved: counted up so that a move and a change of the segment conflict."""


def count_members(changes: Mapping[str, int]) -> None:
    """Counts members in or out, by uid of the segment; part of the transaction that moves them."""
    Segment.rows().bulk_write(
        UpdateOne({"uid": uid}, {"$inc": {"member_count": change}}) for uid, change in changes.items() if change
    )
