"""What a runner writes of the job it holds, and what it hears while it does."""

import time
from typing import Any

from chassis import clock, metric_names, telemetry
from chassis.errors import Unavailable
from docstore import Conflict, Row, leases
from scoring.store import ScoringJob
from scoring.store.jobs import FAILED, STORING

PATIENCE_S = 30.0
"""After which a job that gets no further gives its place to others."""


class Cancelled(Exception):  # noqa: N818 - reads as what is the matter
    """The job is to end without a result."""


class JobFailed(Exception):  # noqa: N818 - reads as what is the matter
    """The job cannot succeed; the text says why and how to mend it, for people, without personal data."""


class RunnerStops(Unavailable):
    """This process is asked to stop; another runner goes on with the job."""

    def __init__(self) -> None:
        super().__init__("RUNNER_STOPS", "The runner stops; another one goes on.", retry_after_s=1.0)


class NoProgress(Unavailable):
    """The job waits for something; it is given back, so that other jobs get their turn, and gone on with later."""

    def __init__(self, message: str) -> None:
        super().__init__("JOB_WITHOUT_PROGRESS", message, retry_after_s=1.0)


class Patience:
    """Ends a wait that leads nowhere, so that one job does not hold the runner without end."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """There was progress."""
        self._until = time.monotonic() + PATIENCE_S

    def check(self, what: str) -> None:
        """Raises NoProgress when there was none for too long. what: the job waits for, in a sentence."""
        if time.monotonic() >= self._until:
            raise NoProgress(what)


def note(job: ScoringJob, **values: Any) -> None:
    """Writes progress or the next phase, without a new version; `values` are fields of the job.

    Raises Conflict when somebody else holds the job, Cancelled when it was cancelled and does not store yet.
    """
    held = leases.held(job.leased())
    update = {"$set": values} if values else {"$inc": {"changes": 0}}
    if job.phase != STORING:
        # Never past a cancellation: it may come in between reading and writing.
        held |= {"cancel_requested": {"$ne": True}}
    row = job.rows().find_one_and_update(held, update, projection={"version": 1})
    if row is None:
        look = job.rows().find_one(leases.held(job.leased()), {"version": 1})
        if look is None:
            raise Conflict(job.name)
        job.version = look["version"]
        raise Cancelled
    job.version = row["version"]
    for field, value in values.items():
        setattr(job, field, value)


def prove(job: ScoringJob, update: Row | None = None, **as_it_was: Any) -> None:
    """Makes the transaction fail unless this runner still holds the job, and changes the job's row.

    as_it_was: fields that must not have changed either. Raises Conflict.
    """
    try:
        leases.change(job.rows(), job.leased(), update or {"$inc": {"changes": 1}}, **as_it_was)
    except leases.LeaseLost:
        raise Conflict(job.name) from None


def end(job: ScoringJob, outcome: str, message: str) -> None:
    """Sets how the job ended; docstore writes it when the batch is finished."""
    job.outcome = outcome
    job.message = message
    job.end_time = clock.now()
    if outcome != FAILED:
        job.percent = 100 if job.phase == STORING else job.percent
    telemetry.counter(metric_names.SCORING_JOBS).add(1, {"rapport.scoring.outcome": outcome.lower()})
