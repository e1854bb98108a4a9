"""Writes staged purchases, and their lines, into immutable files. What no manifest names does not exist.

Files are written first; then one transaction names them in the manifests and takes their rows off the stage. A crash
before it leaves files nobody reads, which `remove_orphans` deletes later, and the rows staged. One process writes for a
tenant at a time; one that lost its lease cannot commit.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO

from pymongo import UpdateOne

import docstore
from chassis import clock, ids
from docstore import Row, leases
from docstore.blobs import BlobStore
from scoring import parquet
from scoring.domain.buckets import BUCKETS, bucket_of
from scoring.settings import ScoringSettings
from scoring.store import FeatureManifest, ScoringJob, StagedPurchase
from scoring.store.features import (
    ACTIVITY,
    FILE_KINDS,
    ORDER_LINES,
    PURCHASES,
    SUBSCRIPTIONS,
    named_files,
    subject_of,
)
from scoring.store.jobs import ACTIVE

_LEASE_S = 30.0
_SMALL_ROWS = {PURCHASES: 100_000, ORDER_LINES: 100_000, ACTIVITY: 1_000_000, SUBSCRIPTIONS: 100_000}
_SMALL_FILES = 16
"""So many files of a bucket with fewer than `_SMALL_ROWS` rows become one: the manifest must not grow without bound."""

ORPHAN_AGE = timedelta(hours=24)

logger = logging.getLogger(__name__)

_WRITE: dict[str, Callable[[list[Row], Iterable[BinaryIO]], bytes]] = {
    PURCHASES: lambda rows, earlier: parquet.purchases(rows, earlier),
    ORDER_LINES: lambda rows, earlier: parquet.order_lines(rows, earlier),
    ACTIVITY: lambda rows, earlier: parquet.activity(rows, earlier),
    SUBSCRIPTIONS: lambda rows, earlier: parquet.subscriptions(rows, earlier),
}


@dataclass
class Head:
    """The files of one kind, and which revision of the manifest names them."""

    revision: int
    files: list[Row]


def waiting_tenants(settings: ScoringSettings) -> list[str]:
    """Tenants whose staged purchases are due, by number or by age."""
    due = []
    for tenant in _tenants_with_staged():
        with docstore.platform_scope():
            rows = docstore.platform_collection(StagedPurchase)
            staged = {"tenant": tenant, "staged": True}
            oldest = rows.find_one(staged, {"stage_time": 1}, sort=[("stage_time", 1)])
            if oldest is None:
                continue
            old = clock.real_now() - oldest["stage_time"] >= timedelta(seconds=settings.flush_seconds)
            if old or rows.count_documents(staged, limit=settings.flush_rows, hint="staged") >= settings.flush_rows:
                due.append(tenant)
    return due


def oldest_staged_age() -> float:
    """Seconds since the oldest purchase of any tenant that waits for its file was staged; 0 when none does."""
    oldest = None
    for tenant in _tenants_with_staged():
        with docstore.platform_scope():
            rows = docstore.platform_collection(StagedPurchase)
            row = rows.find_one({"tenant": tenant, "staged": True}, {"stage_time": 1}, sort=[("stage_time", 1)])
        if row and (oldest is None or row["stage_time"] < oldest):
            oldest = row["stage_time"]
    return (clock.real_now() - oldest).total_seconds() if oldest else 0.0


def _tenants_with_staged() -> list[str]:
    with docstore.platform_scope():
        return sorted(docstore.platform_collection(StagedPurchase).distinct("tenant", {"staged": True}))


def flush(settings: ScoringSettings, blobs: BlobStore) -> int | None:
    """Writes all staged purchases of the current tenant into files; returns how many.

    None while another process writes for the tenant, or when it took over; nothing is lost then.
    """
    written = 0
    with writing(settings) as leased:
        if leased is None:
            return None
        try:
            while count := _flush_once(settings.flush_rows, blobs, leased):
                written += count
                if count < settings.flush_rows or not goes_on_writing(leased):
                    break
        except leases.LeaseLost:
            logger.warning("another runner took over the files")
            return None
    return written


@contextmanager
def writing(settings: ScoringSettings) -> Iterator[Row | None]:
    """Keeps other processes from writing the current tenant's files; None while another one does."""
    rows = FeatureManifest.rows()
    rows.bulk_write(
        UpdateOne({"uid": kind}, {"$setOnInsert": {"revision": 0, "files": []}}, upsert=True) for kind in FILE_KINDS
    )
    leased = leases.claim(rows, {"uid": PURCHASES}, _LEASE_S, settings.instance)
    try:
        yield leased
    finally:
        if leased is not None:
            leases.release(rows, leased)


def goes_on_writing(leased: Row) -> bool:
    """Prolongs what `writing` gave; False when somebody else writes now."""
    return leases.renew(FeatureManifest.rows(), leased, _LEASE_S)


def prolong(leased: Row) -> None:
    """Prolongs what `writing` gave. Raises LeaseLost when somebody else writes now."""
    if not goes_on_writing(leased):
        raise leases.LeaseLost


