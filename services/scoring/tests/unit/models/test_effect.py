"""What acting on customers brought, against customers held out."""

import numpy as np
import pytest
from scipy.stats import norm

from scoring.models import effect
from scoring.models.effect import Sample


def bought(n: int, rate: float, rng: np.random.Generator) -> Sample:
    hits = int(rng.binomial(n, rate))
    return Sample(n, hits, hits)


def test_an_effect_is_told_with_intervals_and_a_p_value() -> None:
    # By hand: 12 % of 4,000 against 8 % of 1,000.
    found = effect.of_shares([(Sample(4_000, 480, 480), Sample(1_000, 80, 80))])
    error = (481 / 4_002 * 3_521 / 4_002 / 4_002 + 81 / 1_002 * 921 / 1_002 / 1_002) ** 0.5
    assert found.value == pytest.approx(0.04)
    assert (found.low_90, found.high_90) == pytest.approx((0.04 - 1.644854 * error, 0.04 + 1.644854 * error))
    assert (found.low_95, found.high_95) == pytest.approx((0.04 - 1.959964 * error, 0.04 + 1.959964 * error))
    assert found.p_value == pytest.approx(2 * norm.sf(0.04 / error))


def test_the_error_of_means_is_welchs_or_the_pooled_one_where_that_is_larger() -> None:
    rng = np.random.default_rng(7)
    many, few = rng.exponential(50, 5_000), rng.exponential(40, 1_000)
    found = effect.of_means([(Sample.of(many), Sample.of(few))])
    pooled = (4_999 * many.var(ddof=1) + 999 * few.var(ddof=1)) / 5_998
    assert found.value == pytest.approx(many.mean() - few.mean())
    assert found.high_95 - found.low_95 == pytest.approx(2 * 1.959964 * np.sqrt(pooled * (1 / 5_000 + 1 / 1_000)))
    found = effect.of_means([(Sample.of(many), Sample.of(few * 2))])
    error = np.sqrt(many.var(ddof=1) / 5_000 + 4 * few.var(ddof=1) / 1_000)
    assert found.high_95 - found.low_95 == pytest.approx(2 * 1.959964 * error)


def test_a_small_group_without_large_sums_is_no_effect() -> None:
    rng = np.random.default_rng(8)
    ninety = small = 0
    for _ in range(400):
        many, few = (rng.lognormal(0, 1.3, size) * (rng.random(size) < 0.1) for size in (900, 100))
        found = effect.of_means([(Sample.of(many), Sample.of(few))])
        ninety += found.low_90 <= 0 <= found.high_90
        small += found.p_value < 0.05
    assert ninety >= 348  # 360 expected of a true 90 percent, 320 of Welch's here
    assert small <= 28


def test_intervals_hold_nothing_as_often_as_they_say() -> None:
    rng = np.random.default_rng(8)
    ninety = fives = small = 0
    for _ in range(1_000):
        found = effect.of_shares([(bought(400, 0.1, rng), bought(100, 0.1, rng))])
        ninety += found.low_90 <= 0 <= found.high_90
        fives += found.low_95 <= 0 <= found.high_95
        small += found.p_value < 0.05
    assert 870 <= ninety <= 940
    assert 930 <= fives <= 980
    assert 20 <= small <= 70


def test_another_share_held_out_is_no_effect() -> None:
    # Nothing is moved: at first few bought and few were held out, then many bought and half were held out.
    strata = [(Sample(900, 90, 90), Sample(100, 10, 10)), (Sample(500, 250, 250), Sample(500, 250, 250))]
    assert effect.of_shares(strata).value == pytest.approx(0.0)
    together = effect.of_shares([(Sample(1_400, 340, 340), Sample(600, 260, 260))])
    assert together.p_value < 1e-6, "all in one it would look like one"


def test_nobody_who_did_it_has_an_error_too() -> None:
    found = effect.of_shares([(Sample(100, 20, 20), Sample(100, 0, 0))])
    assert found.high_90 - found.value > 0.065
    assert effect.of_means([(Sample(100, 0, 0), Sample(100, 0, 0))]).p_value == 1.0


def test_groups_that_chance_did_not_draw_are_noticed() -> None:
    assert effect.drawn_p([(8_000, 2_000, 0.2), (500, 500, 0.5)]) == 1.0
    assert effect.drawn_p([(8_050, 1_950, 0.2)]) > 0.1
    assert effect.drawn_p([(8_200, 1_800, 0.2)]) < 1e-6
    assert effect.drawn_p([]) == 1.0
