"""A recompute of all segments step by step: what its files hold, what its program finds, and what is mended."""

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from rapport.identity.v1 import events_pb2
from rapport.scoring.v1 import scoring_job_pb2
from rapport.scoring.v1.events_pb2 import SegmentLeft

import docstore
from chassis import clock
from chassis.errors import Unavailable
from docstore import Conflict, batches
from docstore.aliases import AliasChange
from docstore.blobs import BlobStore
from scoring import people_files
from scoring.jobs import segment_tasks
from scoring.jobs.program import SUCCESS
from scoring.store import Profile, ScoringJob, Segment, SegmentChange, SegmentSignal
from scoring.store.jobs import COMPUTING, PREPARING, STORING
from scoring.usecases import people, recompute_inputs, recomputing, running, signals
from scoring.usecases.erasing import erase
from scoring.usecases.leased_jobs import RunnerStops, note

from .carrying_out import carried_out, compute, finish
from .conftest import START, Client, claimed, customer, plant, purchase, score_row

SERVICE = "scoring"
RECOMPUTE = {"task": "TASK_SEGMENT"}


@pytest.fixture(autouse=True)
def later(monkeypatch) -> None:
    """The purchases lie behind us."""
    monkeypatch.setattr(clock, "now", lambda: START + timedelta(days=20))


@pytest.fixture
def few(monkeypatch) -> None:
    """Two customers a file."""
    monkeypatch.setattr(recompute_inputs, "CHUNK", 2)
    monkeypatch.setattr(recompute_inputs, "FILE_ROWS", 2)


@pytest.fixture
def members(client) -> list[str]:
    """Five customers in the order of their names, all in a segment that asks for events."""
    names = sorted(customer() for _ in range(5))
    happen(client, *(purchase(name, 15) for name in names))
    client.segment('count("Order Completed", 30d) >= 1', "buyers")
    client.segment("in_segment(buyers)", "some")
    assert client.members() == set(names)
    return names


def happen(client: Client, *events: events_pb2.TrackedEvent) -> None:
    """Takes events into profiles."""
    with client.context():
        docstore.in_transaction(lambda: signals.note_events(events))
    client.keep()


def overwrite(client: Client, name: str, *segments: str) -> None:
    """Stores memberships behind the product's back."""
    with client.context():
        change = {"$set": {"segments": list(segments)}}
        assert Profile.rows().update_one({"uid": name.rpartition("/")[2]}, change).modified_count == 1


def inputs(store: BlobStore, job: ScoringJob) -> dict[str, dict[str, Any]]:
    """Rows of all files that the job's program reads, by customer."""
    found = {}
    for part in job.spec["parts"]:
        with store.open(job.subject, part["name"]) as file:
            rows = [row for chunk in people_files.chunks(file) for row in chunk]
        assert len(rows) == part["rows"]
        found |= {row["customer"]: row for row in rows}
    return found


def read_anew(job: ScoringJob) -> ScoringJob:
    """The job as another runner finds it."""
    again: ScoringJob = ScoringJob.get(job.uid)
    again.lease = job.lease
    return again


def outputs(settings: Any, job: ScoringJob, tenant: str) -> dict[str, int]:
    """Files that the program wrote, and when each was written."""
    folder = Path(urlsplit(settings.blob_url).path) / tenant / job.result_subject
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("memberships-*.parquet")}


def test_a_wrong_membership_is_mended_and_told_once(client, settings, store, members, few) -> None:
    gone, stays, *_ = members
    overwrite(client, gone)
    moves = client.moves()
    job = carried_out(client, settings, store, **RECOMPUTE)
    assert job.segment_recount.difference_count == 2, job.message
    assert client.members() == set(members)
    assert client.moves() == [*moves, ("entered", gone)]
    with client.context():
        profile = Profile.rows().find_one({"uid": stays.rpartition("/")[2]})
        Profile.rows().update_one({"uid": profile["uid"]}, {"$unset": {"due": ""}})
    assert carried_out(client, settings, store, **RECOMPUTE).segment_recount.difference_count == 0
    with client.context():
        assert Profile.rows().find_one({"uid": profile["uid"]})["due"] == profile["due"], "looked at again in time"
        assert running.remove_files(store) == 2
        assert [job.result_until for job in ScoringJob.find({})] == [None, None], "nothing is kept of a recompute"
    assert client.moves() == [*moves, ("entered", gone)]


