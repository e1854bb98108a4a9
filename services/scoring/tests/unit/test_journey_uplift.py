"""Whom a journey moves: learned from a trial, told with its Qini curve."""

from array import array

import numpy as np
import pytest

from scoring.domain.journey_outcomes import FEATURES
from scoring.models.uplift import qini
from scoring.usecases import journey_uplift
from scoring.usecases.journey_uplift import Trial

PEOPLE = 2_000


@pytest.fixture(scope="module")
def trial() -> Trial:
    """The journey moves those who are about to be lost, and no others."""
    rng = np.random.default_rng(4)
    made = Trial()
    for alive, held_out, draw in zip(
        rng.uniform(0, 1, PEOPLE), rng.uniform(0, 1, PEOPLE) < 0.4, rng.uniform(0, 1, PEOPLE), strict=True
    ):
        rate = 0.2 + (0.35 if alive < 0.4 and not held_out else 0.0)
        made.add({"p_alive": float(alive), "frequency": 2.0}, 40, bool(draw < rate), held_out=bool(held_out))
    for number in range(300):
        made.add({}, 10, number % 7 == 0, held_out=number % 10 == 0)
    return made


def test_whom_it_moves_is_found_and_told(trial: Trial) -> None:
    found = journey_uplift.renewed({}, trial)
    assert (found["people"], found["heterogeneous"]) == (PEOPLE, True), "only those drawn at the same odds"
    assert found["p"] <= 0.01
    value, low, high = found["qini"]
    assert 0.05 < low < value < high
    assert found["traits"][0].startswith("probability to be still buying lower")
    shares, gains = zip(*found["curve"], strict=True)
    assert (shares[0], shares[-1], gains[0]) == (0.0, 1.0, 0.0)
    assert gains[-1] == pytest.approx(0.4 * 35, abs=3), "all of it when all are sent to"
    at = shares.index(0.4)
    assert gains[at] > 0.8 * gains[-1], "and most of it when those it moves are"
    # A few more are nothing to learn; a tenth more is.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journey_uplift, "learned", lambda *_: {"people": PEOPLE})
        for known, again in ((PEOPLE, False), (1_900, False), (1_800, True), (2_100, True)):
            kept = found | {"people": known}
            assert (journey_uplift.renewed(kept, trial) is not kept) is again


def test_too_few_are_told_without_a_model() -> None:
    few = Trial()
    for number in range(500):
        few.add({"p_alive": 0.5}, 20, number % 3 == 0, held_out=number % 6 == 0)
    assert journey_uplift.renewed({}, few) == {}
    for number in range(500):
        few.add({"p_alive": 0.5}, 20, number % 3 == 0, held_out=number % 6 == 0)
    found = journey_uplift.renewed({}, few)
    assert found["heterogeneous"] is False
    assert (found["qini"], found["curve"]) == ([], [])
    scoreless = Trial()
    for number in range(1_000):
        scoreless.add({}, 20, number % 3 == 0, held_out=number % 4 == 0)
    assert journey_uplift.renewed({}, scoreless) == {}
    assert found["messages"][0].startswith("the smaller arm has 168 customers")


def test_the_curve_by_hand() -> None:
    treated, outcome = np.array([1, 0, 1, 0]), np.array([1, 0, 0, 0])
    score = np.array([4.0, 3.0, 2.0, 1.0])
    # After two: all of the treated against none of the others, of half the people; then half of them, of all.
    assert qini.curve(score, treated, outcome, 2) == ((0.0, 0.0), (0.5, 0.5), (1.0, 0.5))


def test_features_are_those_kept_with_an_entry() -> None:
    assert {*journey_uplift._NAMES} == {*FEATURES}
    assert array("d").itemsize == 8
