"""The chain: one row for each sealed record, and one head for each tenant."""

from collections.abc import Collection
from typing import Any, ClassVar

import mongoengine as me

from consent.domain import chain
from docstore.connection import Row
from docstore.documents import InstantField
from docstore.records import Record

HEAD_UID = "chain"


class Seal(Record):
    """A place in the chain; its uid is the sequence. Holds nothing about a person."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "consent_seals",
        "indexes": [{"fields": ["tenant", "sequence"], "unique": True}],
    }
    sequence: Any = me.IntField(required=True)
    record: Any = me.StringField(required=True)
    commitment: Any = me.BinaryField(required=True)
    hash: Any = me.BinaryField(required=True)
    seal_time: Any = InstantField(required=True)


class ChainHead(Record):
    """The end of a tenant's chain; leased by the sealer that works on it.

    unsigned_since: when the first record after the last checkpoint was sealed (real clock); absent when there is none.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "consent_chains",
        "indexes": [{"fields": ["unsigned_since"], "sparse": True, "platform": True}],
    }
    sequence: Any = me.IntField(required=True)
    hash: Any = me.BinaryField(required=True)
    checkpoint_sequence: Any = me.IntField(required=True)
    unsigned_since: Any = InstantField()
    lease: Any = me.DictField()


def seal_of(row: Row) -> chain.Seal:
    """The stored place as a value."""
    return chain.Seal(row["sequence"], row["record"], bytes(row["commitment"]), bytes(row["hash"]))


def seals(start: int, limit: int) -> list[chain.Seal]:
    """At most `limit` places from `start` on, in order."""
    return [
        seal_of(row) for row in Seal.rows().find({"sequence": {"$gte": start}}, sort=[("sequence", 1)], limit=limit)
    ]


def seal_at(sequence: int) -> chain.Seal | None:
    """One place, None when it is empty."""
    row = Seal.rows().find_one({"sequence": sequence})
    return seal_of(row) if row else None


def seal_hashes(sequences: Collection[int]) -> dict[int, bytes]:
    """The hashes of some places, by sequence; one query."""
    if not sequences:
        return {}
    rows = Seal.rows().find({"sequence": {"$in": list(sequences)}}, {"_id": 0, "sequence": 1, "hash": 1})
    return {row["sequence"]: bytes(row["hash"]) for row in rows}