def test_a_membership_of_a_segment_that_is_no_more_is_mended(client, settings, store, members) -> None:
    overwrite(client, members[0], "buyers", "forgotten", "some")
    job = carried_out(client, settings, store, **RECOMPUTE)
    assert (job.segment_recount.difference_count, job.segment_recount.miscounted_segment_count) == (1, 0)
    with client.context():
        profile = Profile.rows().find_one({"uid": members[0].rpartition("/")[2]})
    assert profile["segments"] == ["buyers", "some"]


def test_who_changes_meanwhile_is_no_difference_nor_are_members_of_a_segment_that_is_new(
    client, settings, store, members
) -> None:
    changes, wrong, *_ = members
    overwrite(client, changes)
    overwrite(client, wrong, "buyers")
    # Nobody has looked for its members yet.
    new_segment = {"display_name": "New", "expression": 'count("Order Completed", 60d) >= 1'}
    client.CreateSegment(segment=new_segment, segment_id="new")
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    new = customer()
    with client.context():
        compute(job, settings, store)
        assert job.spec["following"] == ["new"]
        assert json.loads(store.get(job.result_subject, SUCCESS))["differing"] == 2
        # An event lets the one in again, and somebody is new.
        happen(client, purchase(changes, 16), purchase(new, 16))
        finish(job, settings, store)
    found = client.GetScoringJob(name=job.name).segment_recount
    assert (found.customer_count, found.segment_count, found.difference_count) == (5, 3, 1)
    client.keep()
    assert client.members("new") == client.members() == {*members, new}


def test_killed_it_goes_on_to_count_members(client, settings, store, members, monkeypatch) -> None:
    recount, begun = recomputing._recount, []

    def dies(asked: Any, after: str) -> Any:
        begun.append(after)
        if len(begun) == 2:
            raise RuntimeError
        return recount(asked, after)

    # A segment at a time.
    monkeypatch.setattr(recomputing, "_COUNT_S", 0.0)
    monkeypatch.setattr(recomputing, "_recount", dies)
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        Segment.rows().update_many({}, {"$set": {"member_count": 9}})
        compute(job, settings, store)
        with pytest.raises(RuntimeError):
            running.run_job(job, settings, store, threading.Event())
        finish(read_anew(job), settings, store)
        assert [row["member_count"] for row in Segment.rows().find()] == [5, 5]
        assert ScoringJob.get(job.uid).told.keys() == {"customers", "segments", "differences", "miscounted", "ended"}
    assert begun == ["", "buyers", "buyers"]
    assert client.GetScoringJob(name=job.name).segment_recount.miscounted_segment_count == 2


def test_a_profile_without_a_row_of_who_stands_for_it_is_found(client, settings, store, members) -> None:
    merged, stands, *_ = members
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(merged, stands, (1, 0))))
        client.keep()
        assert client.members() == {*members} - {merged}
        Profile.rows().delete_many({"uid": stands.rpartition("/")[2]})
    job = carried_out(client, settings, store, **RECOMPUTE)
    assert job.segment_recount.difference_count == 2
    assert client.members() == {*members} - {merged}


def test_a_merged_member_that_is_in_a_segment_leaves_with_news_of_who_stands_for_it(client, members) -> None:
    stands, merged, *_ = members
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(merged, stands, (1, 0))))
        client.keep()
    overwrite(client, merged, "buyers")
    happen(client, purchase(stands, 16))
    assert client.members() == {*members} - {merged}
    with client.context():
        last = SegmentChange.rows().find_one({"customer": merged}, sort=[("_id", -1)])
    assert (last["segment"], last["entered"], last["cause"]) == ("buyers", False, SegmentLeft.CAUSE_MERGED)


