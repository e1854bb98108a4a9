"""Jobs that do one task: features as of instants, and all segments in full; cancelled, killed, two at a time."""

import random
import threading
import uuid
from datetime import UTC, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pyarrow.parquet as pq
import pytest
from rapport.scoring.v1 import model_pb2, scoring_job_pb2

import docstore
from chassis import clock
from docstore import blobs
from scoring.domain.buckets import BUCKETS
from scoring.features.declared import FEATURES
from scoring.store import Profile, ScoringJob, Segment
from scoring.usecases import evaluating, kept_results, leased_jobs, people, recompute_inputs, recomputing, running
from scoring.usecases.erasing import erase
from testkit import eventually

from .conftest import START, Client, customer, plant, score_row

SERVICE = "scoring"
AS_OF = START + timedelta(days=310)
EARLIER = AS_OF - timedelta(days=60)
Job = scoring_job_pb2.ScoringJob

pytestmark = pytest.mark.usefixtures("jobs")


@pytest.fixture(autouse=True)
def later(monkeypatch) -> None:
    """The purchases lie behind us."""
    monkeypatch.setattr(clock, "now", lambda: AS_OF + timedelta(hours=1))


def folder(location: str) -> Path:
    return Path(urlsplit(location).path)


def rows(location: str) -> dict[str, dict]:
    """Customer -> features, of all files."""
    tables = [pq.read_table(path).to_pylist() for path in sorted(folder(location).glob("features-*.parquet"))]
    return {row["customer"]: row for table in tables for row in table}


def test_features_are_kept_and_who_objects_later_or_is_erased_leaves_them(client, settings, store) -> None:
    client.profiling()
    names = [customer() for _ in range(8)]
    for day, name in enumerate(names):
        client.buys(name, 100 + day, 200, amount=1000)
    client.objects(names[0])
    job = client.score(task="TASK_FEATURES", as_of=AS_OF)
    assert (job.task, job.kind) == (Job.TASK_FEATURES, model_pb2.Model.KIND_UNSPECIFIED)
    assert (job.progress_percent, job.refused_count, job.model, job.horizon_weeks) == (100, 1, "", 0)
    assert job.message.startswith(f"7 rows of {len(FEATURES)} features as of one instant. Computed in this process, ")
    table = job.feature_table
    assert (table.row_count, [at.ToDatetime(UTC) for at in table.instants]) == (7, [AS_OF])
    assert 0 < table.compute_duration.ToTimedelta().total_seconds() < 60
    found = rows(table.location)
    assert found.keys() == set(names[1:])
    assert {row["purchases_365d"] for row in found.values()} == {2.0}

    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(names[1], "consents/c", AS_OF))
        assert kept_results.take_out_objecting(settings, store) == 1
        assert rows(table.location).keys() == set(names[2:])
        running.remove_files(store)
        erase([names[2]], settings, store)
        assert rows(table.location).keys() == set(names[3:])
        assert client.GetScoringJob(name=job.name).feature_table.expire_time.ToDatetime(UTC) > AS_OF + timedelta(29)
        ScoringJob.rows().update_one({"uid": job.uid}, {"$set": {"result_until": AS_OF}})
        running.remove_files(store)
    assert not folder(table.location).exists()
    assert not client.GetScoringJob(name=job.name).HasField("feature_table"), "what is deleted is nowhere"


def test_a_killed_backfill_goes_on_from_what_is_finished_beside_no_other_one(client, settings, failpoint) -> None:
    client.profiling()
    for _ in range(4):
        client.buys(customer(), 100, 290)
    wanted = {"task": "TASK_BACKFILL", "instants": [AS_OF, EARLIER]}
    with failpoint("pyarrow.parquet:write_table", call=12) as there:
        created = client.CreateScoringJob(scoring_job=wanted)
        there.wait()
    reason, message, _ = client.refused("CreateScoringJob", scoring_job={"task": "TASK_FEATURES"})
    assert (reason, created.name in message) == ("SCORING_JOB_RUNNING", True)
    finished = _finished(settings, created, client)
    assert 0 < len(finished) < 2 * BUCKETS
    job = client.ended(created.name)
    assert job.state == Job.STATE_SUCCEEDED, job.message
    assert _finished(settings, created, client).items() >= finished.items(), "what was finished is not written again"
    assert [at.ToDatetime(UTC) for at in job.instants] == [EARLIER, AS_OF]
    assert not job.HasField("as_of")
    written = list(folder(job.feature_table.location).glob("features-*.parquet"))
    assert len(written) == 2 * BUCKETS
    assert job.feature_table.row_count == 8
    # What is no purchase is kept for 400 days: as of 60 days ago nobody knows all events of the year before.
    known = {row["days_since_last_event"] for path in written for row in pq.read_table(path).to_pylist()}
    assert len(known) == 2, known
    assert "activity is kept from " in job.message


