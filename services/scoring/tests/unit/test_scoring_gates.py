"""What becomes of a model, from measured figures alone."""

from dataclasses import replace

import pytest

from scoring.domain import gates
from scoring.domain.gates import Interval, RevenueTrial, Trial

GOOD = Trial(
    customers=1_000,
    purchases=400,
    against_baseline=Interval(-0.2, -0.3, -0.1),
    against_champion=Interval(-0.001, -0.01, 0.005),
    miscalibration=0.2,
    chance=0.1,
)
MONEY = RevenueTrial(
    customers=1_000,
    expected=5e6,
    actual=4_900_000,
    error=Interval(0.8, 0.7, 0.9),
    against_mean_spend=Interval(-0.1, -0.2, 0.02),
    miscalibration=0.2,
    chance=0.1,
    mean_spends=0.3,
)


def judged(consenting: float | None = 1.0, **changes: object) -> tuple[str, list[str]]:
    verdict = gates.judge(replace(GOOD, **changes), "", consenting, "models/c")
    return verdict.state, [gate.name for gate in verdict.gates if not gate.passed]


def test_a_model_that_passes_everything_is_champion_with_its_figures_in_words() -> None:
    verdict = gates.judge(GOOD, "", 0.93, "models/c")
    assert verdict.state == gates.CHAMPION
    assert verdict.failed == []
    told = {gate.name: gate for gate in verdict.gates}
    assert list(told) == ["minimum_data", "consenting_share", "baseline", "calibration", "champion"]
    assert told["calibration"].bound == pytest.approx(gates.MOST_MISCALIBRATION + 0.1)
    assert "93% of the customers may be profiled" in told["consenting_share"].message
    assert "-20.0% (-30.0% to -10.0%) against that of expecting the same" in told["baseline"].message
    assert "the champion models/c" in told["champion"].message


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"against_baseline": Interval(-0.2, -0.4, 0.01)}, ["baseline"]),
        ({"miscalibration": 0.36}, ["calibration"]),
        ({"consenting": 0.1}, ["consenting_share"]),
        ({"against_champion": Interval(0.2, 0.1, 0.3)}, ["champion"]),
        ({"against_champion": Interval(0.02, -0.02, 0.05), "miscalibration": 0.9}, ["calibration", "champion"]),
    ],
)
def test_one_failed_gate_rejects(changes: dict[str, object], failed: list[str]) -> None:
    assert judged(**changes) == (gates.REJECTED, failed)


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"against_mean_spend": Interval(0.3, -0.01, 0.6)}, []),  # worse, but that may be chance
        ({"against_mean_spend": Interval(0.3, 0.01, 0.6)}, ["spend"]),
        ({"miscalibration": 0.36}, ["revenue"]),
        ({"miscalibration": 0.36, "mean_spends": 0.4}, []),  # the mean spend would do no better
        ({"miscalibration": 0.36, "champions": 0.4}, []),  # nor would the champion
        ({"miscalibration": 0.9, "against_mean_spend": Interval(0.3, 0.1, 0.6), "fallback": True}, []),
    ],
)
def test_revenue_is_held_to_the_mean_spend_and_to_tenths(changes: dict[str, object], failed: list[str]) -> None:
    assert judged(revenue=replace(MONEY, **changes))[1] == failed


def test_a_badly_calibrated_model_takes_the_place_of_a_worse_one() -> None:
    assert judged(miscalibration=0.5, champions=0.6) == (gates.CHAMPION, [])
    assert judged(miscalibration=0.5, champions=0.4) == (gates.REJECTED, ["calibration"])


def test_want_of_proof_against_the_champion_alone_makes_a_challenger() -> None:
    assert judged(against_champion=Interval(0.005, -0.02, 0.03)) == (gates.CHALLENGER, ["champion"])


@pytest.mark.parametrize(("customers", "purchases"), [(99, 400), (1_000, 49)])
def test_without_enough_to_test_on_nothing_else_is_asked(customers: int, purchases: int) -> None:
    assert judged(customers=customers, purchases=purchases) == (gates.REJECTED, ["minimum_data"])
    verdict = gates.judge(None, "that takes purchases of 12 weeks", None, "")
    assert verdict.state == gates.REJECTED
    assert verdict.failed == ["it could not be tested: that takes purchases of 12 weeks"]


def test_a_first_model_needs_no_champion_to_beat() -> None:
    assert judged(against_champion=None) == (gates.CHAMPION, [])


def test_a_champion_falls_only_beyond_chance_and_the_bound_and_for_a_better_one() -> None:
    clearly = Interval(1.2, 1.1, 1.3)
    assert gates.roll_back(clearly, 0.8, 0.9)[0]
    assert not gates.roll_back(Interval(1.2, 0.9, 1.5), 0.8, 0.9)[0]  # chance: 0.92 is the bound
    falls, why = gates.roll_back(clearly, 0.8, 1.25)
    assert (falls, "would have done no better" in why) == (False, True)
    falls, why = gates.roll_back(clearly, 0.8, None)
    assert (falls, "no earlier model" in why) == (False, True)
