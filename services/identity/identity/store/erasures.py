"""Identifiers of people who were erased, as keyed fingerprints; kept for good."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from mongoengine import BooleanField
from pymongo import UpdateOne

import docstore
from chassis import keys
from docstore.connection import Row
from identity.domain.erasures import Mark, about_erased
from identity.domain.identifiers import Identifier, Kind
from identity.domain.resolution import Evidence, distinct

_USE = "erased-identifier"


class ErasedIdentifier(docstore.Record):
    """One identifier; its uid is the fingerprint, which is useless without the keyring."""

    erase_time: Any = docstore.InstantField(required=True)
    claimed: Any = BooleanField()
    """Whether it is an anonymous id that a named person was tied to."""

    meta: ClassVar[dict[str, Any]] = {"collection": "erased_identifiers"}


def fingerprint(identifier: Identifier) -> str:
    """The same for equal identifiers of all tenants."""
    return keys.keyring().fingerprint(_USE, "\x1f".join(identifier))


def remember(rows: Iterable[Row], when: datetime) -> None:
    """Keep the fingerprints of identifiers, given as rows of `IdentifierRow`, that go at that instant."""
    ErasedIdentifier.rows().bulk_write(
        UpdateOne(
            {"uid": fingerprint(Identifier(Kind(row["kind"]), row["source"], row["value"]))},
            {"$max": {"erase_time": when}, "$set": {"claimed": "claim_time" in row}},
            upsert=True,
        )
        for row in rows
    )


def erased_since(identifier: Identifier, when: datetime) -> bool:
    """Whether somebody known by it was erased at that instant or later."""
    wanted = {"uid": fingerprint(identifier), "erase_time": {"$gte": when}}
    return ErasedIdentifier.rows().find_one(wanted, {"_id": 1}) is not None


def erased(evidence: Sequence[Evidence], receive_time: datetime) -> Collection[int]:
    """Places of the evidence that is about erased people (`domain.erasures`); one query."""
    wanted = {fingerprint(identifier): identifier for identifier in distinct(evidence)}
    found = ErasedIdentifier.rows().find({"uid": {"$in": list(wanted)}})
    marks = {wanted[row["uid"]]: Mark(row["erase_time"], row["claimed"]) for row in found}
    if not marks:
        return frozenset()
    return frozenset(place for place, one in enumerate(evidence) if about_erased(one, receive_time, marks))