def test_a_job_is_cancelled_while_its_program_computes_and_makes_room_for_another(client, settings, failpoint) -> None:
    client.profiling()
    client.buys(customer(), 100, 290)
    with failpoint("scoring.jobs.progress:Reporter.done", call=9, action="pause") as there:
        created = client.CreateScoringJob(scoring_job={"task": "TASK_FEATURES", "as_of": AS_OF})
        there.wait()
    assert client.GetScoringJob(name=created.name).state == Job.STATE_RUNNING
    assert _finished(settings, created, client), "it is in the middle"
    client.CancelScoringJob(name=created.name)
    job = client.ended(created.name)
    assert (job.state, job.message) == (Job.STATE_CANCELLED, "Cancelled; what it had written is deleted.")
    eventually(lambda: not _programs(created), 20, "the program is gone")
    with client.context():
        running.remove_files(blobs.store(settings))
    assert not _finished(settings, created, client)
    client.score(task="TASK_FEATURES", as_of=AS_OF)


def _programs(job: Job) -> list[psutil.Process]:
    """Processes that compute a job."""
    commands = psutil.process_iter(["cmdline"])
    return [process for process in commands if any(job.uid in part for part in process.info["cmdline"] or ())]


def _finished(settings, job: Job, client: Client) -> dict[str, int]:
    """Files of features that are there, and when each was written."""
    result = folder(settings.blob_url) / client.tenant / job.name / "result"
    return {path.name: path.stat().st_mtime_ns for path in result.glob("features-*.parquet")}


def test_training_scoring_and_evaluating_are_jobs_of_their_own(client) -> None:
    client.profiling()
    chance = random.Random(7)
    names = [customer() for _ in range(40)]
    for name in names:
        client.buys(name, *sorted(chance.sample(range(180, 308), 4)))
    for task in ("TASK_SCORE", "TASK_EVALUATE"):
        reason, message, _ = client.refused("CreateScoringJob", scoring_job={"task": task})
        assert (reason, "TASK_TRAIN" in message) == ("NO_RELEASED_MODEL", True)
    trained = client.score(task="TASK_TRAIN", as_of=EARLIER)
    (made,) = client.ListModels().models
    assert (trained.model, made.state) == (made.name, model_pb2.Model.STATE_CHAMPION), trained.message
    assert (trained.scored_count, client.scored()) == (0, {})

    scored = client.score(task="TASK_SCORE", as_of=AS_OF, horizon_weeks=26)
    assert (scored.model, scored.scored_count) == (made.name, 40), scored.message
    assert [model.name for model in client.ListModels().models] == [made.name], "nothing is trained"
    found = client.scored()
    assert found.keys() == set(names)
    assert {(each.model, each.scoring_job, each.horizon_weeks) for each in found.values()} == {
        (made.name, scored.name, 26)
    }

    evaluated = client.score(task="TASK_EVALUATE", as_of=AS_OF)
    (outcome,) = client.GetModel(name=made.name).outcomes
    assert (evaluated.model, outcome.weeks, outcome.scoring_job) == (made.name, 8, evaluated.name)
    assert f"{outcome.actual} came ({outcome.customer_count} looked at, 8 weeks)" in evaluated.message
    assert client.GetModel(name=made.name).drifts
    assert {each.scoring_job for each in client.scored().values()} == {scored.name}, "nobody is scored"

    terms = {"task": "TASK_SCORE", "as_of": EARLIER}
    assert client.refused("CreateScoringJob", scoring_job=terms)[0] == "NEWER_RESULTS_STAND"
    client.score(task="TASK_TRAIN", as_of=EARLIER)
    past = client.score(replace_newer=True, **terms)
    assert {(each.scoring_job, each.as_of.ToDatetime(UTC)) for each in client.scored().values()} == {
        (past.name, EARLIER)
    }


