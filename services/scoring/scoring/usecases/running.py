"""Carries a scoring job through: prepare, compute on Ray, store. Each step can be done again after a crash.

What a phase needs of the one before is stored with the job, so a runner that takes over goes on where the dead one
was. Computing again gives the same result; storing goes on after the last chunk that was stored.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

import docstore
from chassis import clock
from chassis.errors import FailedPrecondition, Unavailable
from chassis.lifecycle import Stopping
from docstore import Row, batches
from docstore.blobs import BlobStore
from scoring.settings import ScoringSettings
from scoring.store import ScoringJob
from scoring.store.jobs import (
    BACKFILL,
    CANCELLED,
    COMPUTING,
    FAILED,
    FEATURE_TABLES,
    PREPARING,
    SCORE,
    SEGMENTS,
    STORING,
    SUCCEEDED,
)
from scoring.store.models import (
    CHURN,
    CLUSTERS,
    LEAD_CONVERSION,
    LIFETIME_VALUE,
    NEXT_OFFER,
    RENEWAL,
    RESPONSE,
    SEND_TIME,
    USAGE,
)
from scoring.usecases import (
    churn,
    clusters,
    feature_tables,
    lead_training,
    offering,
    older_results,
    preparing,
    recompute_inputs,
    recomputing,
    renewals,
    response,
    results,
    send_times,
    storing,
    usage,
)
from scoring.usecases.leased_jobs import Cancelled, JobFailed, RunnerStops, end, note
from scoring.usecases.results import SUCCESS

if TYPE_CHECKING:
    from scoring.jobs.progress import Progress

PARKED_FOR = timedelta(days=1)
"""How long a job that was given up may be given new attempts, and goes on with the files it made."""
_POLL_S = 0.2
_COMPUTED_PERCENT = 80
_OF_ANOTHER_VERSION = "Another version of this service began it, and told its program otherwise: start it again."

logger = logging.getLogger(__name__)


class Steps(NamedTuple):
    """How a kind of job is carried through.

    prepare brings a job to its next phase, or a part of the way. program: what computes it, one of `jobs.programs`.
    store returns what came of the job, in words, or nothing where the number of customers with new scores says it.
    """

    prepare: Callable[[ScoringJob, ScoringSettings, BlobStore], None]
    program: str
    store: Callable[[ScoringJob, ScoringSettings, BlobStore, Stopping], str | None]


STEPS = {
    LIFETIME_VALUE: Steps(preparing.prepare, "scoring.jobs.score", storing.store),
    CHURN: Steps(churn.prepare, "scoring.jobs.churn", churn.store),
    LEAD_CONVERSION: Steps(lead_training.prepare, "scoring.jobs.train_leads", lead_training.store),
    NEXT_OFFER: Steps(offering.prepare, "scoring.jobs.train_offers", offering.store),
    SEND_TIME: Steps(send_times.prepare, "scoring.jobs.send_times", send_times.store),
    RENEWAL: Steps(renewals.prepare, "scoring.jobs.renewals", renewals.store),
    RESPONSE: Steps(response.prepare, "scoring.jobs.response", response.store),
    CLUSTERS: Steps(clusters.prepare, "scoring.jobs.clusters", clusters.store),
    USAGE: Steps(usage.prepare, "scoring.jobs.usage", usage.store),
    FEATURE_TABLES: Steps(feature_tables.prepare, "scoring.jobs.features", feature_tables.store),
    SEGMENTS: Steps(recompute_inputs.prepare, "scoring.jobs.segments", recomputing.store),
}
_CANCELLED = {
    FEATURE_TABLES: "Cancelled; what it had written is deleted.",
    SEGMENTS: "Cancelled; the memberships are as they were.",
}


class ProgramDied(Exception):  # noqa: N818 - reads as what is the matter
    """The job program is gone without having told its end; the text says what its log ends with."""


def run_job(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> tuple[()]:
    """Works on a claimed job until it has ended; for `docstore.batches.process`.

    Raises Unavailable when it must be gone on with later: consent does not answer, it gets no further for a while, or
    this process stops.
    """
    try:
        note(job)
        older_results.refuse(job)
        while job.phase == PREPARING:
            STEPS[job.kind].prepare(job, settings, blobs)
            if job.phase == PREPARING and stopping.is_set():
                raise RunnerStops
        if job.phase == COMPUTING and (job.kind, job.task) == (LEAD_CONVERSION, SCORE):
            lead_training.score_open(job, settings, blobs, stopping)
            note(job, phase=STORING)
        elif job.phase == COMPUTING:
            _compute(job, settings, blobs, stopping)
        assert job.phase == STORING
        came = STEPS[job.kind].store(job, settings, blobs, stopping)
    except Cancelled:
        _stop_program(job, settings)
        end(job, CANCELLED, _cancelled(job))
    except JobFailed as error:
        end(job, FAILED, str(error))
    except FailedPrecondition as error:
        end(job, FAILED, error.message)
    except Unavailable as error:
        note(job, message=f"Waits: {error.message}")
        raise
    else:
        if came is None:
            came = f"{job.scored} customers have new scores."
        end(job, SUCCEEDED, came + results.place(blobs, job.result_subject))
    shutil.rmtree(settings.work_dir / job.uid, ignore_errors=True)
    return ()


def _cancelled(job: ScoringJob) -> str:
    if (job.kind, job.task, job.phase) == (LEAD_CONVERSION, SCORE, COMPUTING):
        return "Cancelled; open leads are scored anew all the same, little by little."
    return _CANCELLED.get(job.kind, "Cancelled; the scores are as they were.")


def end_parked() -> int:
    """Ends the jobs of all tenants that were given up a day ago and that nobody gave new attempts; returns how many.

    Then their files go, and they themselves when their time is over, as of others that failed.
    """
    now = clock.real_now()
    parked = {"state": batches.FAILED, "lease.until": {"$lte": now - PARKED_FOR}}
    attempts, reason = {"$toString": "$attempts"}, {"$ifNull": ["$error", ""]}
    ended: Row = {
        "state": batches.DONE,
        "outcome": FAILED,
        "message": {"$concat": ["Given up after ", attempts, " attempts: ", reason, "."]},
        "end_time": "$lease.until",
        "finish_time": now,
        "expire_time": now + ScoringJob.kept_for,
        "version": {"$add": ["$version", 1]},
    }
    change: list[Row] = [{"$set": ended}, {"$unset": ["lease", *ScoringJob.payload_fields]}]
    with docstore.platform_scope():
        return docstore.platform_collection(ScoringJob).update_many(parked, change).modified_count


def remove_files(blobs: BlobStore) -> int:
    """Deletes the files of the current tenant's ended jobs; returns of how many.

    Results of those that succeeded stay, so that scores can be made again: the newest, for a time. Nothing is made
    again of a recompute of segments.
    """
    ended = {"files": True, "outcome": {"$exists": True}}
    jobs = ScoringJob.find(ended, limit=100)
    for job in jobs:
        if job.outcome != SUCCEEDED or job.kind == SEGMENTS:
            _remove_all(job, "files", blobs)
            continue
        for name in blobs.list(job.subject):
            blobs.delete(job.subject, name)
        kept = {"result_until": job.end_time + ScoringJob.result_kept_for}
        ScoringJob.rows().update_one({"uid": job.uid}, {"$unset": {"files": ""}, "$set": kept})
    return len(jobs) + _remove_results(blobs)


def _remove_results(blobs: BlobStore) -> int:
    """Deletes results whose time is over, and the oldest past the most that are kept."""
    kept = ScoringJob.find({"result_until": {"$exists": True}}, sort=[("result_until", -1)], limit=1000)
    now = clock.now()
    places: Counter[bool] = Counter()
    over = []
    for job in kept:
        # Features as of many instants must not drive scores out that could be made again.
        places[job.kind == FEATURE_TABLES] += 1
        if places[job.kind == FEATURE_TABLES] > ScoringJob.results_most or job.result_until <= now:
            over.append(job)
    for job in over:
        _remove_all(job, "result_until", blobs)
    return len(over)


def _remove_all(job: ScoringJob, told_by: str, blobs: BlobStore) -> None:
    """Deletes all files of a job, and unsets the field that tells of them."""
    blobs.delete_subject(job.subject)
    ScoringJob.rows().update_one({"uid": job.uid}, {"$unset": {told_by: ""}})
    # `kept_results` may have put a file anew just before that; what it puts later it deletes itself.
    blobs.delete_subject(job.subject)


def _compute(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> None:
    """Runs the job program, unless its result is there; one that outlived its runner is gone on with."""
    # What the program brings along is wanted by this role only, and only now.
    from scoring.jobs.launch import launch
    from scoring.jobs.programs import PROGRAMS
    from scoring.jobs.progress import State

    if SUCCESS not in blobs.list(job.result_subject):
        name = "scoring.jobs.backfill" if job.task == BACKFILL else STEPS[job.kind].program
        told = {**job.spec, "output": preparing.url(settings, job.result_subject)}
        try:
            spec = PROGRAMS[name].spec.model_validate(told)
        except ValidationError as error:
            # Names of fields only: values may be the tenant's.
            wrong = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
            logger.error("%s cannot be gone on with, its program is told otherwise now: %s", job.name, wrong)
            _stop_program(job, settings)
            raise JobFailed(_OF_ANOTHER_VERSION) from None
        handle = launch(spec, settings.work_dir / job.uid, settings.ray_address, name)
        try:
            while (progress := handle.poll()).state is State.RUNNING:
                _note_progress(job, progress)
                if stopping.wait(_POLL_S):
                    raise RunnerStops
        except (Cancelled, RunnerStops):
            handle.cancel()
            raise
        if progress.state is not State.SUCCEEDED and SUCCESS not in blobs.list(job.result_subject):
            raise _failure(blobs, job, progress.message)
        note(job, computed=progress.rows)
    note(job, phase=STORING, percent=_COMPUTED_PERCENT, message="Stores the result.", expected_end_time=None)


def _stop_program(job: ScoringJob, settings: ScoringSettings) -> None:
    """Stops a program that outlived its runner: files that it wrote after the job's were deleted would stay."""
    if job.phase == COMPUTING:
        from scoring.jobs.launch import stop

        stop(preparing.url(settings, job.result_subject), settings.work_dir / job.uid)


def _note_progress(job: ScoringJob, progress: "Progress") -> None:
    eta = clock.now() + timedelta(seconds=progress.eta_s) if progress.eta_s else None
    share = (_COMPUTED_PERCENT - preparing.PREPARED_PERCENT) * progress.percent / 100
    percent = preparing.PREPARED_PERCENT + int(share)
    where = f" {progress.message}" if progress.message else ""
    message = f"Computes{where}: {progress.step}." if progress.step else "Starts the computation."
    note(job, percent=percent, computed=progress.rows, message=message, expected_end_time=eta)


def _failure(blobs: BlobStore, job: ScoringJob, message: str) -> Exception:
    """What the program said is final; a program that died without a word is started again, a few times."""
    said = json.loads(blobs.get(job.result_subject, "progress.json"))["state"]
    return ProgramDied(message) if said == "RUNNING" else JobFailed(message)
