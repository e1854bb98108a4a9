"""Who objects leaves the results that jobs keep; who writes files anew stops when another process took them over."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from datetime import timedelta

import pytest

import docstore
from chassis import clock, ids
from chassis.errors import Unavailable
from docstore import batches, explain
from docstore.aliases import AliasChange
from docstore.blobs import BlobStore
from scoring import parquet, rewritten_parquet
from scoring.domain.buckets import bucket_of
from scoring.store import FeatureManifest, Objection, ScoringJob
from scoring.store.features import PURCHASES, manifest_files, subject_of
from scoring.store.jobs import PREPARING
from scoring.usecases import erasing, flushing, kept_results, people, running
from scoring.usecases.flushing import writing

from .conftest import START, customer

SERVICE = "scoring"
DONE = {"state": batches.DONE, "outcome": "SUCCEEDED", "end_time": START}


def planted(store, uid: str, names: list[str], **values) -> ScoringJob:
    """A job with a result about these customers."""
    terms = {"as_of": START, "horizon_weeks": 1, "discount_basis_points": 0, "files": True}
    job = ScoringJob.new(uid, **terms | values).insert()
    store.put(job.result_subject, "scores-0000.parquet", parquet.strings({"customer": sorted(names), "other": names}))
    return job


def left(store, job: ScoringJob) -> set[str]:
    with store.open(job.result_subject, "scores-0000.parquet") as file:
        (rows,) = parquet.chunks(file, 100)
    return {row["customer"] for row in rows}


def test_the_whole_profile_leaves_once_no_job_is_at_work_and_nobody_writes(client, settings, store) -> None:
    objects, member, stays = (customer() for _ in range(3))
    everybody = {objects, member, stays}
    with client.context():
        ended, tidied = (planted(store, uid, list(everybody), kind="CHURN", **DONE) for uid in ("ended", "tidied"))
        ScoringJob.rows().update_one({"uid": "tidied"}, {"$unset": {"files": ""}, "$set": {"result_until": START}})
        parked = planted(store, "parked", list(everybody), state=batches.FAILED, phase="STORING")
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(member, objects, (1, 0))))
        docstore.in_transaction(lambda: people.object_to_profiling(member, "consents/c", START))
        at_work = planted(store, ids.uuid7(), [stays], state=batches.APPLYING)
        assert kept_results.take_out_objecting(settings, store) == 0
        assert left(store, ended) == everybody
        ScoringJob.rows().update_one({"uid": at_work.uid}, {"$set": DONE})
        with writing(settings):
            assert kept_results.take_out_objecting(settings, store) == 0, "an erasure may be rewriting the same file"
        assert kept_results.take_out_objecting(settings, store) == 1
        assert [left(store, job) for job in (ended, tidied, at_work)] == [{stays}] * 3
        assert store.list(parked.result_subject) == []
        assert ScoringJob.rows().find_one({"uid": "parked"})["phase"] == PREPARING
        assert kept_results.take_out_objecting(settings, store) == 0, "nothing is left to do"


def test_who_comes_into_a_profile_that_objects_leaves_too(client, settings, store) -> None:
    objects, joins, stays = (customer() for _ in range(3))
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(objects, "consents/c", START))
        assert kept_results.take_out_objecting(settings, store) == 1
        job = planted(store, "ended", [joins, stays], **DONE)
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(joins, objects, (1, 0))))
        assert kept_results.take_out_objecting(settings, store) == 1
        assert left(store, job) == {stays}


def test_it_goes_on_where_another_took_over_and_leaves_nothing_of_a_result_whose_time_is_over(
    client, settings, store, monkeypatch
) -> None:
    objects, stays = customer(), customer()
    with client.context():
        job = planted(store, "ended", [objects, stays], **DONE)
        docstore.in_transaction(lambda: people.object_to_profiling(objects, "consents/c", START))
        with monkeypatch.context() as lost:
            lost.setattr(flushing, "goes_on_writing", lambda _: False)
            assert kept_results.take_out_objecting(settings, store) == 0
        assert left(store, job) == {objects, stays}
        others = rewritten_parquet.others

        def ends_meanwhile(*arguments):
            running.remove_files(store)
            ScoringJob.rows().update_one({"uid": job.uid}, {"$set": {"result_until": START}})
            running.remove_files(store)
            return others(*arguments)

        monkeypatch.setattr(rewritten_parquet, "others", ends_meanwhile)
        assert kept_results.take_out_objecting(settings, store) == 1
        assert store.list(job.result_subject) == []
        explain.assert_indexed(Objection, {"results_due": True}, limit=10, max_keys=2)


def expire() -> None:
    """The lease of the tenant's files ends, as after a long pause of whoever holds it."""
    until = clock.real_now() - timedelta(seconds=1)
    FeatureManifest.rows().update_one({"uid": PURCHASES}, {"$set": {"lease.until": until}})


def test_who_joins_while_the_results_are_written_anew_leaves_the_next_time(
    client, settings, store, monkeypatch
) -> None:
    objects, joins, stays = (customer() for _ in range(3))
    with client.context():
        job = planted(store, "ended", [objects, joins, stays], **DONE)
        docstore.in_transaction(lambda: people.object_to_profiling(objects, "consents/c", START))
        others, merges = rewritten_parquet.others, [AliasChange(joins, objects, (1, 0))]

        def merged_meanwhile(*arguments):
            if merges:
                change = merges.pop()
                docstore.in_transaction(lambda: people.follow_alias(change))
            return others(*arguments)

        monkeypatch.setattr(rewritten_parquet, "others", merged_meanwhile)
        assert kept_results.take_out_objecting(settings, store) == 1
        assert left(store, job) == {joins, stays}
        assert kept_results.take_out_objecting(settings, store) == 1
        assert left(store, job) == {stays}
        assert kept_results.take_out_objecting(settings, store) == 0


