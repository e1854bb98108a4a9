from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, hypergeom

from scoring.models.baskets import Baskets, derive, evaluate, frequent
from scoring.models.baskets.significance import false_discovery, fisher, leverage, share


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int, int]:
    total = draw(st.integers(1, 3000))
    left, right = draw(st.integers(0, total)), draw(st.integers(0, total))
    return draw(st.integers(max(left + right - total, 0), min(left, right))), left, right, total


@settings(max_examples=60, deadline=None)
@given(st.lists(tables(), min_size=1, max_size=12))
def test_fisher_is_the_tail_of_the_hypergeometric_distribution(found: list[tuple[int, int, int, int]]) -> None:
    both, left, right, total = np.array(found).T
    expected = hypergeom.sf(both - 1, total, right, left)
    np.testing.assert_allclose(fisher(both, left, right, total), expected, rtol=1e-8, atol=1e-12)


def test_fisher_keeps_its_digits_far_out() -> None:
    # One in a thousand buys each; 100 do both: by exact integers.
    from math import comb

    exact = sum(Fraction(comb(1000, k) * comb(99_000, 1000 - k), comb(100_000, 1000)) for k in range(100, 180))
    p = fisher(*(np.array([value]) for value in (100, 1000, 1000, 100_000)))
    assert p[0] == pytest.approx(float(exact), rel=1e-8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 40))
def test_false_discovery_is_that_of_untold_tests_found_never(p: list[float], untold: int) -> None:
    expected = false_discovery_control([*p, *[1.0] * untold])[: len(p)]
    np.testing.assert_allclose(false_discovery(np.array(p), len(p) + untold), expected, rtol=1e-12, atol=0)


def test_more_values_than_tests_are_refused() -> None:
    with pytest.raises(ValueError, match="tested: 1 tests, but there are 2"):
        false_discovery(np.array([0.1, 0.2]), 1)


def independent(seed: int, baskets: int = 1500, items: int = 40, share_each: float = 0.06) -> Baskets:
    held = np.random.default_rng(seed).random((baskets, items)) < share_each
    basket, item = np.nonzero(held)
    return Baskets.of(basket, item, [f"i{number:02}" for number in range(items)], baskets)


def test_chance_alone_makes_rules_but_none_that_are_significant() -> None:
    found = [
        derive(frequent(independent(seed), 8, 3), np.arange(40).astype(str), Fraction("0.1")) for seed in range(20)
    ]
    assert min(len(rules) for rules in found) > 20
    # At a rate of 5 %, about one of the twenty may have any.
    assert sum(len(rules.significant()) > 0 for rules in found) <= 2


def test_testing_only_what_reached_its_support_would_find_chance() -> None:
    baskets = independent(1, items=200, share_each=0.03)
    rules = derive(frequent(baskets, 6, 2), baskets.names, Fraction(0))
    assert rules.tested == 200 * 199
    assert (false_discovery(rules.p_value, len(rules)) <= 0.05).any()
    assert not (rules.q_value <= 0.05).any()


def test_what_goes_together_is_found_and_an_item_that_adds_nothing_is_told() -> None:
    rng = np.random.default_rng(5)
    held = rng.random((3000, 6)) < 0.3
    held[:, 1] |= held[:, 0] & (rng.random(3000) < 0.5)
    basket, item = np.nonzero(held)
    rules = derive(frequent(Baskets.of(basket, item, list("abcdef")), 30), np.array(list("abcdef")), Fraction(0))
    significant, productive = (
        {one.words(at).split(":")[0] for at in range(len(one))} for one in (rules.significant(), rules.productive())
    )
    assert "who buys a also buys b" in productive
    assert "who buys a and c also buys b" in significant - productive
    assert productive < significant
    assert len(rules.significant().where(slice(0, 1))) == 1
    assert rules.significant().tested == rules.tested


def test_significant_rules_hold_in_other_baskets() -> None:
    rng = np.random.default_rng(8)
    held = rng.random((4000, 12)) < 0.2
    held[:, 1] |= held[:, 0] & (rng.random(4000) < 0.4)
    halves = [Baskets.of(*np.nonzero(half), list("abcdefghijkl")) for half in (held[:2000], held[2000:])]
    rules = derive(frequent(halves[0], 10, 2), halves[0].names, Fraction(0)).significant()
    assert len(rules) == 2
    seen = evaluate(rules, halves[1])
    assert seen.holding == 1
    assert seen.kept == pytest.approx(1, abs=0.15)


def test_the_interval_of_leverage_holds_what_is_true_in_19_of_20() -> None:
    # P(a) = .2, P(b | a) = .4, P(b | not a) = .1: leverage .2 * .4 - .2 * .16 = .048.
    draws = np.random.default_rng(2).multinomial(2000, [0.08, 0.12, 0.08, 0.72], 4000)
    both, left, right = draws[:, 0], draws[:, 0] + draws[:, 1], draws[:, 0] + draws[:, 2]
    value, low, high = leverage(both, left, right, 2000)
    assert value.mean() == pytest.approx(0.048, abs=0.0005)
    assert ((low <= 0.048) & (high >= 0.048)).mean() == pytest.approx(0.95, abs=0.012)


def test_the_interval_of_a_share_stays_within_0_and_1() -> None:
    low, high = share(np.array([0, 5, 10]), np.array([10, 10, 10]))
    assert low[0] == 0
    assert high[2] == 1
    assert (low[1], high[1]) == pytest.approx((0.2366, 0.7634), abs=1e-4)