def test_segments_are_recomputed_in_full_and_what_differs_is_mended(client, monkeypatch) -> None:
    names = sorted(customer() for _ in range(7))
    plant(client, [score_row(name, purchases=number) for number, name in enumerate(names)])
    client.segment("purchases >= 2", "buyers")
    client.segment("purchases >= 5", "regulars")
    assert len(client.members("buyers")) == 5
    with client.context():
        uids = [name.rpartition("/")[2] for name in names]
        for place, wrong in ((0, ["regulars"]), (2, []), (3, []), (4, []), (6, ["buyers"])):
            Profile.rows().update_one({"uid": uids[place]}, {"$set": {"segments": wrong}})
        Segment.rows().update_one({"uid": "buyers"}, {"$set": {"member_count": 17}})
    monkeypatch.setattr(recomputing, "CHUNK", 2)
    mend, before, after = recomputing._mend, [], []

    def dies_once(customers, *given):
        part = tuple(customers)
        (after if (names[3], names[4]) in before else before).append(part)
        if not after and part == (names[3], names[4]):
            raise RuntimeError
        return mend(customers, *given)

    monkeypatch.setattr(recomputing, "_mend", dies_once)
    job = client.score(task="TASK_SEGMENT")
    found = job.segment_recount
    assert (found.customer_count, found.segment_count) == (7, 2)
    assert (found.difference_count, found.miscounted_segment_count) == (5, 1), job.message
    said = "7 customers were looked at for 2 segments: 5 memberships and 1 counts were wrong, and are mended."
    assert job.message.startswith(f"{said} Computed in this process, ")
    assert (before, after) == (
        [(names[0], names[2]), (names[3], names[4])],
        [(names[3], names[4]), (names[6],)],
    ), "it goes on after the last part"
    assert (client.members("buyers"), client.members("regulars")) == (set(names[2:]), set(names[5:]))
    assert {segment.uid: segment.member_count for segment in client.ListSegments().segments} == {
        "buyers": 5,
        "regulars": 2,
    }
    again = client.score(task="TASK_SEGMENT")
    assert again.message.startswith("7 customers were looked at for 2 segments: all memberships were right. Computed ")


def test_what_is_on_its_way_is_no_difference_and_a_recompute_is_cancelled(client, monkeypatch) -> None:
    name = customer()
    plant(client, [score_row(name)])
    client.segment("purchases >= 2", "buyers")
    fill, blocked, go_on = recompute_inputs._fill, threading.Event(), threading.Event()

    def waits(*given):
        blocked.set()
        assert go_on.wait(20)
        return fill(*given)

    monkeypatch.setattr(recompute_inputs, "_fill", waits)
    created = client.CreateScoringJob(scoring_job={"task": "TASK_SEGMENT"})
    assert blocked.wait(20)
    assert client.refused("CreateScoringJob", scoring_job={"task": "TASK_SEGMENT"})[0] == "SCORING_JOB_RUNNING"
    client.CancelScoringJob(name=created.name)
    go_on.set()
    ended = client.ended(created.name)
    assert (ended.state, ended.message) == (Job.STATE_CANCELLED, "Cancelled; the memberships are as they were.")

    other = customer()
    plant(client, [score_row(other)])
    with client.context():
        Profile.rows().insert_one({"uid": other.rpartition("/")[2], "customer": other, "spread": 1})
    keep = evaluating.keep
    monkeypatch.setattr(recomputing.evaluating, "keep", lambda _: True)
    job = client.score(task="TASK_SEGMENT")
    assert (job.segment_recount.customer_count, job.segment_recount.difference_count) == (2, 0), "its news wait still"
    monkeypatch.setattr(recomputing.evaluating, "keep", keep)
    eventually(lambda: client.evaluated("buyers").member_count == 2, message="both are in")


def test_a_recompute_behind_many_news_gives_its_place_to_others(client, channels, monkeypatch) -> None:
    plant(client, [score_row(customer())])
    keep = evaluating.keep
    monkeypatch.setattr(leased_jobs, "PATIENCE_S", 0.1)
    monkeypatch.setattr(recomputing, "_NEWS_MOST", 1)
    monkeypatch.setattr(recomputing.evaluating, "keep", lambda _: True)
    waiting = client.CreateScoringJob(scoring_job={"task": "TASK_SEGMENT"}).name
    said = "Waits: the segments' news are not taken in yet."
    eventually(lambda: client.GetScoringJob(name=waiting).message == said, 20)
    Client(*channels, f"t{uuid.uuid4().hex[:12]}").score(task="TASK_SEGMENT")
    assert not client.GetScoringJob(name=waiting).HasField("end_time")
    monkeypatch.setattr(recomputing.evaluating, "keep", keep)
    assert client.ended(waiting).state == Job.STATE_SUCCEEDED
    with client.context():
        assert ScoringJob.get(waiting.rpartition("/")[2]).attempts == 1, "waiting is no attempt"
