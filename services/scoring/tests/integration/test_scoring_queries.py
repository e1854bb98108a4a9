"""Every query the service asks has its index; the summaries read nothing but theirs."""

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

import docstore
from chassis import tenancy
from docstore import explain
from scoring import runner
from scoring.store import (
    Objection,
    Profile,
    Score,
    ScoringJob,
    Segment,
    SegmentChange,
    SegmentSignal,
    StagedActivity,
    StagedPurchase,
)
from scoring.store.jobs import ACTIVE
from scoring.usecases import activity, evaluating, exploring

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
                    job="old" if number < 15 else "new",
                )
                for number in range(400)
            ]
            Score.rows().insert_many(rows)
            inside = {row["uid"]: ["some"] if number < 20 else [] for number, row in enumerate(rows)}
            Profile.rows().insert_many(
                {
                    **{name: row[name] for name in ("uid", "customer")},
                    "value": row["lifetime_value_minor"],
                    "spread": number,
                    "segments": inside[row["uid"]],
                    **({"due": START} if number % 40 == 0 else {}),
                }
                for number, row in enumerate(rows)
            )
            SegmentSignal.rows().insert_many({"rank": number % 2, "size": 1, "cause": 1} for number in range(400))
            SegmentChange.rows().insert_many(
                {"segment": f"s{number % 2}", "customer": row["customer"]} for number, row in enumerate(rows)
            )
            StagedPurchase.rows().insert_many(
                [
                    {"staged": True, "stage_time": START + timedelta(seconds=n), "currency": "USD", "amount_minor": 1}
                    if n < 10
                    else {"flush_time": START}
                    for n in range(400)
                ]
            )
            StagedActivity.rows().insert_many(
                {"stage_time": START + timedelta(seconds=number), "size": 1} for number in range(400)
            )
            for number in range(50):
                state = "PENDING" if number == 0 else "DONE"
                ScoringJob.new(
                    as_of=START, horizon_weeks=52, discount_basis_points=0, state=state, create_time=START
                ).insert()
                values = {"references": ["some"], "evaluation_due": True} if number == 7 else {}
                Segment.new(uid=f"s{number}", display_name="S", expression="p_alive > 1", **values).insert()
    return names[0]


@pytest.fixture
def here(crowd: str) -> Iterator[None]:
    with tenancy.service_context(crowd):
        yield


@pytest.mark.usefixtures("here")
def test_lists_are_served_by_indexes() -> None:
    explain.assert_indexed(Profile, {"segments": "some"}, [("value", -1), ("_id", -1)], limit=11, max_keys=12)
    explain.assert_indexed(SegmentChange, {"segment": "s1"}, [("_id", -1)], limit=11, max_keys=12)
    customers = {"customer": {"$in": ["customers/a", "customers/b"]}}
    explain.assert_indexed(SegmentChange, {"segment": "s1", **customers}, [("_id", -1)], limit=11, max_keys=6)
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
    explain.assert_indexed(StagedActivity, activity.STAGED, [("stage_time", 1)], limit=10, max_keys=12)


@pytest.mark.usefixtures("here")
def test_what_keeps_segments_is_served_by_indexes() -> None:
    ranked = [("rank", 1), ("_id", 1)]
    explain.assert_indexed(SegmentSignal, {"rank": {"$gte": 0}}, ranked, limit=50, max_keys=55)
    due = {"due": {"$lte": START}}
    explain.assert_indexed(Profile, due, [("due", 1)], limit=500, max_keys=12)
    changed = {"evaluation_due": True, "delete_time": None}
    explain.assert_indexed(Segment, changed, max_keys=3)
    explain.assert_indexed(Segment, {"references": "some", "delete_time": None}, limit=10, max_keys=3)
    explain.assert_indexed(Profile, {"segments": {"$in": ["some", "other"]}}, max_keys=25)
    explain.assert_indexed(SegmentChange, {"customer": {"$in": ["customers/a"]}}, max_keys=3)
    # Of a recompute: some customers after others, and the members of a segment.
    some = {"_id": {"$gt": Profile.key("1"), "$lt": f"{tenancy.tenant()}0"}}
    explain.assert_indexed(Profile, some, [("_id", 1)], limit=10, max_keys=12)
    explain.assert_indexed(Profile, {"segments": "some"}, max_keys=25)


@pytest.mark.usefixtures("here")
def test_a_preview_reads_its_own_tenant_only(crowd: str) -> None:
    found = explain.assert_indexed(Profile, {"spread": {"$gte": 0}}, [("spread", 1), ("_id", 1)], max_keys=410)
    assert found["totalDocsExamined"] <= 400
    with tenancy.service_context(crowd):
        preview = exploring.preview("p_alive < 0.1", 3)
    assert (preview.member_count, preview.examined_count, len(preview.sample_customers)) == (40, 400, 3)


def test_tenants_with_work_are_found_without_reading_theirs(crowd: str) -> None:
    assert crowd in evaluating.waiting_tenants()
    for collection, waiting in (
        ("profiles", {"due": {"$lte": START}}),
        ("segment_signals", {"rank": {"$gte": 0}}),
        ("segments", {"evaluation_due": True}),
        ("staged_activity", {}),
        *((cls._get_collection_name(), there) for cls, there in runner.TIDIED),
    ):
        query = {"tenant": {"$gt": ""}, **waiting}
        command = {"distinct": collection, "key": "tenant", "query": query}
        with docstore.platform_scope():
            told = docstore.database().command("explain", command, verbosity="executionStats")
        assert "COLLSCAN" not in repr(told["queryPlanner"]["winningPlan"])
        assert told["executionStats"]["totalKeysExamined"] <= 20, collection


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
