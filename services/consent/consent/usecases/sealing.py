"""The sealer: gives waiting records their places in the chain and signs checkpoints.

Several may run; each tenant's chain is worked on by the one that holds its lease. A sealer that lost the lease cannot
fork the chain: the head is changed only under the lease's token and the sequence that was read, in the transaction
that inserts the places, and no place can be taken twice.
"""

import logging
from datetime import timedelta

from bson import Binary
from pymongo import UpdateOne

import docstore
from chassis import clock, ids, tenancy
from consent.domain import chain
from consent.domain.chain import Checkpoint
from consent.settings import ConsentSettings
from consent.store import ChainHead, ConsentRecord, Seal, checkpoints
from consent.store.chain import HEAD_UID, seal_at, seals
from docstore import Row, leases
from docstore.blobs import BlobStore
from docstore.documents import whole_milliseconds

BATCH = 500
_LEASE_S = 15.0
_WALK = 1_000

logger = logging.getLogger(__name__)


def waiting_tenants(settings: ConsentSettings) -> list[str]:
    """Tenants with records to seal or a checkpoint that is due."""
    signed_before = clock.real_now() - timedelta(seconds=settings.checkpoint_seconds)
    with docstore.platform_scope():
        unsealed = docstore.platform_collection(ConsentRecord).distinct("tenant", {"sequence": 0})
        due = docstore.platform_collection(ChainHead).distinct("tenant", {"unsigned_since": {"$lte": signed_before}})
    return sorted({*unsealed, *due})


def oldest_waiting_age() -> float:
    """Seconds since the oldest record of any tenant that waits was inserted; 0 when none does."""
    oldest = None
    with docstore.platform_scope():
        rows = docstore.platform_collection(ConsentRecord)
        for tenant in rows.distinct("tenant", {"sequence": 0}):
            row = rows.find_one({"sequence": 0, "tenant": tenant}, {"uid": 1}, sort=[("_id", 1)], hint="unsealed")
            if row and (oldest is None or row["uid"] < oldest):
                oldest = row["uid"]
    return (clock.real_now() - ids.time_of(oldest)).total_seconds() if oldest else 0.0


def seal(settings: ConsentSettings, blobs: BlobStore, owner: str) -> int:
    """Seals what waits in the current tenant and signs a checkpoint when one is due; returns how many it sealed.

    Does nothing while somebody else holds the chain's lease.
    """
    _ensure_head()
    leased = leases.claim(ChainHead.rows(), {"uid": HEAD_UID}, _LEASE_S, owner)
    if leased is None:
        return 0
    sealed = 0
    try:
        while count := docstore.in_transaction(lambda: _seal_batch(leased)):
            sealed += count
            if count < BATCH or not leases.renew(ChainHead.rows(), leased, _LEASE_S):
                break
        _sign_if_due(settings, blobs, leased)
    except leases.LeaseLost:
        logger.warning("another sealer took over the chain")
    finally:
        leases.release(ChainHead.rows(), leased)
    return sealed


def _ensure_head() -> None:
    genesis = {"sequence": 0, "hash": Binary(chain.genesis(tenancy.tenant())), "checkpoint_sequence": 0}
    ChainHead.rows().update_one({"uid": HEAD_UID}, {"$setOnInsert": genesis}, upsert=True)


def _seal_batch(leased: Row) -> int:
    waiting = list(
        ConsentRecord.rows().find(
            {"sequence": 0}, {"uid": 1, "commitment": 1}, sort=[("_id", 1)], limit=BATCH, hint="unsealed"
        )
    )
    if not waiting:
        return 0
    head = _head(leased)
    records = [(row["uid"], bytes(row["commitment"])) for row in waiting]
    places = list(chain.extend(bytes(head["hash"]), head["sequence"], records))
    now = whole_milliseconds(clock.real_now())
    Seal.rows().insert_many([_seal_row(place) | {"seal_time": now} for place in places])
    ConsentRecord.rows().bulk_write(
        UpdateOne({"uid": place.record, "sequence": 0}, {"$set": {"sequence": place.sequence}}) for place in places
    )
    last = places[-1]
    update = {"sequence": last.sequence, "hash": Binary(last.hash), "unsigned_since": head.get("unsigned_since") or now}
    leases.change(ChainHead.rows(), leased, {"$set": update}, sequence=head["sequence"])
    return len(places)


def _seal_row(place: chain.Seal) -> Row:
    return {
        "uid": str(place.sequence),
        "sequence": place.sequence,
        "record": place.record,
        "commitment": Binary(place.commitment),
        "hash": Binary(place.hash),
    }


def _head(leased: Row) -> Row:
    head = ChainHead.rows().find_one(leases.held(leased))
    if head is None:
        raise leases.LeaseLost
    return head


def _sign_if_due(settings: ConsentSettings, blobs: BlobStore, leased: Row) -> None:
    head = _head(leased)
    since = head.get("unsigned_since")
    if since is None:
        return
    many = head["sequence"] - head["checkpoint_sequence"] >= settings.checkpoint_records
    long = clock.real_now() - since >= timedelta(seconds=settings.checkpoint_seconds)
    if not (many or long):
        return
    flaw = _flaw_since_last_checkpoint(blobs, head)
    if flaw:
        # Never sign what was tampered with: the last good checkpoint keeps proving it. Look again after a while.
        logger.error("no checkpoint is signed, for the chain is broken", extra={"sequence": flaw.sequence})
        changes: Row = {"$set": {"unsigned_since": clock.real_now(), "checkpoint_sequence": head["sequence"]}}
    else:
        now = clock.real_now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        checkpoints.put(blobs, Checkpoint(tenancy.tenant(), head["sequence"], bytes(head["hash"]), now))
        changes = {"$set": {"checkpoint_sequence": head["sequence"]}, "$unset": {"unsigned_since": ""}}
    ChainHead.rows().update_one({**leases.held(leased), "sequence": head["sequence"]}, changes)


def _flaw_since_last_checkpoint(blobs: BlobStore, head: Row) -> chain.Flaw | None:
    """What is wrong between the last checkpoint, which proves all before it, and the head."""
    try:
        last = checkpoints.latest(blobs, tenancy.tenant())
    except checkpoints.BadCheckpoint:
        return chain.Flaw(head["checkpoint_sequence"], "", "The last checkpoint is not ours.")
    sequence, previous = 0, chain.genesis(tenancy.tenant())
    if last:
        sequence, previous = last[0].sequence, last[0].hash
        place = seal_at(sequence)
        if place is None or place.hash != previous:
            return chain.Flaw(sequence, "", "The place differs from its checkpoint.")
    while sequence < head["sequence"]:
        batch = seals(sequence + 1, min(_WALK, head["sequence"] - sequence))
        flaw = chain.first_broken_link(previous, sequence + 1, batch)
        if flaw or not batch:
            return flaw or chain.Flaw(sequence + 1, "", "The place is empty.")
        sequence, previous = batch[-1].sequence, batch[-1].hash
    return None if previous == bytes(head["hash"]) else chain.Flaw(sequence, "", "The head differs from its place.")
