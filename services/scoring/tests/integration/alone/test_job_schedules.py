"""Schedules of jobs: as callers make them, and as role `run` follows them, over real MongoDB and a moved clock."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.scoring.v1 import job_schedule_pb2, model_pb2, scoring_job_pb2

import docstore
from chassis import clock
from docstore import batches, explain
from scoring.store import CustomerOffers, JobSchedule, Lead, ScoringJob
from scoring.store.job_schedules import next_scorings
from scoring.store.jobs import SUCCEEDED
from scoring.usecases import leased_jobs, scheduling

from ..conftest import Client, claimed, customer, plant, score_row

SERVICE = "scoring"
Schedule = job_schedule_pb2.JobSchedule
State = scoring_job_pb2.ScoringJob.State
BERLIN = {"time": {"hours": 2, "minutes": 30}, "time_zone": "Europe/Berlin"}
BEGIN = datetime(2026, 3, 27, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def begin(travel) -> None:
    travel.to(BEGIN)


@pytest.fixture
def weekly(client: Client) -> Schedule:
    return make(client, interval_hours=168)


def make(client: Client, uid: str = "weekly", **fields) -> Schedule:
    return client.CreateJobSchedule(job_schedule={"display_name": "Scores", **fields}, job_schedule_id=uid)


def again(client: Client, uid: str = "weekly") -> Schedule:
    return client.GetJobSchedule(name=f"jobSchedules/{uid}")


def jobs_of(client: Client) -> list[scoring_job_pb2.ScoringJob]:
    return list(client.ListScoringJobs().scoring_jobs)


def finish(client: Client) -> None:
    """Ends the tenant's job, as a runner does."""
    job = claimed(client)
    with client.context():
        leased_jobs.end(job, SUCCEEDED, "Done.")
        batches.finish(job)


def when(stamp) -> datetime:
    return stamp.ToDatetime(UTC)


def free_leases() -> None:
    with docstore.platform_scope():
        docstore.platform_collection(JobSchedule).update_many({}, {"$unset": {"lease": ""}})


