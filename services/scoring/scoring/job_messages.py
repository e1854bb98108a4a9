"""Scoring jobs as the messages callers see, and what callers ask for, checked."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from rapport.scoring.v1 import model_pb2, scoring_job_pb2

from chassis import clock
from chassis import inputs as fields
from docstore import batches
from scoring.domain import job_limits, usage_gates
from scoring.store import ScoringJob
from scoring.store.jobs import (
    BACKFILL,
    CANCELLED,
    EVALUATE,
    FAILED,
    FEATURE_TABLES,
    KIND_OF_TASK,
    SCORE,
    SEGMENT,
    SEGMENTS,
    SUCCEEDED,
    replaces_results,
)
from scoring.store.models import (
    CHURN,
    CLUSTERS,
    LEAD_CONVERSION,
    LIFETIME_VALUE,
    MADE_ANEW,
    NEXT_OFFER,
    RENEWAL,
    RESPONSE,
    SEND_TIME,
    USAGE,
)

Message = scoring_job_pb2.ScoringJob
_OUTCOMES = {
    SUCCEEDED: Message.STATE_SUCCEEDED,
    FAILED: Message.STATE_FAILED,
    CANCELLED: Message.STATE_CANCELLED,
}
_STATES = {
    batches.PENDING: Message.STATE_PENDING,
    batches.APPLYING: Message.STATE_RUNNING,
    batches.DONE: Message.STATE_SUCCEEDED,
    batches.FAILED: Message.STATE_FAILED,
}
_KINDS = {
    model_pb2.Model.KIND_UNSPECIFIED: LIFETIME_VALUE,
    model_pb2.Model.KIND_LIFETIME_VALUE: LIFETIME_VALUE,
    model_pb2.Model.KIND_CHURN: CHURN,
    model_pb2.Model.KIND_LEAD_CONVERSION: LEAD_CONVERSION,
    model_pb2.Model.KIND_RESPONSE: RESPONSE,
    model_pb2.Model.KIND_NEXT_OFFER: NEXT_OFFER,
    model_pb2.Model.KIND_SEND_TIME: SEND_TIME,
    model_pb2.Model.KIND_CLUSTERS: CLUSTERS,
    model_pb2.Model.KIND_USAGE: USAGE,
    model_pb2.Model.KIND_RENEWAL: RENEWAL,
}
Problems = Iterable[tuple[str, str | None]]
"""Fields, and what is wrong with each, if anything."""


class Terms(NamedTuple):
    """What a job is to do: arguments of `usecases.jobs.create`."""

    task: str | None
    kind: str
    as_of: datetime
    horizon_weeks: int = job_limits.HORIZON_WEEKS_DEFAULT
    discount_basis_points: int = job_limits.DISCOUNT_BASIS_POINTS_DEFAULT
    instants: tuple[datetime, ...] = ()
    usage_events: tuple[str, ...] = ()
    replace_newer: bool = False


def terms(given: Message) -> Terms:
    """The terms of a job to create, with their defaults. Raises InvalidArgument naming the field."""
    now = clock.now()
    task = Message.Task.Name(given.task).removeprefix("TASK_") if given.task else None
    as_of = given.as_of.ToDatetime(UTC) if given.HasField("as_of") else now
    read, problems = _without_kind(task, given, as_of, now) if task in KIND_OF_TASK else _of_kind(task, given, as_of)
    for field, problem in (("as_of", job_limits.problem_of_instant(as_of, now)), *problems):
        if problem:
            raise fields.refusal("INVALID_SCORING_JOB", f"scoring_job.{field}", problem)
    return read._replace(as_of=min(read.as_of, now))


def _of_kind(task: str | None, given: Message, as_of: datetime) -> tuple[Terms, Problems]:
    kind = _KINDS.get(given.kind, "")
    leads, churn, anew = kind == LEAD_CONVERSION, kind == CHURN, kind in MADE_ANEW
    usual = job_limits.CHURN_HORIZON_WEEKS_DEFAULT if churn else job_limits.HORIZON_WEEKS_DEFAULT
    uses_released = task in (SCORE, EVALUATE)
    longest = job_limits.CHURN_HORIZON_WEEKS_MAX if churn else job_limits.HORIZON_WEEKS_MAX
    horizon = given.horizon_weeks or usual
    discounted = given.HasField("annual_discount_basis_points")
    discount = given.annual_discount_basis_points if discounted else job_limits.DISCOUNT_BASIS_POINTS_DEFAULT
    known = [model_pb2.Model.Kind.Name(each) for each in _KINDS if each]
    kinds = f"{', '.join(known[:-1])} or {known[-1]}: no job makes others."
    problems = (
        ("kind", "" if kind else kinds),
        (
            "kind",
            f"TASK_{task} is not for KIND_{kind}, whose jobs tell by the model each makes: leave the task out."
            if task and anew
            else "",
        ),
        (
            "horizon_weeks",
            f"TASK_{task} looks as far ahead as the released model does: leave it out."
            if given.horizon_weeks and (task == EVALUATE or (uses_released and churn))
            else "",
        ),
        ("annual_discount_basis_points", "Nothing is valued: leave it out." if discounted and task == EVALUATE else ""),
        (
            "as_of",
            "Open leads are scored as they are now: leave it out."
            if task == SCORE and leads and given.HasField("as_of")
            else "",
        ),
        (
            "horizon_weeks",
            "Offers look 90 days ahead: leave it out." if kind == NEXT_OFFER and given.horizon_weeks else "",
        ),
        (
            "horizon_weeks",
            "Habits, clusters, usage and contracts have no horizon: leave it out."
            if anew and given.horizon_weeks
            else "",
        ),
        ("horizon_weeks", "Leads are looked at for 30 days: leave it out." if leads and given.horizon_weeks else ""),
        (
            "horizon_weeks",
            "Responses are those of 14 days: leave it out." if kind == RESPONSE and given.horizon_weeks else "",
        ),
        (
            "annual_discount_basis_points",
            "A probability has no discount: leave it out."
            if (leads or churn or anew or kind in (NEXT_OFFER, RESPONSE)) and discounted
            else "",
        ),
        ("horizon_weeks", job_limits.problem_of_horizon(horizon, longest)),
        ("annual_discount_basis_points", job_limits.problem_of_discount(discount)),
        ("instants", "Only TASK_BACKFILL looks from several: give as_of." if given.instants else ""),
        (
            "usage_events",
            usage_gates.problem_of_events(given.usage_events) if kind == USAGE else _problem_of_no_use(given),
        ),
        ("replace_newer", "" if replaces_results(task, kind) else _problem_of_no_results(given)),
    )
    found = Terms(task, kind, as_of, horizon, discount, (), tuple(given.usage_events), given.replace_newer)
    return found, problems


def _without_kind(task: str, given: Message, as_of: datetime, now: datetime) -> tuple[Terms, Problems]:
    name = f"TASK_{task}"
    instants = tuple(sorted(instant.ToDatetime(UTC) for instant in given.instants))
    timeless = {SEGMENT: "members are those of now", BACKFILL: "instants says when to look from"}.get(task, "")
    problems = (
        ("kind", f"{name} is not about one kind of model: leave it out." if given.kind else ""),
        ("horizon_weeks", f"{name} looks at no time ahead: leave it out." if given.horizon_weeks else ""),
        (
            "annual_discount_basis_points",
            f"{name} values nothing: leave it out." if given.HasField("annual_discount_basis_points") else "",
        ),
        ("as_of", f"Of {name} {timeless}: leave it out." if timeless and given.HasField("as_of") else ""),
        ("instants", job_limits.problem_of_instants(instants, now) if task == BACKFILL else ""),
        ("instants", "Only TASK_BACKFILL looks from several: leave it out." if task != BACKFILL and instants else ""),
        ("usage_events", _problem_of_no_use(given)),
        ("replace_newer", _problem_of_no_results(given)),
    )
    seen = instants[-1] if task == BACKFILL and instants else as_of
    return Terms(task, KIND_OF_TASK[task], seen, instants=instants), problems


def _problem_of_no_use(given: Message) -> str:
    return "Only KIND_USAGE counts events: leave it out." if given.usage_events else ""


def _problem_of_no_results(given: Message) -> str:
    return "It puts no results as of an instant in the place of others: leave it out." if given.replace_newer else ""


def scoring_job(job: ScoringJob) -> Message:
    """A scoring job."""
    message = job.message or ""
    end_time = job.end_time
    if job.state == batches.FAILED:
        message = f"Given up after {job.attempts} attempts: {job.error}."
        end_time = (job.lease or {}).get("until")
    found = Message(
        name=job.name,
        uid=job.uid,
        task=f"TASK_{job.task}" if job.task else None,
        state=state_of(job.state, job.outcome),
        progress_percent=job.percent,
        computed_count=job.computed,
        scored_count=job.scored,
        refused_count=job.refused,
        conversion=_conversion(job),
        expected_end_time=job.expected_end_time,
        message=message,
        create_time=job.create_time,
        update_time=job.update_time,
        end_time=end_time,
        etag=job.etag,
    )
    found.MergeFrom(_of_task(job))
    return found


def _conversion(job: ScoringJob) -> "Message.Conversion | None":
    told = job.conversion
    if not told:
        return None
    return Message.Conversion(
        currency_code=told["currency"], converted_count=told["converted"], left_out_count=told["left_out"]
    )


def state_of(state: str, outcome: str | None) -> "Message.State":
    """How far a job is, by what is stored of it."""
    return _OUTCOMES[outcome] if outcome else _STATES[state]


def _of_task(job: ScoringJob) -> Message:
    """What only some tasks or kinds have."""
    told = job.told or {}
    if job.kind == SEGMENTS:
        return Message(
            segment_recount=Message.SegmentRecount(
                customer_count=told["customers"],
                segment_count=told["segments"],
                difference_count=told["differences"],
                miscounted_segment_count=told["miscounted"],
            )
            if told
            else None
        )
    if job.kind == FEATURE_TABLES:
        several = job.task == BACKFILL
        return Message(
            as_of=None if several else job.as_of,
            instants=job.instants if several else (),
            feature_table=_feature_table(job) if told and (job.files or job.result_until) else None,
        )
    values = job.kind == LIFETIME_VALUE and job.task != EVALUATE
    return Message(
        as_of=job.as_of,
        horizon_weeks=job.horizon_weeks if values or job.kind == CHURN else 0,
        annual_discount_basis_points=job.discount_basis_points if values else None,
        kind=f"KIND_{job.kind}",
        model=job.model if job.outcome == SUCCEEDED else "",
        usage_events=job.usage_events,
        replace_newer=job.replace_newer,
    )


def _feature_table(job: ScoringJob) -> scoring_job_pb2.ScoringJob.FeatureTable:
    return Message.FeatureTable(
        location=job.told["location"],
        instants=job.instants or [job.as_of],
        row_count=job.told["rows"],
        compute_duration=timedelta(seconds=job.told["seconds"]),
        expire_time=job.result_until or job.end_time + ScoringJob.result_kept_for,
    )
