"""Brings refunds that lie with other activity, where earlier versions kept them for 400 days, to the purchases.

They pass the stage as if they were told now, by the same uid, so that one that is told again counts once. Files of
activity say when none is left in them.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from pymongo import UpdateOne

import docstore
from chassis import clock, ids
from docstore import Row
from docstore.blobs import BlobStore
from docstore.leases import LeaseLost
from scoring import parquet
from scoring.domain.purchases import ORDER_REFUNDED
from scoring.settings import ScoringSettings
from scoring.store import PurchaseHistory, StagedPurchase
from scoring.store.features import ACTIVITY, PURCHASES, manifest_files, subject_of
from scoring.usecases import flushing
from scoring.usecases.score_rows import uid_of

_FILES_AT_ONCE = 16


def move(settings: ScoringSettings, blobs: BlobStore) -> int:
    """Takes refunds out of some files of the current tenant's activity and stages them; returns of how many files."""
    if not _due():
        return 0
    moved = 0
    with flushing.writing(settings) as leased:
        if leased is None:
            return 0
        for file in _due()[:_FILES_AT_ONCE]:
            try:
                flushing.prolong(leased)
                _move(file, leased, blobs)
            except LeaseLost:
                break
            moved += 1
    return moved


def stage(rows: Iterable[Mapping[str, Any]]) -> None:
    """Stages refunds among the purchases, those that are not known there; part of a transaction.

    What scoring online keeps of these customers is read from files and stage again when it is next asked for.
    """
    now = clock.real_now()
    same = ("customer", "order_id", "event_time", "currency")
    new = {
        StagedPurchase.refund_uid(row["id"]): {
            **{name: row[name] for name in same},
            "amount_minor": -abs(row["amount_minor"]),
            "lines": [],
            "staged": True,
            "stage_time": now,
        }
        for row in rows
    }
    StagedPurchase.rows().bulk_write(
        UpdateOne({"uid": uid}, {"$setOnInsert": values}, upsert=True) for uid, values in new.items()
    )
    customers = {uid_of(values["customer"]) for values in new.values()}
    if customers:
        PurchaseHistory.rows().update_many({"uid": {"$in": sorted(customers)}}, {"$set": {"known": False}})


def _due() -> list[Row]:
    return [file for file in manifest_files(ACTIVITY) if not file.get("without_refunds")]


@dataclass(frozen=True)
class _Apart:
    refunds: list[Row]
    content: bytes
    rows: int


def _move(file: Row, leased: Row, blobs: BlobStore) -> None:
    """Raises LeaseLost."""
    changed = {kind: head for kind, head in flushing.heads(leased).items() if kind in (PURCHASES, ACTIVITY)}
    subject = subject_of(file["bucket"], ACTIVITY)
    with blobs.open(subject, file["name"]) as opened:
        apart = _apart(opened)
    left = {**file, "without_refunds": True}
    if apart.refunds and apart.rows:
        oldest = parquet.oldest(io.BytesIO(apart.content))
        left |= {"name": f"{ids.uuid7()}.parquet", "rows": apart.rows, "oldest": oldest}
        blobs.put(subject, left["name"], apart.content)
    others = [each for each in changed[ACTIVITY].files if each["name"] != file["name"]]
    changed[ACTIVITY].files = [*others, left] if apart.rows else others

    def commit() -> None:
        flushing.switch(leased, changed)
        stage(apart.refunds)

    docstore.in_transaction(commit)


def _apart(file: BinaryIO) -> _Apart:
    """The refunds of a file, and a file of its other events."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    out, refunds, rows = io.BytesIO(), list[Row](), 0
    with pq.ParquetWriter(out, opened.schema_arrow, compression="zstd") as writer:
        for batch in opened.iter_batches():
            named = pc.equal(batch.column("event"), ORDER_REFUNDED)
            there = pc.fill_null(pc.and_(named, pc.not_equal(batch.column("amount_minor"), 0)), fill_value=False)
            refunds += batch.filter(there).to_pylist()
            rest = batch.filter(pc.invert(there))
            if len(rest):
                writer.write_batch(rest)
                rows += len(rest)
    return _Apart(refunds, out.getvalue(), rows)
