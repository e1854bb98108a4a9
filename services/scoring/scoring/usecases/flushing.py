"""Writes staged purchases into immutable files. The manifest is the commit point: what it does not name does not exist.

A file is written first; then one transaction names it in the manifest and takes its rows off the stage. A crash before
that transaction leaves a file nobody reads, which `remove_orphans` deletes later, and the rows staged. One process
writes for a tenant at a time; one that lost its lease cannot commit.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, BinaryIO

import docstore
from chassis import clock, ids
from docstore import Row, leases
from docstore.blobs import BlobStore
from scoring import parquet
from scoring.domain.buckets import BUCKETS, bucket_of
from scoring.settings import ScoringSettings
from scoring.store import FeatureManifest, ScoringJob, StagedPurchase
from scoring.store.features import PURCHASES, manifest_files, subject_of
from scoring.store.jobs import ACTIVE

_LEASE_S = 30.0
_SMALL_ROWS = 100_000
_SMALL_FILES = 16
"""So many files of a bucket with fewer than `_SMALL_ROWS` rows become one: the manifest must not grow without bound."""

ORPHAN_AGE = timedelta(hours=24)

logger = logging.getLogger(__name__)


class LeaseLost(Exception):  # noqa: N818 - reads as what is the matter
    """Somebody else writes this tenant's files now; nothing was changed."""


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
        except LeaseLost:
            logger.warning("another runner took over the files")
            return None
    return written


@contextmanager
def writing(settings: ScoringSettings) -> Iterator[Row | None]:
    """Keeps other processes from writing the current tenant's files; None while another one does."""
    rows = FeatureManifest.rows()
    rows.update_one({"uid": PURCHASES}, {"$setOnInsert": {"revision": 0, "files": []}}, upsert=True)
    leased = leases.claim(rows, {"uid": PURCHASES}, _LEASE_S, settings.instance)
    try:
        yield leased
    finally:
        if leased is not None:
            leases.release(rows, leased)


def goes_on_writing(leased: Row) -> bool:
    """Prolongs what `writing` gave; False when somebody else writes now."""
    return leases.renew(FeatureManifest.rows(), leased, _LEASE_S)


def switch(leased: Row, revision: int, files: list[Row]) -> None:
    """Makes these the files that count, in place of those of that revision. Raises LeaseLost."""
    guard = {**leases.held(leased), "revision": revision}
    update = {"$set": {"files": files, "revision": revision + 1}}
    if FeatureManifest.rows().update_one(guard, update).matched_count != 1:
        raise LeaseLost


def remove_orphans(blobs: BlobStore, older_than: timedelta = ORPHAN_AGE) -> int:
    """Deletes the current tenant's files that the manifest does not name, unless a job may read them; how many."""
    if ScoringJob.rows().find_one(ACTIVE, {"uid": 1}):
        return 0
    named = {file["name"] for file in manifest_files()}
    removed = 0
    for bucket in range(BUCKETS):
        for name in blobs.list(subject_of(bucket)):
            # The name tells when it was made: a file that young may be about to be committed.
            old = clock.real_now() - ids.time_of(name.removesuffix(".parquet")) >= older_than
            if old and name not in named:
                removed += blobs.delete(subject_of(bucket), name)
    return removed


def _flush_once(limit: int, blobs: BlobStore, leased: Row) -> int:
    staged = StagedPurchase.rows().find({"staged": True}, sort=[("stage_time", 1)], limit=limit, hint="staged")
    by_bucket: dict[int, list[Row]] = defaultdict(list)
    for row in staged:
        by_bucket[bucket_of(row["customer"])].append(row)
    if not by_bucket:
        return 0
    head = FeatureManifest.rows().find_one(leases.held(leased))
    if head is None:
        raise LeaseLost
    files = list(head["files"])
    for bucket, rows in sorted(by_bucket.items()):
        files = _with_file_of(bucket, rows, files, blobs)
    uids = [row["uid"] for rows in by_bucket.values() for row in rows]
    docstore.in_transaction(lambda: _commit(leased, head["revision"], files, uids))
    return len(uids)


def _commit(leased: Row, revision: int, files: list[Row], uids: list[str]) -> None:
    switch(leased, revision, files)
    flushed = {"flush_time": clock.real_now()}
    dropped: dict[str, Any] = dict.fromkeys(("staged", "stage_time", *StagedPurchase.VALUES), "")
    StagedPurchase.rows().update_many({"uid": {"$in": uids}}, {"$set": flushed, "$unset": dropped})


def _with_file_of(bucket: int, rows: list[Row], files: list[Row], blobs: BlobStore) -> list[Row]:
    """The manifest's files with one more, written now; it takes the place of the small ones when they are many."""
    small = [file for file in files if file["bucket"] == bucket and file["rows"] < _SMALL_ROWS]
    replaced = small if len(small) >= _SMALL_FILES else []
    subject, name = subject_of(bucket), f"{ids.uuid7()}.parquet"
    blobs.put(subject, name, parquet.purchases(rows, _opened(blobs, subject, replaced)))
    currencies: dict[str, dict[str, int]] = {}
    for code, number, amount in (*_totals_of_files(replaced), *((r["currency"], 1, r["amount_minor"]) for r in rows)):
        total = currencies.setdefault(code, {"rows": 0, "amount_minor": 0})
        total["rows"] += number
        total["amount_minor"] += amount
    count = len(rows) + sum(file["rows"] for file in replaced)
    gone = {file["name"] for file in replaced}
    kept = [file for file in files if file["name"] not in gone]
    return [*kept, {"name": name, "bucket": bucket, "rows": count, "currencies": currencies}]


def _opened(blobs: BlobStore, subject: str, files: Iterable[Row]) -> Iterator[BinaryIO]:
    for file in files:
        with blobs.open(subject, file["name"]) as opened:
            yield opened


def _totals_of_files(files: Iterable[Row]) -> list[tuple[str, int, int]]:
    return [
        (code, total["rows"], total["amount_minor"]) for file in files for code, total in file["currencies"].items()
    ]