def test_a_schedule_is_made_read_changed_and_deleted(client) -> None:
    asked = {
        "display_name": "Leaving",
        "kind": "KIND_CHURN",
        "horizon_weeks": 8,
        "local_timing": BERLIN | {"days": [1]},
    }
    request = str(uuid.uuid4())
    made = client.CreateJobSchedule(job_schedule=asked, job_schedule_id="leaving", request_id=request)
    assert client.CreateJobSchedule(job_schedule=asked, job_schedule_id="leaving", request_id=request) == made
    assert (made.kind, made.horizon_weeks, list(made.local_timing.days)) == (model_pb2.Model.KIND_CHURN, 8, [1])
    assert when(made.next_run_time) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC), "the Monday after the change of clocks"
    assert not made.HasField("last_due_time")

    named = {"name": made.name, "display_name": "Who leaves", "interval_hours": 24}
    renamed = client.UpdateJobSchedule(job_schedule=named, update_mask=FieldMask(paths=["display_name"]))
    assert (renamed.display_name, renamed.next_run_time) == ("Who leaves", made.next_run_time)
    with_hours = client.UpdateJobSchedule(job_schedule=named, update_mask=FieldMask(paths=["interval_hours"]))
    assert with_hours.WhichOneof("timing") == "interval_hours"
    assert abs(when(with_hours.next_run_time) - BEGIN - timedelta(days=1)) < timedelta(seconds=30)
    paused = client.UpdateJobSchedule(job_schedule={"name": made.name, "paused": True, "etag": with_hours.etag})
    assert not paused.HasField("next_run_time")
    stale = {"name": made.name, "display_name": "Other", "etag": with_hours.etag}
    assert client.refused("UpdateJobSchedule", job_schedule=stale)[0] == "ETAG_MISMATCH"
    resumed = client.UpdateJobSchedule(job_schedule={"name": made.name}, update_mask=FieldMask(paths=["paused"]))
    assert resumed.next_run_time.seconds >= with_hours.next_run_time.seconds

    make(client, "second", interval_hours=1)
    page = client.ListJobSchedules(page_size=1)
    assert [each.name for each in page.job_schedules] == [made.name]
    last = client.ListJobSchedules(page_size=1, page_token=page.next_page_token)
    assert ([each.uid for each in last.job_schedules], last.next_page_token) == (["second"], "")
    assert client.refused("DeleteJobSchedule", name=made.name, etag=made.etag)[0] == "ETAG_MISMATCH"
    client.DeleteJobSchedule(name=made.name, etag=resumed.etag)
    assert client.refused("GetJobSchedule", name=made.name)[0] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("wrong", "reason", "field"),
    [
        ({}, "INVALID_JOB_SCHEDULE", "interval_hours"),
        ({"interval_hours": 0}, "INVALID_JOB_SCHEDULE", "interval_hours"),
        ({"interval_hours": 2_161}, "INVALID_JOB_SCHEDULE", "interval_hours"),
        ({"local_timing": BERLIN | {"time_zone": "Europe/Atlantis"}}, "INVALID_TIME_ZONE", "local_timing.time_zone"),
        ({"local_timing": BERLIN | {"time": {"hours": 24}}}, "INVALID_JOB_SCHEDULE", "local_timing.time"),
        ({"local_timing": BERLIN | {"time": {"seconds": 1}}}, "INVALID_JOB_SCHEDULE", "local_timing.time"),
        ({"local_timing": BERLIN | {"days": [1, 1]}}, "INVALID_JOB_SCHEDULE", "local_timing.days"),
        ({"local_timing": BERLIN | {"days": [0]}}, "INVALID_JOB_SCHEDULE", "local_timing.days"),
        ({"interval_hours": 1, "horizon_weeks": 521}, "INVALID_JOB_SCHEDULE", "horizon_weeks"),
        ({"interval_hours": 1, "kind": "KIND_CHURN", "horizon_weeks": 53}, "INVALID_JOB_SCHEDULE", "horizon_weeks"),
        (
            {"interval_hours": 1, "kind": "KIND_NEXT_OFFER", "annual_discount_basis_points": 1},
            "INVALID_JOB_SCHEDULE",
            "annual_discount_basis_points",
        ),
        ({"interval_hours": 1, "task": "TASK_BACKFILL"}, "INVALID_JOB_SCHEDULE", "task"),
        ({"interval_hours": 1, "task": "TASK_SEGMENT", "kind": "KIND_CHURN"}, "INVALID_JOB_SCHEDULE", "kind"),
        ({"interval_hours": 1, "display_name": " "}, "INVALID_DISPLAY_NAME", "display_name"),
    ],
)
def test_what_cannot_be_is_refused_by_field(client, wrong, reason: str, field: str) -> None:
    schedule = {"display_name": "Scores", **wrong}
    found = client.refused("CreateJobSchedule", job_schedule=schedule, job_schedule_id="weekly")
    assert (found[0], found[2]) == (reason, [f"job_schedule.{field}"])


def test_there_are_at_most_fifty(client, weekly) -> None:
    with client.context():
        row = JobSchedule.rows().find_one({})
        JobSchedule.rows().insert_many(
            {**{name: row[name] for name in ("display_name", "interval_hours", "version")}, "uid": f"s{number}"}
            for number in range(49)
        )
    asked = {"display_name": "One more", "interval_hours": 1}
    reason, _, _ = client.refused("CreateJobSchedule", job_schedule=asked, job_schedule_id="more")
    assert reason == "TOO_MANY_JOB_SCHEDULES"
    with client.context():
        JobSchedule.rows().delete_many({"uid": "s0"})
    make(client, "more", interval_hours=1)


