"""Kaplan and Meier's estimate: by hand, with its interval, and by thirds of what was told."""

import math

import numpy as np
import pytest

from scoring.models import survival


def test_it_is_what_is_reckoned_by_hand_with_rows_that_go_out_of_sight() -> None:
    waited = np.array([1, 2, 2, 3, 4, 5, 6, 6], dtype=np.float64)
    ended = np.array([1, 1, 0, 1, 0, 1, 0, 0], dtype=np.float64)
    found = {point.days: point for point in survival.kaplan_meier(waited, ended, range(7))}
    shares = {0: 1.0, 1: 7 / 8, 2: 7 / 8 * 6 / 7, 3: 0.75 * 4 / 5, 4: 0.6, 5: 0.6 * 2 / 3, 6: 0.4}
    assert {day: point.lasting for day, point in found.items()} == pytest.approx(shares, rel=1e-5)
    assert [point.at_risk for point in found.values()] == [8, 7, 5, 4, 3, 2, 0]
    assert (found[0].low, found[0].high) == (1, 1)
    variance = 1 / (8 * 7) + 1 / (7 * 6) + 1 / (5 * 4)  # Greenwood's, at day 3
    width = 1.6448536 * math.sqrt(variance) / abs(math.log(0.6))
    assert found[3].low == pytest.approx(0.6 ** math.exp(width), rel=1e-5)
    assert found[3].high == pytest.approx(0.6 ** math.exp(-width), rel=1e-5)


def test_its_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        wait, sight = rng.exponential(30, 80), rng.uniform(10, 90, 80)
        waited, ended = np.floor(np.minimum(wait, sight)), (wait <= sight).astype(np.float64)
        (point,) = survival.kaplan_meier(waited, ended, [19])
        held += point.low <= math.exp(-20 / 30) <= point.high
    assert 255 <= held <= 288  # 270 expected; 3.5 standard deviations


def test_all_at_once_and_nobody_leave_no_share_between() -> None:
    everybody = survival.kaplan_meier(np.zeros(5), np.ones(5), [0, 1])
    assert [(point.lasting, point.low, point.high, point.at_risk) for point in everybody] == [(0, 0, 0, 0)] * 2
    nobody = survival.kaplan_meier(np.full(5, 7.0), np.zeros(5), [0, 7])
    assert [(point.lasting, point.at_risk) for point in nobody] == [(1, 5), (1, 0)]


def test_thirds_are_of_those_told_the_lowest_to_the_highest_and_too_few_are_not_shown() -> None:
    told = np.linspace(0, 1, 90)[::-1]
    waited = np.where(told < 1 / 3, 3.0, np.where(told < 2 / 3, 10.0, np.nan))
    low, middle, high = survival.by_third(told, waited, 28)
    assert [third["rows"] for third in (low, middle, high)] == [30, 30, 30]
    assert [point["days"] for point in low["points"]] == [0, 7, 14, 21, 28]
    assert [[point["lasting"] for point in third["points"]] for third in (low, middle, high)] == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1],
    ]
    assert [point["at_risk"] for point in high["points"]] == [30, 30, 30, 30, 0]
    assert survival.by_third(told[:59], waited[:59], 28) == []