def heads(leased: Row) -> dict[str, Head]:
    """The tenant's files by kind. Raises LeaseLost."""
    rows = FeatureManifest.rows()
    if rows.find_one(leases.held(leased), {"_id": 1}) is None:
        raise leases.LeaseLost
    found = rows.find({"uid": {"$in": list(FILE_KINDS)}}, {"uid": 1, "revision": 1, "files": 1})
    return {row["uid"]: Head(row["revision"], list(row["files"])) for row in found}


def switch(leased: Row, changed: Mapping[str, Head]) -> None:
    """Makes these the files that count, in place of those of their revisions; part of a transaction.

    Those of purchases are always among them: their manifest has the lease. Raises LeaseLost.
    """
    for kind, head in changed.items():
        guard = {"uid": kind, "revision": head.revision, **(leases.held(leased) if kind == PURCHASES else {})}
        update = {"$set": {"files": head.files, "revision": head.revision + 1}}
        if FeatureManifest.rows().update_one(guard, update).matched_count != 1:
            raise leases.LeaseLost


def remove_orphans(blobs: BlobStore, older_than: timedelta = ORPHAN_AGE) -> int:
    """Deletes the current tenant's files that the manifest does not name, unless a job may read them; how many."""
    if ScoringJob.rows().find_one(ACTIVE, {"uid": 1}):
        return 0
    named = named_files()
    removed = 0
    for subject in (subject_of(bucket, kind) for kind in FILE_KINDS for bucket in range(BUCKETS)):
        for name in blobs.list(subject):
            # The name tells when it was made: a file that young may be about to be committed.
            old = clock.real_now() - ids.time_of(name.removesuffix(".parquet")) >= older_than
            if old and name not in named:
                removed += blobs.delete(subject, name)
    return removed


def _flush_once(limit: int, blobs: BlobStore, leased: Row) -> int:
    staged = StagedPurchase.rows().find({"staged": True}, sort=[("stage_time", 1)], limit=limit, hint="staged")
    by_bucket: dict[int, list[Row]] = defaultdict(list)
    for row in staged:
        by_bucket[bucket_of(row["customer"])].append(row)
    if not by_bucket:
        return 0
    changed = heads(leased)
    for bucket, rows in sorted(by_bucket.items()):
        for kind, of_kind in ((PURCHASES, rows), (ORDER_LINES, list(_lines(rows)))):
            if of_kind:
                changed[kind].files = with_file_of(kind, bucket, of_kind, changed[kind].files, blobs)
    uids = [row["uid"] for rows in by_bucket.values() for row in rows]
    docstore.in_transaction(lambda: _commit(leased, changed, uids))
    return len(uids)


def _lines(purchases: Iterable[Row]) -> Iterator[Row]:
    """What was bought, one row a line."""
    for row in purchases:
        for line in row.get("lines") or ():
            yield {"customer": row["customer"], "purchase": row["uid"], "event_time": row["event_time"], **line}


def _commit(leased: Row, changed: Mapping[str, Head], uids: list[str]) -> None:
    switch(leased, changed)
    flushed = {"flush_time": clock.real_now()}
    dropped: dict[str, Any] = dict.fromkeys(("staged", "stage_time", *StagedPurchase.VALUES), "")
    StagedPurchase.rows().update_many({"uid": {"$in": uids}}, {"$set": flushed, "$unset": dropped})


def with_file_of(kind: str, bucket: int, rows: list[Row], files: list[Row], blobs: BlobStore) -> list[Row]:
    """The files of a kind with one more, written now; it takes the place of the small ones when they are many."""
    small = [file for file in files if file["bucket"] == bucket and file["rows"] < _SMALL_ROWS[kind]]
    replaced = small if len(small) >= _SMALL_FILES else []
    subject, name = subject_of(bucket, kind), f"{ids.uuid7()}.parquet"
    blobs.put(subject, name, _WRITE[kind](rows, _opened(blobs, subject, replaced)))
    added: Row = {"name": name, "bucket": bucket, "rows": len(rows) + sum(file["rows"] for file in replaced)}
    if kind == PURCHASES:
        added["currencies"] = _totals(rows, replaced)
    if kind == ACTIVITY and all(file.get("without_refunds") for file in replaced):
        added["without_refunds"] = True
    if all("oldest" in file for file in replaced):
        added["oldest"] = min([row["event_time"] for row in rows] + [file["oldest"] for file in replaced])
    gone = {file["name"] for file in replaced}
    return [*(file for file in files if file["name"] not in gone), added]


def _totals(rows: list[Row], replaced: list[Row]) -> dict[str, dict[str, int]]:
    currencies: dict[str, dict[str, int]] = {}
    for code, number, amount in (
        *_totals_of_files(replaced),
        *((r["currency"], int(r["amount_minor"] >= 0), r["amount_minor"]) for r in rows),
    ):
        total = currencies.setdefault(code, {"rows": 0, "amount_minor": 0})
        total["rows"] += number
        total["amount_minor"] += amount
    return currencies


def _opened(blobs: BlobStore, subject: str, files: Iterable[Row]) -> Iterator[BinaryIO]:
    for file in files:
        with blobs.open(subject, file["name"]) as opened:
            yield opened


def _totals_of_files(files: Iterable[Row]) -> list[tuple[str, int, int]]:
    return [
        (code, total["rows"], total["amount_minor"]) for file in files for code, total in file["currencies"].items()
    ]
