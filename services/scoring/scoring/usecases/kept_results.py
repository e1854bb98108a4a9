"""Takes people out of the results of jobs, which are kept so that scores can be made again.

Who was erased goes with the erasure, who objects to profiling within a minute. Both hold what `flushing.writing`
gives: two who write a file anew at once would each bring back whom the other took out.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import BinaryIO

from chassis import ids
from docstore import Row, aliases, batches
from docstore.blobs import BlobStore
from docstore.leases import LeaseLost
from scoring import rewritten_parquet
from scoring.domain.buckets import bucket_of
from scoring.settings import ScoringSettings
from scoring.store import Objection, ScoringJob
from scoring.store.jobs import ACTIVE, FEATURE_TABLES, PREPARING, SUCCEEDED
from scoring.store.objections import profiles
from scoring.usecases import flushing

_OBJECTIONS_AT_ONCE = 1_000
_PARKED_AT_ONCE = 100
_CLOCKS_APART = timedelta(seconds=10)
"""The clock of who starts jobs and that of who hears of objections may differ by so much."""

_Change = Callable[[BinaryIO, Collection[str]], bytes | None]
"""Makes a file without some people; None when none of them is in it."""


def take_out_objecting(settings: ScoringSettings, blobs: BlobStore) -> int:
    """Takes whoever has objected since out of the current tenant's results; returns how many objections that were.

    Those wait that a job at work is older than: it may have asked consent before, and has them in its result when it
    has ended. None are taken out while another process writes the tenant's files.
    """
    fields = {"uid": 1, "customer": 1, "results_mark": 1}
    rows = list(Objection.rows().find({"results_due": True}, fields, limit=_OBJECTIONS_AT_ONCE))
    if rows and (at_work := [ids.time_of(job.uid) for job in ScoringJob.find({**ACTIVE, "files": True})]):
        rows = [row for row in rows if _marked_before(min(at_work), row)]
    if not rows:
        return 0
    canonicals = aliases.resolve([row["customer"] for row in rows])
    names = [name for members in profiles(set(canonicals.values())).values() for name in members]
    with flushing.writing(settings) as leased:
        if leased is None:
            return 0
        try:
            begin_parked_anew(blobs)
            for job in _kept():
                take_out(job, names, leased, blobs)
            flushing.prolong(leased)  # what was put last counts only if nobody else had the files then
        except LeaseLost:
            return 0
        # Who was marked again meanwhile, by a merge or an objection, is looked for again.
        seen = {
            "uid": {"$in": [row["uid"] for row in rows]},
            "results_mark": {"$in": [row.get("results_mark") for row in rows]},
        }
        Objection.rows().update_many(seen, {"$unset": {"results_due": "", "results_mark": ""}})
    return len(rows)


def _marked_before(began: datetime, row: Row) -> bool:
    mark = row.get("results_mark")  # a version before this one gave none
    return mark is not None and ids.time_of(mark) + _CLOCKS_APART < began


def take_out(job: ScoringJob, customers: Collection[str], leased: Row, blobs: BlobStore) -> None:
    """Takes people (resource names) out of the files that a job that has ended wrote. Raises LeaseLost."""
    _write_anew(rewritten_parquet.others, job, customers, leased, blobs)


def empty(job: ScoringJob, customers: Collection[str], leased: Row, blobs: BlobStore) -> None:
    """Empties the rows of people in the files that a job stores from: the rows stay. Raises LeaseLost."""
    _write_anew(rewritten_parquet.nameless, job, customers, leased, blobs)


def _write_anew(change: _Change, job: ScoringJob, customers: Collection[str], leased: Row, blobs: BlobStore) -> None:
    flushing.prolong(leased)
    for subject in (job.subject, job.result_subject):
        # What its killed writers left: it makes no files any more.
        blobs.delete_unfinished(subject)
    for name in _files_of(job, customers, blobs):
        flushing.prolong(leased)
        with blobs.open(job.result_subject, name) as opened:
            content = change(opened, customers)
        if content is not None:
            flushing.prolong(leased)  # another may have written the file anew since it was read
            blobs.put(job.result_subject, name, content)
    if not ScoringJob.find({"uid": job.uid, "$or": [{"files": True}, {"result_until": {"$exists": True}}]}, limit=1):
        blobs.delete_subject(job.subject)  # its time ended meanwhile


def _files_of(job: ScoringJob, customers: Collection[str], blobs: BlobStore) -> list[str]:
    """Names of the files in a job's result that may tell of these customers."""
    endings: tuple[str, ...] = (".parquet",)
    if job.kind == FEATURE_TABLES:
        endings = tuple({f"-{bucket_of(customer):02d}.parquet" for customer in customers})
    return [name for name in blobs.list(job.result_subject) if name.endswith(endings)]


def begin_parked_anew(blobs: BlobStore) -> None:
    """Deletes what jobs made that were given up; should somebody give one new attempts, it begins anew."""
    parked = {"state": batches.FAILED, "files": True, "outcome": None}
    for job in ScoringJob.find(parked, limit=_PARKED_AT_ONCE):
        anew = {"$set": {"phase": PREPARING, "stored": 0, "scored": 0}, "$unset": {"files": "", "spec": ""}}
        if ScoringJob.rows().update_one({"uid": job.uid, **parked}, anew | {"$inc": {"version": 1}}).matched_count:
            blobs.delete_subject(job.subject)


def _kept() -> Sequence[ScoringJob]:
    """Jobs whose results are there: before they are tidied, and after."""
    ended = ScoringJob.find({"files": True, "outcome": SUCCEEDED})
    return [*ended, *ScoringJob.find({"result_until": {"$exists": True}})]
