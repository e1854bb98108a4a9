"""The files of a recompute of all segments: what is in them, what of them is gone on with, and who is in none."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from rapport.scoring.v1 import scoring_job_pb2

import docstore
from chassis.errors import Unavailable
from docstore import Conflict, batches
from docstore.aliases import AliasChange
from docstore.blobs import BlobStore
from scoring import people_files
from scoring.jobs import segment_tasks
from scoring.store import Profile, ScoringJob, SegmentSignal
from scoring.store.jobs import PREPARING, STORING
from scoring.usecases import people, recompute_inputs, running
from scoring.usecases.erasing import erase
from scoring.usecases.leased_jobs import RunnerStops

from ..carrying_out import compute, finish
from ..conftest import START, claimed, customer, plant, purchase, score_row
from .conftest import RECOMPUTE, happen, overwrite, read_anew

SERVICE = "scoring"


def inputs(store: BlobStore, job: ScoringJob) -> dict[str, dict[str, Any]]:
    """Rows of all files that the job's program reads, by customer."""
    found = {}
    for part in job.spec["parts"]:
        with store.open(job.subject, part["name"]) as file:
            rows = [row for chunk in people_files.chunks(file) for row in chunk]
        assert len(rows) == part["rows"]
        found |= {row["customer"]: row for row in rows}
    return found


def outputs(settings: Any, job: ScoringJob, tenant: str) -> dict[str, int]:
    """Files that the program wrote, and when each was written."""
    folder = Path(urlsplit(settings.blob_url).path) / tenant / job.result_subject
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("memberships-*.parquet")}


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


def test_a_program_that_outlived_its_runner_ends_with_a_cancelled_job(client, settings, store, members) -> None:
    client.CreateScoringJob(scoring_job=RECOMPUTE)
    job = claimed(client)
    with client.context():
        while job.phase == PREPARING:
            recompute_inputs.prepare(job, settings, store)
        client.CancelScoringJob(name=job.name)
        folder = settings.work_dir / job.uid
        folder.mkdir(parents=True)
        program = subprocess.Popen(["sleep", "60"], start_new_session=True)
        noted = {"pid": program.pid, "create_time": psutil.Process(program.pid).create_time()}
        (folder / "process.json").write_text(json.dumps(noted))
        try:
            finish(job, settings, store)
            assert program.poll() is not None, "what it writes now would stay"
        finally:
            program.kill()
            program.wait()
        assert running.remove_files(store) == 1
    assert client.GetScoringJob(name=job.name).state == scoring_job_pb2.ScoringJob.STATE_CANCELLED


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
