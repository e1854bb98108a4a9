"""Scoring jobs as callers start, follow and cancel them."""

from collections.abc import Sequence
from datetime import datetime

import docstore
from chassis.errors import AlreadyExists, FailedPrecondition
from docstore import batches
from scoring.store import ScoringJob
from scoring.store.jobs import ACTIVE, CANCELLED, EVALUATE, SCORE, STORING
from scoring.usecases import older_results, released


@docstore.command(ScoringJob)
def create(
    task: str | None,
    kind: str,
    as_of: datetime,
    horizon_weeks: int,
    discount_basis_points: int,
    instants: Sequence[datetime] = (),
    usage_events: Sequence[str] = (),
    replace_newer: bool = False,
) -> ScoringJob:
    """Starts a job; role `run` carries it through. task: see `store.jobs`, None to train and score.

    Raises FailedPrecondition SCORING_JOB_RUNNING while another one of that kind and tenant has not ended,
    NO_RELEASED_MODEL where there is none that it could score with or evaluate, NEWER_RESULTS_STAND where it looks from
    earlier than what it would replace.
    """
    if task in (SCORE, EVALUATE):
        horizon_weeks = released.horizon_weeks(kind) or horizon_weeks
    job = ScoringJob.new(
        task=task,
        kind=kind,
        instants=list(instants),
        usage_events=list(usage_events),
        as_of=as_of,
        horizon_weeks=horizon_weeks,
        discount_basis_points=discount_basis_points,
        replace_newer=replace_newer,
        message="Waits for a runner.",
    )
    older_results.refuse(job)
    try:
        return job.insert()
    except AlreadyExists as error:
        if error.reason != "ALREADY_EXISTS":
            raise
        other = ScoringJob.find({**ACTIVE, "kind": kind}, limit=1)
        name = other[0].name if other else "another scoring job"
        raise FailedPrecondition(
            "SCORING_JOB_RUNNING",
            f"{name} has not ended; wait for it or cancel it.",
            metadata={"resource": name},
            preconditions=[("SCORING_JOB_RUNNING", name, "No scoring job of that kind is waiting or running.")],
        ) from error


@docstore.command(ScoringJob)
def cancel(uid: str) -> ScoringJob:
    """Asks the runner to end a job. Raises NotFound, FailedPrecondition SCORING_JOB_ENDED or SCORING_JOB_STORING."""
    job = ScoringJob.get(uid)
    if job.state in (batches.DONE, batches.FAILED):
        if job.outcome == CANCELLED:
            return job
        raise FailedPrecondition("SCORING_JOB_ENDED", f"{job.name} has ended already.", metadata={"resource": job.name})
    if job.phase == STORING:
        raise FailedPrecondition(
            "SCORING_JOB_STORING",
            f"{job.name} is storing its result, which cannot be undone; it ends in a moment.",
            metadata={"resource": job.name},
        )
    job.cancel_requested = True
    job.message = "Is being cancelled."
    return job.save()