def test_an_objection_waits_for_older_jobs_only(client, settings, store, monkeypatch) -> None:
    objects, again, stays = (customer() for _ in range(3))
    with client.context():
        job = planted(store, "ended", [objects, again, stays], kind="CHURN", **DONE)
        docstore.in_transaction(lambda: people.object_to_profiling(objects, "consents/c", START))
        at_work = planted(store, ids.uuid7(), [stays], state=batches.APPLYING)
        docstore.in_transaction(lambda: people.object_to_profiling(again, "consents/c", START))
        monkeypatch.setattr(kept_results, "_CLOCKS_APART", timedelta(hours=1))
        assert kept_results.take_out_objecting(settings, store) == 0, "clocks may differ by more than that"
        monkeypatch.setattr(kept_results, "_CLOCKS_APART", timedelta())
        assert kept_results.take_out_objecting(settings, store) == 1
        assert left(store, job) == {again, stays}
        assert kept_results.take_out_objecting(settings, store) == 0, "the job may have asked consent before"
        Objection.rows().update_many({}, {"$set": {"results_due": True}, "$unset": {"results_mark": ""}})
        assert kept_results.take_out_objecting(settings, store) == 0, "of before there were marks: of any age"
        ScoringJob.rows().update_one({"uid": at_work.uid}, {"$set": DONE})
        assert kept_results.take_out_objecting(settings, store) == 2
        assert left(store, job) == {stays}


@pytest.mark.parametrize(
    "ended",
    [{"outcome": "FAILED"}, {"files": None, "result_until": START}],
    ids=["of one that failed", "whose time is over"],
)
def test_nothing_stays_of_a_result_that_is_written_anew_while_it_is_deleted(
    client, settings, store, monkeypatch, ended
) -> None:
    gone, stays = customer(), customer()
    with client.context():
        job = planted(store, "ended", [gone, stays], **DONE | ended)
        real, deletions = BlobStore.delete_subject, []

        def takes_out_meanwhile(store, subject):
            """Another process read the file before it went, and puts it after that."""
            deletions.append(subject)
            if len(deletions) > 1:
                return real(store, subject)
            others = rewritten_parquet.others

            def goes_while_it_is_read(*arguments):
                content = others(*arguments)
                real(store, subject)
                return content

            with monkeypatch.context() as reads, writing(settings) as leased:
                reads.setattr(rewritten_parquet, "others", goes_while_it_is_read)
                kept_results.take_out(job, [gone], leased, store)
            assert store.list(job.result_subject)
            return 1

        monkeypatch.setattr(BlobStore, "delete_subject", takes_out_meanwhile)
        assert running.remove_files(store) == 1
        assert store.list(job.result_subject) == []
        assert running.remove_files(store) == 0


@pytest.mark.parametrize("after", [1, 2], ids=["between two files", "after the last job"])
def test_who_lost_the_files_puts_nothing_more_and_the_mark_stays(client, settings, store, monkeypatch, after) -> None:
    objects, stays = customer(), customer()
    with client.context():
        job = planted(store, "ended", [objects, stays], **DONE)
        store.put(job.result_subject, "scores-0001.parquet", store.get(job.result_subject, "scores-0000.parquet"))
        docstore.in_transaction(lambda: people.object_to_profiling(objects, "consents/c", START))
        put, done = BlobStore.put, []

        def takes_over(store, *arguments):
            """Another process has the files once this one put so many."""
            done.append(put(store, *arguments))
            if len(done) == after:
                expire()
                stack.enter_context(writing(settings))
            return done[-1]

        with ExitStack() as stack:
            monkeypatch.setattr(BlobStore, "put", takes_over)
            assert kept_results.take_out_objecting(settings, store) == 0
        assert len(done) == after
        assert Objection.rows().count({"results_due": True}) == 1
        assert kept_results.take_out_objecting(settings, store) == 1
        assert left(store, job) == {stays}


@pytest.mark.parametrize(
    ("place", "ends"),
    [("_settle_jobs", pytest.raises(Unavailable, match="took over")), ("named_files", nullcontext())],
    ids=["before it deletes", "while it deletes"],
)
def test_an_erasure_that_loses_the_files_deletes_nothing_that_the_next_writer_names(
    client, settings, store, monkeypatch, place, ends
) -> None:
    gone = customer()
    stays = next(name for name in iter(customer, "") if bucket_of(name) == bucket_of(gone))
    client.buys(gone, 1)
    with client.context():
        flushing.flush(settings, store)
    client.buys(stays, 2)
    written, erased = threading.Event(), threading.Event()
    real, commit = getattr(erasing, place), flushing._commit

    def flush() -> int | None:
        with client.context():
            return flushing.flush(settings, store)

    def commits_late(*arguments):
        written.set()
        assert erased.wait(20)
        commit(*arguments)

    with ThreadPoolExecutor(1) as other:
        flushed = []

        def pauses(*arguments):
            found = real(*arguments)
            expire()
            flushed.append(other.submit(flush))
            assert written.wait(20)
            return found

        monkeypatch.setattr(erasing, place, pauses)
        monkeypatch.setattr(flushing, "_commit", commits_late)
        try:
            with client.context(), ends:
                erasing.erase([gone], settings, store)
        finally:
            erased.set()
        assert [each.result() for each in flushed] == [1]
    with client.context():
        (file,) = manifest_files()
        with store.open(subject_of(file["bucket"]), file["name"]) as opened:
            assert [row["customer"] for rows in parquet.chunks(opened, 9) for row in rows] == [stays]
