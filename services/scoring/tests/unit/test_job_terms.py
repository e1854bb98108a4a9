"""What a scoring job may be asked for: which task goes with which kind and which fields."""

from datetime import UTC, datetime, timedelta

import pytest
from rapport.scoring.v1 import scoring_job_pb2

from chassis.errors import InvalidArgument
from scoring import job_messages
from scoring.domain.job_limits import INSTANTS_MAX

PAST = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "says", "given"),
    [
        ("kind", "TASK_FEATURES is not about one kind", {"task": "TASK_FEATURES", "kind": "KIND_CHURN"}),
        ("kind", "TASK_SEGMENT is not about one kind", {"task": "TASK_SEGMENT", "kind": "KIND_LIFETIME_VALUE"}),
        ("horizon_weeks", "leave it out", {"task": "TASK_BACKFILL", "instants": [PAST], "horizon_weeks": 3}),
        ("annual_discount_basis_points", "leave it out", {"task": "TASK_SEGMENT", "annual_discount_basis_points": 0}),
        ("as_of", "members are those of now", {"task": "TASK_SEGMENT", "as_of": PAST}),
        ("as_of", "instants says when", {"task": "TASK_BACKFILL", "as_of": PAST, "instants": [PAST]}),
        ("as_of", "In the future", {"task": "TASK_FEATURES", "as_of": datetime(2999, 1, 1, tzinfo=UTC)}),
        ("instants", "Only TASK_BACKFILL", {"task": "TASK_FEATURES", "instants": [PAST]}),
        ("instants", "Only TASK_BACKFILL", {"task": "TASK_TRAIN", "instants": [PAST]}),
        ("horizon_weeks", "Offers look 90 days ahead", {"kind": "KIND_NEXT_OFFER", "horizon_weeks": 4}),
        ("horizon_weeks", "as the released", {"task": "TASK_EVALUATE", "kind": "KIND_NEXT_OFFER", "horizon_weeks": 4}),
        ("kind", "tell by the model each makes", {"task": "TASK_EVALUATE", "kind": "KIND_SEND_TIME"}),
        ("horizon_weeks", "no horizon", {"kind": "KIND_SEND_TIME", "horizon_weeks": 4}),
        ("horizon_weeks", "contracts have no horizon", {"kind": "KIND_CLUSTERS", "horizon_weeks": 13}),
        ("kind", "tell by the model each makes", {"task": "TASK_SCORE", "kind": "KIND_CLUSTERS"}),
        ("horizon_weeks", "as the released", {"task": "TASK_SCORE", "kind": "KIND_CHURN", "horizon_weeks": 13}),
        ("horizon_weeks", "as the released", {"task": "TASK_EVALUATE", "horizon_weeks": 13}),
        ("annual_discount_basis_points", "leave it", {"task": "TASK_EVALUATE", "annual_discount_basis_points": 1}),
        ("as_of", "as they are now", {"task": "TASK_SCORE", "kind": "KIND_LEAD_CONVERSION", "as_of": PAST}),
        ("instants", "Only TASK_BACKFILL", {"instants": [PAST]}),
        ("instants", "1 to 400", {"task": "TASK_BACKFILL"}),
        ("instants", "comes twice", {"task": "TASK_BACKFILL", "instants": [PAST, PAST]}),
        (
            "instants",
            "1 to 400",
            {"task": "TASK_BACKFILL", "instants": [PAST + timedelta(n) for n in range(INSTANTS_MAX + 1)]},
        ),
        (
            "instants",
            "In the future",
            {"task": "TASK_BACKFILL", "instants": [datetime(2999, 1, 1, tzinfo=UTC), PAST]},
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(field: str, says: str, given: dict) -> None:
    with pytest.raises(InvalidArgument) as refused:
        job_messages.terms(scoring_job_pb2.ScoringJob(**given))
    ((named, problem),) = refused.value.violations
    assert (refused.value.reason, named) == ("INVALID_SCORING_JOB", f"scoring_job.{field}")
    assert says in problem


def test_a_backfill_looks_from_its_instants_in_order() -> None:
    later = PAST + timedelta(days=3)
    read = job_messages.terms(scoring_job_pb2.ScoringJob(task="TASK_BACKFILL", instants=[later, PAST]))
    assert (read.task, read.as_of, read.instants) == ("BACKFILL", later, (PAST, later))