def test_what_is_wrong_of_a_merged_member_counts_with_who_stands_for_it(
    client, settings, store, members, monkeypatch
) -> None:
    stands, merged, *_ = members
    monkeypatch.setattr(recomputing, "CHUNK", 1)
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(merged, stands, (1, 0))))
        client.keep()
        # Looked at before the other, it takes that one out, too.
        Profile.rows().update_one({"uid": stands.rpartition("/")[2]}, {"$unset": {"due": ""}})
    overwrite(client, merged, "buyers")
    job = carried_out(client, settings, store, **RECOMPUTE)
    assert job.segment_recount.difference_count == 1, job.message
    assert client.members() == {*members} - {merged}


def test_files_hold_what_segments_ask_for_and_nothing_of_who_objects(client, settings, store, members) -> None:
    objects, merged, stands, *_ = members
    happen(client, purchase(stands, 16, event="Secret"))
    plant(client, [score_row(stands)])
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(objects, "consents/c", START))
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(merged, stands, (1, 0))))
        client.keep()
        client.CreateScoringJob(scoring_job=RECOMPUTE)
        compute(job := claimed(client), settings, store)
        told = inputs(store, job)
    assert told.keys() == set(members)
    assert (told[objects]["person"], told[merged]["person"]) == (None, None)
    assert told[stands]["members"] == [merged]
    assert told[stands]["person"].count(b'["shop","USD",') == 2, "of both members"
    assert b"Secret" not in told[stands]["person"]
    assert b"revenue" not in told[stands]["person"]


def test_killed_it_goes_on_from_the_finished_files(client, settings, store, members, few, monkeypatch) -> None:
    overwrite(client, members[4])
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        recompute_inputs.prepare(job, settings, store)
        written = store.list(job.subject)
        assert (len(written), job.phase, job.told["customers"]) == (1, PREPARING, 2)
        again = read_anew(job)
        judge = segment_tasks._write

        def dies(*given: Any) -> None:
            if given[2].number == 2:
                raise RuntimeError
            judge(*given)

        monkeypatch.setattr(segment_tasks, "_write", dies)
        with pytest.raises(RuntimeError):
            compute(again, settings, store)
        assert set(written) < set(store.list(job.subject))
        assert [part["rows"] for part in again.spec["parts"]] == [2, 2, 1]
        finished = outputs(settings, again, client.tenant)
        assert len(finished) == 2
        monkeypatch.setattr(segment_tasks, "_write", judge)
        compute(again, settings, store)
        now = outputs(settings, again, client.tenant)
        assert (len(now), now.items() >= finished.items()) == (3, True), "what was finished is not written again"
        finish(again, settings, store)
    assert client.GetScoringJob(name=job.name).segment_recount.difference_count == 2


def test_one_that_was_given_up_begins_anew_after_an_erasure(client, settings, store, members, few) -> None:
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        recompute_inputs.prepare(job, settings, store)
        ScoringJob.rows().update_one({"uid": job.uid}, {"$set": {"state": batches.FAILED}})
        erase(members[:1], settings, store)
        assert store.list(job.subject) == []
        batches.retry(ScoringJob, job.uid)
        ScoringJob.rows().update_one({"uid": job.uid}, {"$unset": {"lease": ""}})
        compute(again := claimed(client), settings, store)
        finish(again, settings, store)
    found = client.GetScoringJob(name=job.name).segment_recount
    assert (found.customer_count, found.difference_count) == (4, 0)
    with client.context():
        row = repr(ScoringJob.rows().find_one({"uid": job.uid}))
        assert not [name for name in members if name.rpartition("/")[2] in row], "a job names nobody"


