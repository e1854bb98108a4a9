"""Who goes through a journey, and how far they are."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me
from pymongo import UpdateOne

from campaigns.store.journeys import Journey
from docstore import Row, due
from docstore.documents import InstantField
from docstore.records import Record
from docstore.tracing import current_traceparent

ACTIVE, ENDED, SUPERSEDED = "STATE_ACTIVE", "STATE_ENDED", "STATE_SUPERSEDED"
_NAMESPACE = uuid.UUID("0d3f1c5e-6b0e-4c1a-9a6e-6f1f6f0a7b11")


class JourneyEntry(Record):
    """One person's way, from one occasion on; the occasion's key makes repeats of it the same entry.

    due: when `step` is to be done; absent when the way has ended or the journey is paused (`held`).
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "journey_entries",
        "indexes": [
            {"fields": ["tenant", "key"], "unique": True},
            ["tenant", "journey", "id"],
            ["tenant", "customer", "journey"],
            {"fields": ["tenant", "journey", "held"], "partialFilterExpression": {"held": True}},
            due.INDEX,
        ],
    }
    key: Any = me.StringField(required=True)
    journey: Any = me.StringField(required=True)
    """Uid of the journey."""
    revision: Any = me.IntField(required=True)
    customer: Any = me.StringField(required=True)
    """Resource name, as it was at the entry."""
    state: Any = me.StringField(required=True, choices=[ACTIVE, ENDED, SUPERSEDED])
    step: Any = me.StringField()
    due: Any = InstantField()
    held: Any = me.BooleanField()
    snapshot: Any = me.DictField()
    create_time: Any = InstantField(required=True)
    end_time: Any = InstantField()
    traceparent: Any = me.StringField()

    @property
    def name(self) -> str:
        """The resource name."""
        return f"journeys/{self.journey}/entries/{self.uid}"


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something that happened to a customer (resource name); `key` tells it from everything else."""

    customer: str
    key: str
    snapshot: Mapping[str, Any]


def enter(journey: Journey, first_step: str, occasions: Iterable[Occasion], now: datetime) -> None:
    """Lets people enter a journey; who is in by the same occasion already stays where they are."""
    shared = {
        "journey": journey.uid,
        "revision": journey.revision,
        "state": ACTIVE,
        "step": first_step,
        "due": now,
        "create_time": now,
        "traceparent": current_traceparent(),
    }
    JourneyEntry.rows().bulk_write(
        UpdateOne(
            {"key": str(uuid.uuid5(_NAMESPACE, f"{journey.uid}\n{occasion.customer}\n{occasion.key}"))},
            {"$setOnInsert": {**shared, "customer": occasion.customer, "snapshot": dict(occasion.snapshot)}},
            upsert=True,
        )
        for occasion in occasions
    )


def wake(entries: Collection[str], now: datetime) -> None:
    """The messages that entries wait for have come to an end: their ways go on."""
    JourneyEntry.rows().update_many(
        {"uid": {"$in": list(entries)}, "state": ACTIVE, "held": {"$ne": True}},
        {"$set": {"due": now}, "$unset": {"lease": ""}},
    )


def older_ways(entry: Row, members: Collection[str]) -> bool:
    """Whether another member of the same profile is on the same way since before this entry, or was during it."""
    others = JourneyEntry.rows().find(
        {
            "customer": {"$in": list(members)},
            "journey": entry["journey"],
            "$or": [{"state": ACTIVE}, {"end_time": {"$gte": entry["create_time"]}}],
            "create_time": {"$lte": entry["create_time"]},
            "state": {"$ne": SUPERSEDED},
        },
        {"uid": 1, "customer": 1, "create_time": 1},
    )
    mine = (entry["create_time"], entry["uid"])
    return any(row["customer"] != entry["customer"] and (row["create_time"], row["uid"]) < mine for row in others)


def hold(journey: str, now: datetime, *, held: bool) -> None:
    """Stops everybody on a journey where they are, or lets them go on."""
    rows = JourneyEntry.rows()
    if held:
        active = {"journey": journey, "state": ACTIVE, "due": {"$exists": True}}
        rows.update_many(active, {"$set": {"held": True}, "$unset": {"due": "", "lease": ""}})
    else:
        rows.update_many({"journey": journey, "held": True}, {"$set": {"due": now}, "$unset": {"held": ""}})
