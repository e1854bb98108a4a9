"""Jobs that look from earlier than what stands: refused for each kind, with both instants, unless they are told to."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

import docstore
from chassis import clock
from docstore import explain
from docstore.records import Record
from scoring.store import CustomerOffers, CustomerSendTime, Score, ScoringJob
from scoring.store.jobs import FAILED

from . import carrying_out
from .conftest import Client, claimed, customer

SERVICE = "scoring"
AS_OF = docstore.whole_milliseconds(clock.real_now()) - timedelta(days=2)
EARLIER = AS_OF - timedelta(milliseconds=1)
STANDS: dict[str, tuple[type[Record], str]] = {
    "LIFETIME_VALUE": (Score, ""),
    "CHURN": (Score, "churn"),
    "RESPONSE": (Score, "response"),
    "CLUSTERS": (Score, "cluster"),
    "USAGE": (Score, "usage"),
    "RENEWAL": (Score, "renewal"),
    "NEXT_OFFER": (CustomerOffers, ""),
    "SEND_TIME": (CustomerSendTime, ""),
}


def stands(client: Client, kind: str, job: str = "later", **values: Any) -> None:
    """What a job told of somebody."""
    rows, part = STANDS[kind]
    name = customer()
    told = {"job": job, "as_of": AS_OF} | values
    with client.context():
        row = {"uid": name.rpartition("/")[2], "customer": name, **({part: told} if part else told)}
        docstore.in_transaction(lambda: rows.rows().insert_one(row))


def text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def refused(client: Client, **terms: Any) -> str:
    """Why a job is not created."""
    reason, message, _ = client.refused("CreateScoringJob", scoring_job=terms)
    assert reason == "NEWER_RESULTS_STAND"
    return message


@pytest.mark.parametrize("kind", STANDS)
def test_a_job_that_looks_from_earlier_leaves_what_stands(client, settings, store, kind) -> None:
    rows, part = STANDS[kind]
    by = f"{part}.job" if part else "job"
    stands(client, kind, as_of=AS_OF - timedelta(days=9), job="old")
    terms = {"kind": f"KIND_{kind}", "as_of": EARLIER}
    # What stands became newer while the job waited.
    client.CreateScoringJob(scoring_job=terms)
    stands(client, kind)
    job = claimed(client)
    with client.context():
        carrying_out.finish(job, settings, store)
        assert job.outcome == FAILED
        assert rows.rows().count({by: "later"}) == 1
        explain.assert_indexed(rows, {by: "later"}, limit=1, max_keys=2)
        explain.assert_indexed(rows, {by: {"$gt": ""}}, limit=500, max_keys=3)
    message = refused(client, **terms)
    assert message == job.message, "before it is at work, too"
    assert f"KIND_{kind} tell now looks from {text(AS_OF)}, this job would look from {text(EARLIER)}" in message
    assert ("TASK_TRAIN" in message) == (kind in ("LIFETIME_VALUE", "CHURN", "RESPONSE", "NEXT_OFFER"))
    told = client.CreateScoringJob(scoring_job=terms | {"replace_newer": True})
    assert told.replace_newer
    client.CancelScoringJob(name=told.name)
    job = claimed(client)
    with client.context():
        carrying_out.finish(job, settings, store)
    same = client.CreateScoringJob(scoring_job=terms | {"as_of": AS_OF})
    assert not same.replace_newer


def test_tasks_that_score_nobody_and_leads_look_from_any_instant(client) -> None:
    for kind in STANDS:
        stands(client, kind)
    for terms in (
        {"task": "TASK_TRAIN"},
        {"task": "TASK_FEATURES"},
        {"kind": "KIND_LEAD_CONVERSION"},
    ):
        client.CreateScoringJob(scoring_job=terms | {"as_of": EARLIER})
        reason, message, fields = client.refused("CreateScoringJob", scoring_job=terms | {"replace_newer": True})
        assert (reason, fields) == ("INVALID_SCORING_JOB", ["scoring_job.replace_newer"])
        assert "leave it out" in message


@pytest.mark.parametrize("kind", ["LIFETIME_VALUE", "CHURN"])
def test_what_was_made_online_since_bars_no_job(client, kind) -> None:
    with client.context():
        last = ScoringJob.new(kind=kind, as_of=EARLIER, horizon_weeks=1, discount_basis_points=0, state="DONE").insert()
    online = clock.now()
    stands(client, kind, job=last.uid, as_of=online, rescored=True)
    # Of a job that is kept no longer.
    stands(client, kind, job=uuid.uuid4().hex, as_of=online, rescored=True)
    before = refused(client, kind=f"KIND_{kind}", as_of=EARLIER - timedelta(days=1))
    assert f"looks from {text(EARLIER)}" in before, "but the job whose models it was made by does"
    client.CreateScoringJob(scoring_job={"kind": f"KIND_{kind}", "as_of": AS_OF})
