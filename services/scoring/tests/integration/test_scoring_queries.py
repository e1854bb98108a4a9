"""Every query the service asks has its index; the summaries read nothing but theirs."""

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

import docstore
from chassis import tenancy
from docstore import explain
from scoring.store import Objection, Score, ScoringJob, Segment, StagedPurchase
from scoring.store.jobs import ACTIVE
from scoring.usecases import segments

from .conftest import START, customer, score_row

SERVICE = "scoring"


@pytest.fixture(scope="module")
def crowd(database) -> str:
    """Two tenants with many rows; the one to look at."""
    names = [f"t{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        with tenancy.service_context(name):
            rows = [
                score_row(
                    customer(),
                    lifetime_value_minor=number,
                    p_alive=number / 400,
                    segments=["some"] if number < 20 else [],
                    job="old" if number < 15 else "new",
                )
                for number in range(400)
            ]
            Score.rows().insert_many(rows)
            StagedPurchase.rows().insert_many(
                [
                    {"staged": True, "stage_time": START + timedelta(seconds=n), "currency": "USD", "amount_minor": 1}
                    if n < 10
                    else {"flush_time": START}
                    for n in range(400)
                ]
            )
            for number in range(50):
                state = "PENDING" if number == 0 else "DONE"
                ScoringJob.new(
                    as_of=START, horizon_weeks=52, discount_basis_points=0, state=state, create_time=START
                ).insert()
                Segment.new(uid=f"s{number}", display_name="S", expression="p_alive > 1").insert()
    return names[0]


@pytest.fixture
def here(crowd: str) -> Iterator[None]:
    with tenancy.service_context(crowd):
        yield


@pytest.mark.usefixtures("here")
def test_lists_are_served_by_indexes() -> None:
    explain.assert_indexed(
        Score, {"segments": "some"}, [("lifetime_value_minor", -1), ("_id", -1)], limit=11, max_keys=12
    )
    explain.assert_indexed(ScoringJob, {"delete_time": None}, [("create_time", -1), ("_id", -1)], limit=10)
    explain.assert_indexed(Segment, {"delete_time": None}, [("create_time", 1), ("_id", 1)], limit=10)
    explain.assert_indexed(Score, {}, [("_id", 1)], limit=10, max_keys=800)


@pytest.mark.usefixtures("here")
def test_what_the_runner_asks_is_served_by_indexes() -> None:
    explain.assert_indexed(ScoringJob, ACTIVE, max_keys=2)
    explain.assert_indexed(Score, {"job": {"$ne": "new"}}, limit=500, max_keys=30)
    explain.assert_indexed(Score, {"uid": {"$in": [uuid.uuid4().hex for _ in range(5)]}}, max_keys=10)
    explain.assert_indexed(Objection, {"uid": {"$in": ["a", "b"]}}, max_keys=4)
    explain.assert_indexed(StagedPurchase, {"staged": True}, [("stage_time", 1)], limit=500, max_keys=12)


@pytest.mark.usefixtures("here")
def test_a_preview_reads_its_own_tenant_only(crowd: str) -> None:
    found = explain.assert_indexed(Score, {"p_alive": {"$lt": 0.1}}, max_keys=410)
    assert found["totalDocsExamined"] <= 400
    with tenancy.service_context(crowd):
        count, sample = segments.preview("p_alive < 0.1", 3)
    assert (count, len(sample)) == (40, 3)


@pytest.mark.usefixtures("here")
def test_the_summary_reads_its_index_and_no_document() -> None:
    from scoring.store import scores

    pipeline = [
        {"$match": {"tenant": tenancy.tenant()}},
        {"$project": {"_id": 0, "currency": 1, "purchases": 1, "revenue_minor": 1}},
        {"$group": {"_id": "$currency", "revenue": {"$sum": "$revenue_minor"}, "purchases": {"$sum": "$purchases"}}},
    ]
    command = {
        "aggregate": "scores",
        "pipeline": pipeline,
        "cursor": {},
        "hint": "tenant_1_currency_1_purchases_1_revenue_minor_1",
    }
    told = docstore.database().command("explain", command, verbosity="executionStats")
    stats = told["stages"][0]["$cursor"]["executionStats"] if "stages" in told else told["executionStats"]
    assert (stats["totalDocsExamined"], stats["nReturned"] <= 400) == (0, True)
    assert scores.totals() == {"USD": (400, 1200, 400 * 5997)}
