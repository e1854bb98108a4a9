"""The chain that proves what was said: commitments, links, checkpoints, and the walk that finds the first bad place.

- commitment = SHA-256(salt || content): salt 32 random bytes, content canonical JSON. Without the salt, which goes
  with an erasure, nobody can guess the content from it.
- hash = SHA-256(previous hash || sequence, 8 bytes big-endian || record id, 36 ASCII characters || commitment); before
  the first stands `genesis(tenant)`, so that rows of one tenant cannot stand in another's chain.
- checkpoint = Ed25519 signature over canonical JSON of tenant, sequence, hash, time. Kept outside the database.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SALT_BYTES = 32


def canonical(content: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8: equal content has equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def commitment(salt: bytes, content: Mapping[str, Any]) -> bytes:
    """Binds to the content without telling it (32 bytes)."""
    return hashlib.sha256(salt + canonical(content)).digest()


def genesis(tenant: str) -> bytes:
    """What stands before the first link of a tenant's chain (32 bytes)."""
    return hashlib.sha256(f"rapport.consent.v1/{tenant}".encode()).digest()


def link(previous: bytes, sequence: int, record: str, commitment: bytes) -> bytes:
    """The hash of a place in the chain (32 bytes)."""
    return hashlib.sha256(previous + sequence.to_bytes(8, "big") + record.encode("ascii") + commitment).digest()


@dataclass(frozen=True, slots=True)
class Seal:
    """A place in the chain, as stored. record: id of the record."""

    sequence: int
    record: str
    commitment: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as stored. salt: None once erased. erased: whether the person is on the list of the erased."""

    record: str
    salt: bytes | None
    content: Mapping[str, Any]
    erased: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The signed state of a chain at one place. time: RFC 3339."""

    tenant: str
    sequence: int
    hash: bytes
    time: str

    def statement(self) -> bytes:
        """The bytes that are signed."""
        return canonical(
            {"tenant": self.tenant, "sequence": self.sequence, "hash": self.hash.hex(), "time": self.time},
        )


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first bad place. record: id of the record there, empty when the chain names none."""

    sequence: int
    record: str
    problem: str


def extend(previous: bytes, last_sequence: int, records: Iterable[tuple[str, bytes]]) -> Iterator[Seal]:
    """The seals of (record id, commitment) pairs, after the place `last_sequence` whose hash is `previous`."""
    for sequence, (record, committed) in enumerate(records, start=last_sequence + 1):
        previous = link(previous, sequence, record, committed)
        yield Seal(sequence, record, committed, previous)


def first_broken_link(previous: bytes, start: int, seals: Iterable[Seal]) -> Flaw | None:
    """The first place where sequence or hash do not follow from the place before. `seals` in order of sequence."""
    expected = start
    for seal in seals:
        if seal.sequence != expected:
            return Flaw(expected, "", "The place is empty: its row was removed or moved.")
        if link(previous, seal.sequence, seal.record, seal.commitment) != seal.hash:
            return Flaw(
                seal.sequence,
                seal.record,
                "The hash does not follow from the place before: this row or an earlier one was changed, "
                "inserted or put in another place.",
            )
        previous, expected = seal.hash, expected + 1
    return None


def first_bad_record(seals: Iterable[Seal], records: Mapping[int, StoredRecord]) -> Flaw | None:
    """The first place whose record is not as it was sealed. `records` by the sequence each claims to have."""
    for seal in seals:
        stored = records.get(seal.sequence)
        if stored is None:
            return Flaw(seal.sequence, seal.record, "The record of this place was removed.")
        if stored.record != seal.record:
            return Flaw(seal.sequence, seal.record, "Another record stands in this place.")
        if stored.salt is None:
            if not stored.erased:
                return Flaw(seal.sequence, seal.record, "The content was removed, but the person was not erased.")
        elif commitment(stored.salt, stored.content) != seal.commitment:
            return Flaw(seal.sequence, seal.record, "The record was changed after it was sealed.")
    return None


def earlier(*flaws: Flaw | None) -> Flaw | None:
    """The flaw with the lowest place, the first given of equal ones."""
    return min((flaw for flaw in flaws if flaw), key=lambda flaw: flaw.sequence, default=None)
