"""Carries a scoring job through: prepare, compute on Ray, store. Each step can be done again after a crash.

What a phase needs of the one before is stored with the job, so a runner that takes over goes on where the dead one
was. Computing again gives the same result; storing goes on after the last chunk that was stored.
"""

import tempfile
from datetime import timedelta
from pathlib import Path

from chassis import clock
from chassis.errors import FailedPrecondition, Unavailable
from chassis.lifecycle import Stopping
from docstore.blobs import BlobStore
from scoring.settings import ScoringSettings
from scoring.store import ScoringJob
from scoring.store.jobs import CANCELLED, COMPUTING, FAILED, PREPARING, STORING, SUCCEEDED
from scoring.usecases import preparing, storing
from scoring.usecases.leased_jobs import Cancelled, JobFailed, end, note

SUCCESS = "_SUCCESS"
_POLL_S = 0.5
_COMPUTED_PERCENT = 80


def run_job(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> tuple[()]:
    """Works on a claimed job until it has ended; for `docstore.batches.process`.

    Raises Unavailable when it must be gone on with later: consent does not answer, or this process stops.
    """
    try:
        note(job)
        if job.phase == PREPARING:
            preparing.prepare(job, settings, blobs)
        if job.phase == COMPUTING:
            _compute(job, settings, blobs, stopping)
        assert job.phase == STORING
        storing.store(job, settings, blobs, stopping)
    except Cancelled:
        end(job, CANCELLED, "Cancelled; the scores are as they were.")
    except JobFailed as error:
        end(job, FAILED, str(error))
    except FailedPrecondition as error:
        end(job, FAILED, error.message)
    except Unavailable as error:
        note(job, message=f"Waits: {error.message}")
        raise
    else:
        end(job, SUCCEEDED, f"{job.scored} customers have new scores.")
    return ()


def remove_files(blobs: BlobStore) -> int:
    """Deletes the files of the current tenant's ended jobs; returns of how many."""
    ended = {"files": True, "outcome": {"$exists": True}}
    jobs = ScoringJob.find(ended, limit=100)
    for job in jobs:
        blobs.delete_subject(job.subject)
        ScoringJob.rows().update_one({"uid": job.uid}, {"$unset": {"files": ""}})
    return len(jobs)


def _compute(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> None:
    """Runs the job program, unless an earlier run has its result."""
    # Ray and what it brings along are wanted by this role only, and only now.
    from scoring.jobs.launch import launch

    if SUCCESS not in blobs.list(job.result_subject):
        output = preparing.url(settings, job.result_subject)
        with tempfile.TemporaryDirectory(prefix="rapport-scoring-") as workdir:
            handle = launch({**job.spec, "output": output}, Path(workdir), settings.ray_address)
            try:
                while (progress := handle.poll()).state not in ("SUCCEEDED", "FAILED", "CANCELLED"):
                    eta = clock.real_now() + timedelta(seconds=progress.eta_s) if progress.eta_s else None
                    share = (_COMPUTED_PERCENT - preparing.PREPARED_PERCENT) * progress.percent / 100
                    note(
                        job,
                        percent=preparing.PREPARED_PERCENT + int(share),
                        message=progress.message,
                        expected_end_time=eta,
                    )
                    if stopping.wait(_POLL_S):
                        raise Unavailable("RUNNER_STOPS", "The runner stops; another one goes on.", retry_after_s=1.0)
            except BaseException:
                handle.cancel()
                raise
        if progress.state != "SUCCEEDED" and SUCCESS not in blobs.list(job.result_subject):
            raise JobFailed(progress.message or "The job program failed; its log says why.")
    note(job, phase=STORING, percent=_COMPUTED_PERCENT, message="Stores the scores.", expected_end_time=None)
