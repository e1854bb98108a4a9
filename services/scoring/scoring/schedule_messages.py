"""Schedules of jobs as the messages callers see."""

from collections.abc import Iterable

from google.type.timeofday_pb2 import TimeOfDay
from rapport.scoring.v1 import job_schedule_pb2, scoring_job_pb2

from scoring import job_messages
from scoring.store import JobSchedule, ScoringJob

Message = job_schedule_pb2.JobSchedule


def job_schedules(documents: Iterable[JobSchedule]) -> list[Message]:
    """Schedules, with how their last jobs stand: one query for all."""
    found = list(documents)
    names = [document.last_job for document in found if document.last_job]
    rows = ScoringJob.rows().find({"uid": {"$in": names}}, {"uid": 1, "state": 1, "outcome": 1}) if names else ()
    states = {row["uid"]: job_messages.state_of(row["state"], row.get("outcome")) for row in rows}
    return [_job_schedule(document, states.get(document.last_job)) for document in found]


def job_schedule(document: JobSchedule) -> Message:
    """One schedule."""
    return job_schedules([document])[0]


def terms(document: JobSchedule) -> scoring_job_pb2.ScoringJob:
    """The job that a schedule asks for, as a caller would."""
    return scoring_job_pb2.ScoringJob(
        kind=f"KIND_{document.kind}" if document.kind else None,
        task=f"TASK_{document.task}" if document.task else None,
        horizon_weeks=document.horizon_weeks or 0,
        annual_discount_basis_points=document.discount_basis_points,
        usage_events=document.usage_events,
    )


def _job_schedule(document: JobSchedule, state: "scoring_job_pb2.ScoringJob.State | None") -> Message:
    asked = terms(document)
    message = Message(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        kind=asked.kind,
        task=asked.task,
        horizon_weeks=asked.horizon_weeks,
        annual_discount_basis_points=document.discount_basis_points,
        usage_events=document.usage_events,
        paused=document.paused,
        next_run_time=document.due,
        last_due_time=document.last_due_time,
        last_outcome=f"OUTCOME_{document.last_outcome}" if document.last_outcome else None,
        last_message=document.last_message or "",
        last_job=f"scoringJobs/{document.last_job}" if document.last_job else "",
        last_job_state=state,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )
    if document.interval_hours:
        message.interval_hours = document.interval_hours
    else:
        hours, minutes = divmod(document.minutes, 60)
        message.local_timing.time.CopyFrom(TimeOfDay(hours=hours, minutes=minutes))
        message.local_timing.days.extend(day + 1 for day in document.days)
        message.local_timing.time_zone = document.time_zone
    return message