def test_a_time_that_is_due_starts_one_job_and_says_so(client, weekly, travel) -> None:
    scheduling.start_due("me")
    assert jobs_of(client) == []
    travel(hours=168, seconds=1)
    scheduling.start_due("me")
    scheduling.start_due("other")
    (job,) = jobs_of(client)
    assert (job.horizon_weeks, job.state) == (52, State.STATE_PENDING)
    assert abs(when(job.as_of) - clock.now()) < timedelta(seconds=30)
    told = again(client)
    assert (told.last_outcome, told.last_job, told.etag) == (Schedule.OUTCOME_STARTED, job.name, weekly.etag)
    assert told.last_job_state == State.STATE_PENDING
    assert told.last_due_time == weekly.next_run_time
    assert when(told.next_run_time) == when(weekly.next_run_time) + timedelta(days=7)
    finish(client)
    assert again(client).last_job_state == State.STATE_SUCCEEDED


def test_a_job_in_the_way_is_told_and_not_waited_for(client, weekly, travel) -> None:
    other = client.CreateScoringJob()
    travel(hours=168, seconds=1)
    scheduling.start_due("me")
    told = again(client)
    assert (told.last_outcome, told.last_job) == (Schedule.OUTCOME_SKIPPED, "")
    assert told.last_message == f"No job was started: {other.name} has not ended; wait for it or cancel it."
    finish(client)
    scheduling.start_due("me")
    assert len(jobs_of(client)) == 1, "the next one is due in a week"
    travel(hours=168)
    scheduling.start_due("me")
    assert again(client).last_outcome == Schedule.OUTCOME_STARTED


def test_what_no_job_can_do_now_is_told_each_time(client, travel) -> None:
    made = make(client, interval_hours=1, task="TASK_SCORE")
    travel(hours=1, seconds=1)
    scheduling.start_due("me")
    told = again(client)
    assert (told.last_outcome, told.last_due_time) == (Schedule.OUTCOME_SKIPPED, made.next_run_time)
    assert told.last_message.startswith("No job was started: No model of KIND_LIFETIME_VALUE is released yet")
    assert when(told.next_run_time) == when(made.next_run_time) + timedelta(hours=1)


def test_after_a_long_outage_it_runs_once_and_keeps_its_step(client, weekly, travel) -> None:
    travel(days=100)
    for _ in range(3):
        scheduling.start_due("me")
        if jobs_of(client)[0].state == State.STATE_PENDING:
            finish(client)
    assert len(jobs_of(client)) == 1
    assert when(again(client).next_run_time) == when(weekly.next_run_time) + timedelta(weeks=14)


def test_a_runner_that_dies_after_the_start_has_started_it_once(client, weekly, travel, monkeypatch) -> None:
    travel(hours=168, seconds=1)

    def die(*_args) -> None:
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(scheduling, "_settle", die)
        with pytest.raises(SystemExit):
            scheduling.start_due("dead")
    (job,) = jobs_of(client)
    assert not again(client).last_job
    finish(client)
    scheduling.start_due("me")
    assert not again(client).last_job, "the dead one's lease has not ended"
    free_leases()
    scheduling.start_due("me")
    assert [each.name for each in jobs_of(client)] == [job.name]
    assert (again(client).last_job, again(client).last_job_state) == (job.name, State.STATE_SUCCEEDED)


def test_who_changes_a_schedule_while_its_job_is_started_decides(client, weekly, travel, monkeypatch) -> None:
    travel(hours=168, seconds=1)
    start = scheduling._start

    def meanwhile(schedule: JobSchedule):
        told = start(schedule)
        client.UpdateJobSchedule(job_schedule={"name": weekly.name, "paused": True})
        return told

    monkeypatch.setattr(scheduling, "_start", meanwhile)
    scheduling.start_due("me")
    told = again(client)
    assert (told.paused, told.HasField("next_run_time"), told.last_job) == (True, False, jobs_of(client)[0].name)


