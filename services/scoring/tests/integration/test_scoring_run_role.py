"""The role `run` as a process: killed where it hurts, stopped politely, without consent, told to cancel."""

import random
import signal
import threading
import uuid
from collections import Counter
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path

import pytest
from rapport.scoring.v1 import model_pb2, scoring_job_pb2

import docstore
from chassis import clock, ids
from docstore import batches
from docstore.aliases import AliasChange
from localrun.ports import free_port
from scoring import runner as runners
from scoring.domain.buckets import bucket_of
from scoring.jobs.progress import Progress
from scoring.jobs.progress import State as Computing
from scoring.store import (
    CustomerOffers,
    FeatureManifest,
    Profile,
    PurchaseHistory,
    Score,
    ScoringJob,
    SegmentSignal,
    StagedPurchase,
)
from scoring.store.features import PURCHASES, subject_of
from scoring.store.jobs import COMPUTING, PREPARING, STORING
from scoring.usecases import churn, customer_offers, evaluating, people, rescoring, results, running, storing
from testkit import eventually

from . import left_models
from .conftest import START, Client, claimed, customer, plant, purchase, score_row

SERVICE = "scoring"
State = scoring_job_pb2.ScoringJob


@pytest.fixture
def runner(role, settings, tmp_path):
    """Makes a runner process; start it with `.start().wait_ready()`."""

    def make(**changes):
        values = {"role": "run", "probe_port": free_port(), "work_dir": tmp_path / "work", "job_lease_s": 2.0}
        return role(settings.model_copy(update=values | changes))

    return make


def free_leases() -> None:
    """What the dead held is free at once, as it would be when their leases end."""
    with docstore.platform_scope():
        docstore.platform_collection(FeatureManifest).update_many({}, {"$unset": {"lease": ""}})
        docstore.platform_collection(ScoringJob).update_many({}, {"$unset": {"lease": ""}})


def job_row(client, name: str) -> dict:
    with client.context():
        return ScoringJob.rows().find_one({"uid": name.rpartition("/")[2]})


def test_a_runner_killed_while_it_writes_files_loses_and_doubles_nothing(client, runner, store, failpoint) -> None:
    chance = random.Random(4)
    people_, bought = [customer() for _ in range(40)], 0
    process = runner(flush_rows=50, flush_seconds=0.0)
    for round_number in range(3):
        bought += client.stage([purchase(chance.choice(people_), day, amount=100) for day in range(600)])
        if round_number == 2:
            process.start().wait_ready()
            continue
        with failpoint("scoring.usecases.flushing:_commit", call=3) as there:
            process.start()
        there.wait()
        assert process.process.wait(10) == -signal.SIGKILL
        assert 0 < staged(client) < bought, "it is writing"
        free_leases()
    eventually(lambda: staged(client) == 0, 40, "everything is in files")
    assert process.stop() == 0
    known = client.SummarizePurchases()
    assert (known.purchase_count, known.revenues[0].units) == (bought, bought)
    with client.context():
        assert StagedPurchase.rows().count({}) == bought == 1800
        named = [file["name"] for file in FeatureManifest.rows().find_one({})["files"]]
    assert len(named) == len(set(named))


def staged(client) -> int:
    with client.context():
        return StagedPurchase.rows().count({"staged": True})


