from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scoring.domain import lead_gates, propensity_gates
from scoring.domain.gates import Interval
from scoring.domain.lead_gates import WORDS
from scoring.domain.propensity_gates import Known, Trial

ENOUGH = Known(
    rows=600,
    train_events=80,
    train_others=250,
    test_events=40,
    test_others=140,
    train_event_customers=80,
    train_other_customers=250,
    test_event_customers=40,
    test_other_customers=140,
)
BETTER = Interval(-0.2, -0.3, -0.1)
GOOD = Trial(
    auc=0.8,
    rival_auc=0.6,
    against_rival=Interval(0.2, 0.1, 0.3),
    against_base_rate=BETTER,
    against_champion=None,
    new_events=40,
    new_others=140,
    calibration_error=0.04,
    chance=0.06,
)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def judged(trial: Trial | None = GOOD, data: Known = ENOUGH, consenting: float = 1.0, champion: str = "") -> tuple:
    verdict = propensity_gates.judge(data, trial, consenting, champion, WORDS)
    return verdict.state, [gate.name for gate in verdict.gates if not gate.passed]


def test_a_model_that_passes_everything_is_champion() -> None:
    assert judged() == ("CHAMPION", [])


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"against_rival": Interval(0.05, -0.01, 0.11)}, "points"),
        ({"against_base_rate": Interval(-0.01, -0.03, 0.01)}, "baseline"),
        ({"calibration_error": 0.2}, "calibration"),
    ],
)
def test_one_gate_not_passed_is_enough_to_be_rejected(change, failed) -> None:
    assert judged(replace(GOOD, **change)) == ("REJECTED", [failed])


def test_beside_a_champion_a_model_needs_proof() -> None:
    for interval, state in (
        (Interval(-0.05, -0.08, -0.02), "CHAMPION"),
        (Interval(-0.001, -0.03, 0.03), "CHALLENGER"),
        (Interval(0.05, 0.02, 0.08), "REJECTED"),
    ):
        assert judged(replace(GOOD, against_champion=interval), champion="models/c")[0] == state


def test_without_leads_that_are_new_to_the_champion_nothing_is_proved() -> None:
    few = replace(GOOD, new_events=3)
    assert judged(few, champion="models/c") == ("CHALLENGER", ["champion"])
    assert propensity_gates.judge(ENOUGH, few, 1.0, "models/c", WORDS).gates[-1].message == (
        "of the leads that the champion models/c has not learned from 3 were converted and 140 not, "
        "several of one customer counting once; at least 20 of each are needed to compare"
    )


def test_too_little_data_says_what_is_missing() -> None:
    few = replace(ENOUGH, rows=150, test_events=3)
    assert judged(None, few) == ("REJECTED", ["minimum_data"])
    assert propensity_gates.known(few, WORDS).message == (
        "there are 150 leads older than 30 days, at least 200 are needed; "
        "3 converted leads to be tested on, at least 20 are needed"
    )


def test_many_leads_of_few_customers_are_too_little() -> None:
    few = replace(ENOUGH, test_event_customers=4)
    assert judged(None, few) == ("REJECTED", ["minimum_data"])
    assert propensity_gates.known(few, WORDS).message == (
        "there are 4 customers with converted leads to be tested on, at least 20 are needed"
    )
    few = replace(ENOUGH, train_event_customers=19)
    assert judged(None, few) == ("REJECTED", ["minimum_data"])
    assert propensity_gates.known(few, WORDS).message == (
        "there are 19 customers with converted leads to learn from, at least 20 are needed"
    )


def test_few_who_may_be_learned_from_speak_for_nobody() -> None:
    assert judged(consenting=0.1) == ("REJECTED", ["consenting_share"])


def test_a_lead_converted_late_was_not_converted() -> None:
    assert lead_gates.converted(NOON, NOON + timedelta(days=30))
    assert not lead_gates.converted(NOON, NOON + timedelta(days=30, seconds=1))
    assert not lead_gates.converted(NOON, None)
