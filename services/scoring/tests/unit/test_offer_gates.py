"""What becomes of a model of offers, from measured figures alone."""

from dataclasses import replace

import pytest

from scoring.domain import gates, offer_gates
from scoring.domain.gates import Interval
from scoring.domain.offer_gates import Beside, Trial

BESIDE = Beside("models/c", 300, 90, Interval(0.5, 0.44, 0.56), Interval(0.4, 0.35, 0.46), Interval(0.1, 0.02, 0.18))
GOOD = Trial(
    learned=200,
    tested=400,
    days=90,
    hits=Interval(0.5, 0.45, 0.55),
    popular=Interval(0.3, 0.26, 0.35),
    better=Interval(0.2, 0.1, 0.3),
    miscalibration=0.2,
    chance=0.05,
)


def judged(consenting: float | None = 1.0, **changes: object) -> tuple[str, list[str]]:
    verdict = offer_gates.judge(replace(GOOD, **changes), consenting)
    return verdict.state, [gate.name for gate in verdict.gates if not gate.passed]


def test_the_first_model_needs_no_champion_to_beat() -> None:
    verdict = offer_gates.judge(GOOD, 0.9)
    assert verdict.state == gates.CHAMPION
    assert [gate.name for gate in verdict.gates] == ["minimum_data", "consenting_share", "baseline", "calibration"]


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"learned": 49}, ["minimum_data"]),
        ({"tested": 29}, ["minimum_data"]),
        ({"consenting": 0.1}, ["consenting_share"]),
        ({"better": Interval(0.2, 0.0, 0.4)}, ["baseline"]),
        ({"better": Interval(0.1, -0.1, 0.3), "beside": BESIDE}, ["baseline"]),
    ],
)
def test_one_failed_gate_rejects(changes: dict[str, object], failed: list[str]) -> None:
    assert judged(**changes) == (gates.REJECTED, failed)


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({}, gates.CHAMPION, "it must be more beyond chance"),
        ({"better": Interval(0.1, 0.0, 0.2)}, gates.CHALLENGER, "it must be more beyond chance"),
        ({"better": Interval(-0.1, -0.2, -0.01)}, gates.REJECTED, "it must be more beyond chance"),
        ({"better": Interval(-0.1, -0.2, -0.01), "handicapped": True}, gates.CHALLENGER, "more beyond chance"),
        ({"tested": 29, "better": Interval(0.3, 0.1, 0.5)}, gates.CHALLENGER, "at least 30 are needed to compare"),
        ({"tested": 0, "days": 0}, gates.CHAMPION, "nothing new was bought since the champion models/c learned"),
        ({"tested": 0, "knows_more": True}, gates.CHALLENGER, "of after this job's instant"),
    ],
)
def test_a_candidate_is_held_against_the_champion(changes: dict[str, object], state: str, said: str) -> None:
    verdict = offer_gates.judge(replace(GOOD, beside=replace(BESIDE, **changes)), 1.0)
    assert verdict.state == state
    assert verdict.gates[-1].name == "champion"
    assert said in verdict.gates[-1].message


def test_probabilities_that_do_not_hold_are_not_told_and_the_ranking_is() -> None:
    assert offer_gates.calibrated(GOOD)
    wrong = replace(GOOD, miscalibration=0.31)
    assert not offer_gates.calibrated(wrong)
    assert not offer_gates.calibrated(replace(GOOD, miscalibration=None))
    verdict = offer_gates.judge(wrong, 1.0)
    assert verdict.state == gates.CHAMPION
    assert "31% apart; at most 30% may be, of which 5% are chance; so it tells no" in verdict.gates[-1].message


def test_a_champion_falls_only_beyond_chance_and_the_bound_and_for_a_better_one() -> None:
    poor = Interval(0.2, 0.15, 0.25)
    assert offer_gates.roll_back(poor, 0.5, 0.4) == (
        True,
        "one of the 10 products it ranked first was bought by 20.0% (15.0% to 25.0%); it promised 50.0%; "
        "the model before it has 40.0%",
    )
    assert not offer_gates.roll_back(Interval(0.2, 0.0, 0.44), 0.5, 0.4)[0]  # chance: 42.5 % is the bound
    falls, why = offer_gates.roll_back(poor, 0.5, 0.2)
    assert (falls, "would have done no better" in why) == (False, True)
    falls, why = offer_gates.roll_back(poor, 0.5, None)
    assert (falls, "no earlier model" in why) == (False, True)