def test_a_runner_killed_again_and_again_stores_the_same_scores_and_tells_them_once(client, runner, failpoint) -> None:
    client.profiling()
    names = [customer() for _ in range(400)]
    chance = random.Random(9)
    client.stage([purchase(name, chance.randrange(200), chance.randrange(500, 5000)) for name in names for _ in "ab"])
    client.CreateSegment(segment={"display_name": "All", "expression": "purchases >= 1"}, segment_id="some")
    created = client.CreateScoringJob(scoring_job={})
    process = runner()
    for place, call, phase, stored in (
        ("scoring.usecases.preparing:_refused", 1, PREPARING, 0),
        ("scoring.usecases.running:_note_progress", 1, COMPUTING, 0),
        ("scoring.usecases.results:_store_chunk", 2, STORING, 1),
    ):
        with failpoint(place, call=call) as there:
            process.start()
        there.wait()
        assert process.process.wait(10) == -signal.SIGKILL
        row = job_row(client, created.name)
        assert (row["phase"], row["stored"], row["state"]) == (phase, stored, batches.APPLYING)
        free_leases()
    process.start().wait_ready()
    job = client.ended(created.name)
    client.buys(names[0], 250)
    scores = f"{names[0]}/scores"
    eventually(lambda: client.GetCustomerScores(name=scores).purchase_count == 3, 10, "the purchase is in the scores")
    eventually(lambda: client.GetCustomerScores(name=scores).segments == ["segments/some"], message="it stays a member")
    assert process.stop() == 0
    assert (job.state, job.scored_count) == (State.STATE_SUCCEEDED, 400), job.message
    assert job.message.startswith("400 customers have new scores. Computed in this process, ")
    assert client.scored().keys() == set(names)
    summary = client.SummarizeScores()
    assert (summary.customer_count, summary.purchase_count) == (400, 801)
    segment = client.GetSegment(name="segments/some")
    assert (segment.member_count, segment.state) == (400, 2)
    assert Counter(client.moves()) == Counter(("entered", name) for name in names)
    updated = [event for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated"]
    assert Counter(each.customer for event in updated for each in event.scores) == Counter([*names, names[0]])
    # Too few purchases for a model: what was fitted did not pass, and mean rates stand in. Each is there once.
    states = Counter(model.state for model in client.ListModels().models)
    assert states == {model_pb2.Model.STATE_REJECTED: 1, model_pb2.Model.STATE_CHAMPION: 1}


def test_a_polite_stop_hands_the_job_on(client, runner) -> None:
    client.profiling()
    client.stage([purchase(customer(), day) for day in range(50)])
    created = client.CreateScoringJob()
    process = runner().start()
    eventually(lambda: job_row(client, created.name)["attempts"] >= 1, 40, "it works on it")
    assert process.stop() == 0
    row = job_row(client, created.name)
    assert row["state"] == batches.DONE or row["lease"]["until"] < clock.real_now() + timedelta(seconds=2)
    runner().start().wait_ready()
    assert client.ended(created.name).state == State.STATE_SUCCEEDED


def test_a_job_waits_for_consent_and_scores_nobody_until_it_answers(client, runner, settings) -> None:
    client.profiling()
    client.stage([purchase(customer(), day) for day in range(5)])
    created = client.CreateScoringJob()
    nowhere = {"consent": f"dns:///127.0.0.1:{free_port()}"}
    process = runner(upstreams=nowhere).start()
    eventually(lambda: "consent service" in client.GetScoringJob(name=created.name).message, 40, "it waits")
    tried = job_row(client, created.name)["lease"]["token"]
    eventually(lambda: job_row(client, created.name)["lease"]["token"] != tried, message="it tries again")
    assert client.scored() == {}
    assert process.stop() == 0
    runner().start().wait_ready()
    assert client.ended(created.name).state == State.STATE_SUCCEEDED
    assert len(client.scored()) == 5


def test_one_job_at_a_time_and_a_cancelled_one_leaves_no_trace(client, runner, monkeypatch) -> None:
    client.profiling()
    client.stage([purchase(customer(), 1)])
    first = client.CreateScoringJob()
    reason, message, _ = client.refused("CreateScoringJob")
    assert reason == "SCORING_JOB_RUNNING"
    assert first.name in message
    cancelled = client.CancelScoringJob(name=first.name)
    assert cancelled.state == State.STATE_PENDING
    process = runner().start().wait_ready()
    ended = client.ended(first.name)
    assert ended.state == State.STATE_CANCELLED
    assert client.CancelScoringJob(name=first.name).state == State.STATE_CANCELLED, "once more is no mistake"
    assert client.scored() == {}
    second = client.CreateScoringJob()
    assert client.ended(second.name).state == State.STATE_SUCCEEDED
    assert client.refused("CancelScoringJob", name=second.name)[0] == "SCORING_JOB_ENDED"
    assert process.stop() == 0


def test_a_job_at_work_tells_how_many_rows_and_percent_are_done_and_when_it_ends(client) -> None:
    created = client.CreateScoringJob()
    assert (created.computed_count, created.progress_percent) == (0, 0)
    job, half = claimed(client), Progress(Computing.RUNNING, "score", 50.0, 700, 90.0, "in this process")
    with client.context():
        running._note_progress(job, half)
    told = client.GetScoringJob(name=created.name)
    assert (told.computed_count, told.progress_percent, told.scored_count) == (700, 45, 0)
    assert told.message == "Computes in this process: score."
    assert 80 < (told.expected_end_time.ToDatetime(UTC) - clock.now()).total_seconds() <= 90


def test_a_job_that_stores_is_not_cancelled(client) -> None:
    created = client.CreateScoringJob()
    with client.context():
        (job,) = ScoringJob.find({})
        ScoringJob.rows().update_one({"uid": job.uid}, {"$set": {"phase": STORING}})
    assert client.refused("CancelScoringJob", name=created.name)[0] == "SCORING_JOB_STORING"
    with client.context():
        job.cancel_requested = True
        with pytest.raises(docstore.Conflict):
            job.save()
        ScoringJob.rows().update_one({"uid": job.uid}, {"$set": {"state": batches.FAILED}})


@pytest.mark.parametrize("what", ["objects", "merges"])
def test_scores_that_are_taken_away_while_they_are_stored_stay_away(
    client, settings, store, monkeypatch, what: str
) -> None:
    """The chunk was decided, then consent's event came: its transaction must not bring the scores back."""
    client.profiling()
    anna, bert = customer(), customer()
    client.stage([purchase(anna, 1), purchase(bert, 1)])
    objecting, looks = results.objecting, []

    def meanwhile(names: list[str]) -> set[str]:
        looks.append(objecting(names))
        if len(looks) == 1:
            thread = threading.Thread(target=_tell, args=(client, what, anna, bert))
            thread.start()
            thread.join()
        return looks[-1]

    monkeypatch.setattr(results, "objecting", meanwhile)
    # One partition, so that both are in one chunk.
    _run_in_process(client, settings.model_copy(update={"job_partitions": 1}), store)
    assert looks == [set(), {anna} if what == "objects" else set()], "the transaction began again"
    assert client.scored().keys() == {bert}


def _tell(client, what: str, anna: str, bert: str) -> None:
    with client.context():
        if what == "objects":
            docstore.in_transaction(lambda: people.object_to_profiling(anna, "consents/c", START))
        else:
            docstore.in_transaction(lambda: people.follow_alias(AliasChange(anna, bert, (1, 0))))


def _run_in_process(client, settings, store) -> None:
    client.CreateScoringJob()
    (job,) = [job for job in batches.claim(ScoringJob, 10, lease_s=60) if job.tenant == client.tenant]
    with client.context():
        batches.finish(job, running.run_job(job, settings, store, threading.Event()))
        assert Score.rows().count({}) <= 2
    assert client.GetScoringJob(name=job.name).state == State.STATE_SUCCEEDED


@pytest.mark.parametrize(
    ("told", "by", "remove"),
    [
        (Score, "job", lambda job, rows: storing.remove_unless_newer(job, None, rows)),
        (Score, "churn.job", churn.remove_unless_newer),
        (CustomerOffers, "job", lambda _, rows: customer_offers.remove([row["customer"] for row in rows])),
    ],
)
def test_a_runner_that_lost_its_job_takes_nothing_of_later_ones_away(client, told, by, remove) -> None:
    name = customer()
    later = {"job": "later", "churn": {"job": "later"}}
    plant(client, [score_row(name, **later)])
    client.CreateScoringJob()
    job = claimed(client)
    with client.context():
        CustomerOffers.rows().insert_many([{"uid": name.rpartition("/")[2], "customer": name, "job": "later"}])
        ScoringJob.rows().update_one({"uid": job.uid}, {"$set": {"lease.token": "of another runner"}})
        with pytest.raises(docstore.Conflict):
            results.remove_earlier(job, threading.Event(), told, by, partial(remove, job))
        assert Score.rows().count({"job": "later", "churn.job": "later"}) == 1
        assert CustomerOffers.rows().count({}) == 1
        ScoringJob.rows().update_one({"uid": job.uid}, {"$set": {"state": batches.FAILED}})


@pytest.fixture
def tenants(client, channels) -> list[Client]:
    """Two, in the order in which role `run` looks after them."""
    return sorted((client, Client(*channels, f"t{uuid.uuid4().hex[:12]}")), key=lambda each: each.tenant)


def test_a_damaged_file_of_one_tenant_keeps_no_other_from_its_scores(tenants, settings, store) -> None:
    damaged, _ = tenants
    name = customer()
    file = {
        "name": f"{ids.uuid7()}.parquet",
        "bucket": bucket_of(name),
        "rows": 1,
        "currencies": {},
        "oldest": clock.now(),
    }
    with damaged.context():
        store.put(subject_of(file["bucket"]), file["name"], b"no file of purchases")
        FeatureManifest.rows().insert_many([{"uid": PURCHASES, "revision": 0, "files": [file]}])
    for each in tenants:
        left_models.leave(each)
        each.buys(name, 1)
    rescoring.rescore_due(settings, store)
    assert [each.scored().keys() for each in tenants] == [set(), {name}]
    with damaged.context():
        PurchaseHistory.rows().delete_many({})


def test_a_tenant_whose_files_cannot_be_written_keeps_no_other_from_being_written(tenants, settings, store) -> None:
    barred, _ = tenants
    for each in tenants:
        each.buys(customer(), 1)
    folder = Path(settings.blob_url.removeprefix("file://")) / barred.tenant
    folder.write_text("where a folder is to be")
    with pytest.raises(OSError):
        runners._flush(settings.model_copy(update={"flush_seconds": 0.0}), store)
    assert [staged(each) for each in tenants] == [1, 0]
    folder.unlink()


def test_a_profile_of_one_tenant_that_cannot_be_read_keeps_no_other_from_its_segments(tenants) -> None:
    name = customer()
    for each in tenants:
        each.segment("purchases >= 1")
        plant(each, [score_row(name)])
    damaged, _ = tenants
    with damaged.context():
        row = {"customer": name, "spread": 1, "series": [{}]}
        Profile.rows().update_one({"uid": name.rpartition("/")[2]}, {"$set": row}, upsert=True)
    evaluating.evaluate_due()
    assert [each.members() for each in tenants] == [set(), {name}]
    with damaged.context():
        SegmentSignal.rows().delete_many({})


def test_a_tenant_without_purchases_is_tidied_too(client, settings, store) -> None:
    client.CreateScoringJob(scoring_job={"kind": "KIND_LEAD_CONVERSION"})
    with client.context():
        (job,) = ScoringJob.find({})
        store.put(job.subject, "leads.parquet", b"customers and facts")
        done = {"state": batches.DONE, "outcome": "FAILED", "end_time": clock.now(), "files": True}
        ScoringJob.rows().update_one({"uid": job.uid}, {"$set": done})
        runners._tidy(settings, store)
        assert store.list(job.subject) == []
        who = customer()
        docstore.in_transaction(lambda: people.object_to_profiling(who, "consents/c", START))
        assert client.tenant in runners._tenants()


def test_a_job_given_up_long_ago_leaves_no_files_and_expires(client, settings, store) -> None:
    names = [client.CreateScoringJob(scoring_job={"kind": kind}).name for kind in ("KIND_CHURN", "KIND_NEXT_OFFER")]
    with client.context():
        for name, days in zip(names, (1.1, 0.9), strict=True):
            store.put(name, "exclude.parquet", b"who is left out")
            parked = {"state": batches.FAILED, "attempts": 5, "error": "ProgramDied", "files": True}
            parked["lease"] = {"until": clock.real_now() - timedelta(days=days), "token": "t"}
            ScoringJob.rows().update_one({"uid": name.rpartition("/")[2]}, {"$set": parked})
    before = client.GetScoringJob(name=names[0])
    runners._tidy(settings, store)
    after = client.GetScoringJob(name=names[0])
    assert (after.state, after.message) == (before.state, "Given up after 5 attempts: ProgramDied.")
    assert (after.message, after.end_time) == (before.message, before.end_time)
    with client.context():
        assert [store.list(name) for name in names] == [[], ["exclude.parquet"]]
        old, young = (ScoringJob.get(name.rpartition("/")[2]) for name in names)
        assert old.expire_time > clock.real_now() + ScoringJob.kept_for - timedelta(minutes=1)
        assert (old.lease, young.state) == (None, batches.FAILED)


def test_a_loop_goes_on_after_any_failure() -> None:
    stopping, calls = threading.Event(), []

    def work() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise ValueError("of one tenant's making")
        stopping.set()

    loop = runners._loop("test", stopping, 0.001, work)
    loop.start()
    loop.join(10)
    assert calls == [0, 1]