def test_one_that_another_version_began_ends_with_advice(client, settings, store, members) -> None:
    told = {"after": "", "customers": 0, "segments": 0, "differences": 0, "miscounted": 0}
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        # There was no program, so it was told nothing.
        note(job, phase=COMPUTING, told=told)
        finish(job, settings, store)
    found = client.GetScoringJob(name=job.name)
    assert (found.state, found.message) == (
        scoring_job_pb2.ScoringJob.STATE_FAILED,
        "Another version of this service began it, and told its program otherwise: start it again.",
    )
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        note(job, phase=STORING, told=told | {"ended": True})
        finish(job, settings, store)
    assert client.GetScoringJob(name=job.name).state == scoring_job_pb2.ScoringJob.STATE_SUCCEEDED


def test_a_runner_that_lost_the_job_leaves_no_file(client, settings, store, members, monkeypatch) -> None:
    fill = recompute_inputs._fill

    def slowly(*given: Any) -> Any:
        found = fill(*given)
        another = {"$set": {"lease.token": "of another runner"}}
        assert ScoringJob.rows().update_one({"uid": job.uid}, another).modified_count == 1
        return found

    monkeypatch.setattr(recompute_inputs, "_fill", slowly)
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        with pytest.raises(Conflict):
            recompute_inputs.prepare(job, settings, store)
        assert store.list(job.subject) == []


def test_a_runner_that_stops_leaves_the_files_it_wrote(client, settings, store, members, few) -> None:
    class Stops:
        def is_set(self) -> bool:
            return True

    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        with pytest.raises(RunnerStops):
            running.run_job(job, settings, store, Stops())
        assert (len(store.list(job.subject)), job.phase) == (1, PREPARING)
        assert client.GetScoringJob(name=job.name).segment_recount.customer_count == 2
        assert not outputs(settings, job, client.tenant)
        compute(job, settings, store)
        finish(job, settings, store)


def unfinished(settings: Any, tenant: str, subject: str) -> Path:
    """A file that a killed writer left."""
    path = Path(urlsplit(settings.blob_url).path) / tenant / subject / "people.parquet.1f~"
    path.write_bytes(b"of whoever")
    return path


def test_an_erasure_deletes_what_killed_writers_left_of_files(client, settings, store, members, few) -> None:
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        recompute_inputs.prepare(job, settings, store)
        given = unfinished(settings, client.tenant, job.subject)
        compute(job, settings, store)
        erase([customer()], settings, store)
        assert not given.exists(), "whom its program reads nothing of may have been in a file before"
        running._compute(job, settings, store, threading.Event())
        left = [unfinished(settings, client.tenant, each) for each in (job.subject, job.result_subject)]
        erase(members[:1], settings, store)
        assert not [path for path in left if path.exists()]
        finish(job, settings, store)


def test_who_is_erased_while_it_runs_is_in_none_of_its_files_afterwards(client, settings, store, members) -> None:
    gone, merged, stands, *_ = members
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(merged, stands, (1, 0))))
        client.keep()
        overwrite(client, gone)
        client.CreateScoringJob(scoring_job=RECOMPUTE)
        job = claimed(client)
        recompute_inputs.prepare(job, settings, store)
        assert (len(store.list(job.subject)), job.phase) == (1, PREPARING), "all are in one file"
        job = read_anew(job)
        for name in (gone, merged):
            with pytest.raises(Unavailable, match="still reads"):
                erase([name], settings, store)
        compute(job, settings, store)
        for name in (gone, merged):
            with pytest.raises(Unavailable, match="still reads"):
                erase([name], settings, store)
        running._compute(job, settings, store, threading.Event())
        assert job.phase == STORING
        erase([gone, merged], settings, store)
        assert store.list(job.subject) == []
        for path in (Path(urlsplit(settings.blob_url).path) / client.tenant).rglob("*.parquet"):
            cells = repr(segment_tasks.pq.read_table(path).to_pylist())
            assert gone not in cells
            assert merged not in cells
        finish(job, settings, store)
        assert SegmentSignal.rows().count({}) == 0
        assert Profile.rows().count({}) == 3
    assert client.members() == {*members} - {gone, merged}
