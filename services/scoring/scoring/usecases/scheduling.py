"""Starts the jobs that schedules ask for, for role `run`: each time that is due once, whoever dies meanwhile."""

import logging
import uuid
from dataclasses import replace

import pymongo.errors
from pymongo import UpdateOne

import docstore
from chassis import clock, context
from chassis.errors import FailedPrecondition, InvalidArgument
from docstore import Row, due, leases
from scoring import job_messages, schedule_messages
from scoring.store import JobSchedule
from scoring.store.job_schedules import SKIPPED, STARTED
from scoring.usecases import jobs

LEASE_S = 30.0
_AT_ONCE = 50
_FAILED_S = 60.0
_REQUESTS = uuid.UUID("5a8c2a0e-6d0f-5e0b-9c39-0b8a4d4b1f57")
"""Namespace of the ids of requests made here (RFC 9562, version 5)."""

logger = logging.getLogger(__name__)


def start_due(owner: str) -> int:
    """Starts the jobs of schedules that are due, of all tenants; returns at how many schedules it looked.

    What fails for one is tried again a minute later; the others go on. Raises pymongo's errors.
    """
    return due.work(JobSchedule, _AT_ONCE, LEASE_S, owner, "startScheduledJobs", _look)


def _look(row: Row) -> None:
    try:
        _settle(row, _start(JobSchedule.from_row(row)))
    except pymongo.errors.PyMongoError:
        raise
    except Exception:
        logger.exception("a scheduled job could not be started")
        due.hand_back(JobSchedule, [row], _FAILED_S)


def _start(schedule: JobSchedule) -> Row:
    """Starts the job of a claimed schedule, or finds the one that a dead process started; returns what to note."""
    # The schedule and the time it was due make the request's id: to start the job again is to find it.
    request = str(uuid.uuid5(_REQUESTS, f"{schedule.id}/{schedule.due.isoformat()}"))
    told: Row = {"last_due_time": schedule.due}
    try:
        with context.use(replace(context.current(), request_id=request, body_hash="")):
            job = jobs.create(*job_messages.terms(schedule_messages.terms(schedule)))
    except (FailedPrecondition, InvalidArgument) as error:
        logger.info("a scheduled job was not started: %s", error.reason)
        return {**told, "last_outcome": SKIPPED, "last_message": f"No job was started: {error.message}"}
    return {**told, "last_outcome": STARTED, "last_message": f"{job.name} was started.", "last_job": job.uid}


def _settle(row: Row, told: Row) -> None:
    """Notes what became of it, and when the next is due, by the timing that was followed; then gives the claim back.

    Whoever changed the schedule meanwhile has planned it, or left it due: then the job is found once more.
    """
    now = docstore.whole_milliseconds(clock.now())
    following = {"due": JobSchedule.from_row(row).timing.next(row["due"], now)}
    held = leases.held(row)
    JobSchedule.rows().bulk_write(
        [
            UpdateOne(held, {"$set": told}),
            UpdateOne({**held, "version": row["version"]}, {"$set": following}),
            UpdateOne(held, {"$unset": {"lease": ""}}),
        ],
        ordered=True,
    )
