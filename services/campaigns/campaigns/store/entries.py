"""Who goes through a journey, and how far they are."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import mongoengine as me
from pymongo import UpdateOne

import docstore
from campaigns.domain.holdout import is_held_out
from campaigns.store.journeys import Journey
from chassis import tenancy
from docstore import Row, aliases, due
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
    held_out: Any = me.BooleanField()
    """True: what the steps send ends where it would be handed over."""
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
        return name_of(self.journey, self.uid)


def name_of(journey: str, entry: str) -> str:
    """The resource name of an entry, by uids."""
    return f"journeys/{journey}/entries/{entry}"


class EntryNotice(docstore.Batch):
    """Carries the event of who entered to the relay; goes when it is out."""

    resource: ClassVar[str] = "entryNotices"
    kept_for: ClassVar[timedelta] = timedelta(0)
    meta: ClassVar[dict[str, Any]] = {"collection": "entry_notices"}


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something that happened to a customer (resource name); `key` tells it from everything else."""

    customer: str
    key: str
    snapshot: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entrant:
    """Somebody who just entered: uid of the entry, customer (resource name), and whether they are held out."""

    entry: str
    customer: str
    held_out: bool


def enter(journey: Journey, first_step: str, occasions: Collection[Occasion], now: datetime) -> list[Entrant]:
    """Lets people enter a journey; returns those who did. Who is in by the same occasion already stays as they are.

    Merged customers are one person, who is in the group of the customer that stands for them.
    """
    shared = {
        "journey": journey.uid,
        "revision": journey.revision,
        "state": ACTIVE,
        "step": first_step,
        "due": now,
        "create_time": now,
        "traceparent": current_traceparent(),
    }
    held_out = _held_out(journey, {occasion.customer for occasion in occasions})
    told = list(occasions)
    written = JourneyEntry.rows().bulk_write(
        UpdateOne(
            {"key": str(uuid.uuid5(_NAMESPACE, f"{journey.uid}\n{occasion.customer}\n{occasion.key}"))},
            {
                "$setOnInsert": {
                    **shared,
                    "customer": occasion.customer,
                    "snapshot": dict(occasion.snapshot),
                    **({"held_out": True} if occasion.customer in held_out else {}),
                }
            },
            upsert=True,
        )
        for occasion in told
    )
    new = (written.upserted_ids or {}) if written else {}
    return [
        Entrant(str(key).partition("/")[2], told[place].customer, told[place].customer in held_out)
        for place, key in sorted(new.items())
    ]


def _held_out(journey: Journey, customers: Collection[str]) -> set[str]:
    if not journey.holdout_percent:
        return set()
    tenant = tenancy.tenant()
    return {
        customer
        for customer, canonical in aliases.resolve(customers).items()
        if is_held_out(tenant, journey.uid, canonical, journey.holdout_salt, journey.holdout_percent)
    }


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
