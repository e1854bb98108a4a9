"""Schedules of jobs as callers make them."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.dayofweek_pb2 import DayOfWeek
from rapport.scoring.v1 import job_schedule_pb2, model_pb2, scoring_job_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import InvalidArgument, ResourceExhausted
from docstore import masks
from docstore.tenanted import whole_tenant
from scoring import job_messages, schedule_messages
from scoring.domain.timing import INTERVAL_HOURS_MAX
from scoring.store import JobSchedule
from scoring.store.job_schedules import JOB_SCHEDULES_MAX, next_scorings
from scoring.store.jobs import BACKFILL
from scoring.usecases.segments import hold_references

Message = job_schedule_pb2.JobSchedule
Job = scoring_job_pb2.ScoringJob


@docstore.command(None)
def create(uid: str, message: Message) -> JobSchedule:
    """Creates a schedule. Raises AlreadyExists, InvalidArgument, ResourceExhausted TOO_MANY_JOB_SCHEDULES."""
    hold_references()
    if JobSchedule.rows().count({"purged": None, **whole_tenant()}, limit=JOB_SCHEDULES_MAX) >= JOB_SCHEDULES_MAX:
        raise ResourceExhausted(
            "TOO_MANY_JOB_SCHEDULES",
            f"There are {JOB_SCHEDULES_MAX} schedules of jobs, the most there can be; change or delete one.",
        )
    schedule = JobSchedule.new(uid=uid)
    _assign(schedule, message)
    next_scorings.forget()
    return schedule.insert()


@docstore.command(JobSchedule)
def update(message: Message, mask: FieldMask) -> JobSchedule:
    """Changes what the mask names, under the message's etag if it has one.

    When the next job is due changes only with the timing, and by pausing and resuming. Raises NotFound, Aborted
    ETAG_MISMATCH, InvalidArgument.
    """
    schedule = JobSchedule.get(fields.uid(message.name))
    wanted = schedule_messages.job_schedule(schedule)
    if masks.apply(mask, message, wanted):
        _assign(schedule, wanted)
    next_scorings.forget()
    return schedule.save(message.etag or None)


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Deletes a schedule for good; jobs it started go on. Raises NotFound, Aborted ETAG_MISMATCH."""
    next_scorings.forget()
    JobSchedule.get(uid).purge(etag or None)
    return Empty()


def _assign(schedule: JobSchedule, message: Message) -> None:
    schedule.display_name = fields.display_name(message.display_name, "job_schedule.display_name")
    _assign_job(schedule, message)
    before = schedule.timing if schedule.due else None
    _assign_timing(schedule, message)
    schedule.paused = message.paused
    if schedule.paused:
        schedule.due = None
    elif schedule.timing != before:
        now = docstore.whole_milliseconds(clock.now())
        schedule.due = schedule.timing.next(now, now)


def _assign_job(schedule: JobSchedule, message: Message) -> None:
    schedule.kind = model_pb2.Model.Kind.Name(message.kind).removeprefix("KIND_") if message.kind else None
    schedule.task = Job.Task.Name(message.task).removeprefix("TASK_") if message.task else None
    schedule.horizon_weeks = message.horizon_weeks or None
    given = message.HasField("annual_discount_basis_points")
    schedule.discount_basis_points = message.annual_discount_basis_points if given else None
    schedule.usage_events = list(message.usage_events)
    if schedule.task == BACKFILL:
        raise _refusal("task", "A backfill looks from given instants: start it by itself (POST /v1/scoringJobs).")
    try:
        job_messages.terms(schedule_messages.terms(schedule))
    except InvalidArgument as error:
        ((field, problem),) = error.violations
        raise _refusal(field.removeprefix("scoring_job."), problem) from None


def _assign_timing(schedule: JobSchedule, message: Message) -> None:
    schedule.interval_hours = schedule.minutes = schedule.time_zone = None
    schedule.days = []
    match message.WhichOneof("timing"):
        case "interval_hours":
            if not 1 <= message.interval_hours <= INTERVAL_HOURS_MAX:
                problem = f"1 to {INTERVAL_HOURS_MAX} hours, such as 168 for a week."
                raise _refusal("interval_hours", problem)
            schedule.interval_hours = message.interval_hours
        case "local_timing":
            _assign_local(schedule, message.local_timing)
        case _:
            raise _refusal("interval_hours", "Say how often: give this, or local_timing.")


def _assign_local(schedule: JobSchedule, given: job_schedule_pb2.LocalTiming) -> None:
    time = given.time
    if not (0 <= time.hours <= 23 and 0 <= time.minutes <= 59) or time.seconds or time.nanos:
        raise _refusal("local_timing.time", "Whole minutes from 00:00 to 23:59.")
    schedule.minutes = time.hours * 60 + time.minutes
    days = [day - DayOfWeek.MONDAY for day in given.days]
    if len(set(days)) < len(days) or any(day < 0 for day in days):
        raise _refusal("local_timing.days", "Days from MONDAY to SUNDAY, each once; none for every day.")
    schedule.days = sorted(days)
    schedule.time_zone = fields.time_zone(given.time_zone, "job_schedule.local_timing.time_zone")
    if not schedule.time_zone:
        raise _refusal("local_timing.time_zone", "Name the clock the time is by, such as Europe/Berlin.")


def _refusal(field: str, problem: str) -> InvalidArgument:
    return fields.refusal("INVALID_JOB_SCHEDULE", f"job_schedule.{field}", problem)
