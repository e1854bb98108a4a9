"""A recompute of all segments step by step: what its program finds, and what is mended."""

import json
import threading
from typing import Any

import pytest
from rapport.scoring.v1 import scoring_job_pb2
from rapport.scoring.v1.events_pb2 import SegmentLeft

import docstore
from docstore.aliases import AliasChange
from scoring.jobs.program import SUCCESS
from scoring.store import Profile, ScoringJob, Segment, SegmentChange
from scoring.store.jobs import COMPUTING, STORING
from scoring.usecases import people, recomputing, running
from scoring.usecases.leased_jobs import note

from ..carrying_out import carried_out, compute, finish
from ..conftest import claimed, customer, purchase
from .conftest import RECOMPUTE, happen, overwrite, read_anew

SERVICE = "scoring"


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


def test_a_tenant_without_customers_or_segments_has_no_differences(client, settings, store) -> None:
    job = carried_out(client, settings, store, **RECOMPUTE)
    assert job.message.startswith("0 customers were looked at for 0 segments: all memberships were right.")


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