def test_a_local_time_is_followed_over_a_change_of_clocks(client, travel) -> None:
    made = make(client, local_timing=BERLIN)
    seen = []
    for _ in range(3):
        seen.append(when(again(client).next_run_time))
        travel.to(seen[-1] + timedelta(seconds=1))
        scheduling.start_due("me")
        finish(client)
    assert [f"{instant:%d %H:%M}" for instant in seen] == ["28 01:30", "29 01:30", "30 00:30"], made
    assert len(jobs_of(client)) == 3


def test_scores_tell_the_next_scheduled_job(client) -> None:
    name = customer()
    plant(client, [score_row(name, as_of=BEGIN)])

    def next_refresh() -> datetime:
        return when(client.GetCustomerScores(name=f"{name}/scores").next_refresh_time)

    assert next_refresh() == BEGIN + timedelta(days=7), "nothing is scheduled"
    make(client, "tables", interval_hours=1, task="TASK_FEATURES")
    make(client, "leaving", interval_hours=2, kind="KIND_CHURN")
    assert next_refresh() == BEGIN + timedelta(days=7), "these make no such scores"
    daily = make(client, "daily", interval_hours=24)
    make(client, "weekly", interval_hours=168)
    assert next_refresh() == when(daily.next_run_time)
    client.UpdateJobSchedule(job_schedule={"name": daily.name, "paused": True})
    assert next_refresh() == when(again(client).next_run_time)


def test_risks_offers_and_leads_tell_their_age_and_next_refresh(client, travel) -> None:
    name, told = customer(), {"probability": 0.3, "low": 0.2, "high": 0.4, "percentile": 60.0, "reasons": []}
    made = {"job": "j", "model": "m", "as_of": BEGIN, "decision": "decisions/d", "score_time": BEGIN}
    plant(client, [score_row(name, churn={**told, **made, "horizon_weeks": 13})])
    facts = {"facts": {}, "points": 1, "changes": 1, "model_time": BEGIN}
    with client.context():
        offers = {**made, "customer": name, "offers": [], "fallback": True, "horizon_days": 90, "offer_time": BEGIN}
        CustomerOffers.rows().insert_one({**offers, "uid": name.partition("/")[2]})
        scored = {**facts, "score": {**told, "model": "m", "model_time": BEGIN, "score_time": BEGIN}}
        Lead.rows().insert_many([{**scored, "uid": "open", "open": True}, {**scored, "uid": "ended"}])

    def ask() -> list[Any]:
        scores = client.GetCustomerScores(name=f"{name}/scores")
        leads = [client.GetLeadScore(name=f"leads/{uid}/score") for uid in ("open", "ended")]
        return [scores.churn_risk, client.GetCustomerOffers(name=f"{name}/offers"), *leads]

    travel(days=2)
    assert [each.age.seconds // 86_400 for each in ask()] == [2, 2, 2, 2]
    assert [each.HasField("next_refresh_time") for each in ask()] == [True, True, False, False]
    assert {when(each.next_refresh_time) for each in ask()[:2]} == {BEGIN + timedelta(days=7)}
    kinds = ("KIND_CHURN", "KIND_NEXT_OFFER", "KIND_LEAD_CONVERSION")
    due = [make(client, f"s{hours}", kind=kind, interval_hours=hours) for hours, kind in enumerate(kinds, 1)]
    assert [each.next_refresh_time for each in ask()[:3]] == [each.next_run_time for each in due]
    assert not ask()[3].HasField("next_refresh_time"), "it keeps its last score"


def test_its_queries_have_their_indexes(client, weekly) -> None:
    with client.context():
        explain.assert_indexed(JobSchedule, {"due": {"$exists": True}}, [("due", 1)], max_keys=3)
        explain.assert_indexed(JobSchedule, {"delete_time": None}, [("create_time", 1), ("_id", 1)], limit=11)
        assert list(next_scorings.get()) == ["LIFETIME_VALUE"]
        assert ScoringJob.rows().count({}) == 0
