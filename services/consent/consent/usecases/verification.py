"""The check of the chain: walks places and records, and names the first bad one."""

from dataclasses import dataclass
from datetime import datetime

from chassis import tenancy
from chassis.errors import OutOfRange
from consent.domain import chain
from consent.domain.chain import Checkpoint, Flaw, StoredRecord
from consent.store import ChainHead, ConsentRecord, Seal, checkpoints, records
from consent.store.chain import HEAD_UID, seal_at, seals
from docstore import Row
from docstore.blobs import BlobStore
from eventing import tombstones

RECORDS_DEFAULT = 10_000
RECORDS_MAX = 100_000
_WALK = 1_000


@dataclass(slots=True)
class Found:
    """What a check found; `flaw` None says all is well. next_sequence: 0 when the end was reached."""

    checked: int = 0
    flaw: Flaw | None = None
    next_sequence: int = 0
    unsealed: int = 0
    oldest_unsealed: datetime | None = None
    checkpoint_sequence: int = 0
    checkpoint_public_key: str = ""


def verify(blobs: BlobStore, start: int, limit: int) -> Found:
    """Checks at most `limit` places from `start` on (0: from the first).

    Raises OutOfRange SEQUENCE_OUT_OF_RANGE when the chain and its checkpoint end before `start`.
    """
    found = Found(checkpoint_public_key=checkpoints.signer().public_key_pem)
    # Read first what later reads must at least reach: sealing goes on meanwhile.
    checkpoint = _checkpoint(blobs, found)
    head = ChainHead.rows().find_one({"uid": HEAD_UID}) or {}
    end = int(head.get("sequence", 0))
    start = max(start, 1)
    reach = max(end, checkpoint.sequence if checkpoint else 0)
    if start > reach + 1:
        raise OutOfRange(
            "SEQUENCE_OUT_OF_RANGE",
            f"The chain ends at {reach}; start there or before.",
            metadata={"end": str(reach)},
        )
    last = min(reach, start + limit - 1)
    if found.flaw is None:
        found.flaw = _walk(found, start, last, checkpoint)
    if found.flaw is None and last == reach:
        found.flaw = _end_flaw(head, end)
    found.next_sequence = last + 1 if found.flaw is None and last < reach else 0
    _count_unsealed(found)
    return found


def _checkpoint(blobs: BlobStore, found: Found) -> Checkpoint | None:
    try:
        last = checkpoints.latest(blobs, tenancy.tenant())
    except checkpoints.BadCheckpoint as error:
        found.flaw = Flaw(0, "", f"The last checkpoint cannot be trusted: {error}.")
        return None
    if last is None:
        return None
    checkpoint, signer = last
    found.checkpoint_sequence, found.checkpoint_public_key = checkpoint.sequence, signer.public_key_pem
    return checkpoint


def _walk(found: Found, start: int, last: int, checkpoint: Checkpoint | None) -> Flaw | None:
    previous = chain.genesis(tenancy.tenant())
    if start > 1:
        before = seal_at(start - 1)
        if before is None:
            return Flaw(start - 1, "", "The place is empty: its row was removed or moved.")
        previous = before.hash
    position = start
    while position <= last:
        size = min(_WALK, last - position + 1)
        batch = seals(position, size)
        flaw = chain.earlier(
            chain.first_broken_link(previous, position, batch),
            chain.first_bad_record(batch, _records(position, batch[-1].sequence) if batch else {}),
            _rewritten(batch, checkpoint),
        )
        found.checked += flaw.sequence - position if flaw else len(batch)
        if flaw:
            return flaw
        position += len(batch)
        if len(batch) < size:
            who = "A signed checkpoint covers" if checkpoint and checkpoint.sequence >= position else "The head names"
            return Flaw(
                position, "", f"The chain ends before this place. {who} places up to {last}: rows were cut off."
            )
        previous = batch[-1].hash
    return None


def _rewritten(batch: list[chain.Seal], checkpoint: Checkpoint | None) -> Flaw | None:
    if checkpoint is None:
        return None
    for place in batch:
        if place.sequence == checkpoint.sequence and place.hash != checkpoint.hash:
            return Flaw(
                place.sequence,
                place.record,
                "The hash differs from the signed checkpoint of this place: the chain up to here was written anew.",
            )
    return None


def _end_flaw(head: Row, end: int) -> Flaw | None:
    """What is wrong with the end: places past the head, or a head that is not the last place."""
    if end:
        place = seal_at(end)
        if place is None or place.hash != bytes(head["hash"]):
            return Flaw(end, place.record if place else "", "The head of the chain differs from its last place.")
    beyond = max(
        (
            row["sequence"]
            for row in (
                Seal.rows().find_one({"sequence": {"$gt": end}}, {"sequence": 1}, sort=[("sequence", -1)]),
                ConsentRecord.rows().find_one({"sequence": {"$gt": end}}, {"sequence": 1}, sort=[("sequence", -1)]),
            )
            if row
        ),
        default=0,
    )
    # Sealing may have gone on since the head was read; then the head has moved too.
    now = ChainHead.rows().find_one({"uid": HEAD_UID}) or {}
    if beyond > int(now.get("sequence", 0)):
        place = seal_at(end + 1)
        return Flaw(end + 1, place.record if place else "", "The row claims a place past the end: it was inserted.")
    return None


def _records(first: int, last: int) -> dict[int, StoredRecord]:
    rows = list(ConsentRecord.rows().find({"sequence": {"$gte": first, "$lte": last}}))
    # Only those without their content have to be on the list of the erased.
    erased = tombstones.erased({row["customer"] for row in rows if not row.get("salt")})
    return {row["sequence"]: _stored(row, erased) for row in rows}


def _stored(row: Row, erased: frozenset[str]) -> StoredRecord:
    salt = row.get("salt")
    return StoredRecord(
        record=row["uid"],
        salt=bytes(salt) if salt else None,
        content=records.content(row),
        erased=row["customer"] in erased,
    )


def _count_unsealed(found: Found) -> None:
    waiting = {"sequence": 0}
    found.unsealed = ConsentRecord.rows().count(waiting, hint="unsealed")
    oldest = ConsentRecord.rows().find_one(waiting, {"create_time": 1}, sort=[("_id", 1)], hint="unsealed")
    found.oldest_unsealed = oldest["create_time"] if oldest else None
