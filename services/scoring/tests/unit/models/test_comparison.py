"""Models side by side: differences with intervals that hold, tenths that add up."""

import numpy as np
import pytest

from scoring.jobs.holdout import holdout_figures
from scoring.models import comparison
from scoring.models.comparison import Rows
from scoring.models.summary import grouped


def rows(customers: int, seed: int = 1) -> tuple[Rows, np.ndarray]:
    """Customers of known rates, all different, and the rates."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.7, 1.0, customers)
    x, later = rng.poisson(rate * 2), rng.poisson(rate)
    (x, recency, age, later), counts = grouped(x, x * 7, np.arange(customers) % 97, later)
    return Rows(x, recency, age, later, counts, 13.0), (x + 0.7) / 3.0


def test_a_better_model_is_told_from_a_worse_one_and_an_equal_one_from_neither() -> None:
    found, best = rows(2_000)
    flat = np.full(len(best), float(found.counts @ found.later) / found.customers)
    better = comparison.relative_loss(found, best, flat)
    assert better.low < better.value < better.high < 0
    worse = comparison.relative_loss(found, flat, best)
    assert 0 < worse.low < worse.value < worse.high
    assert worse.value == pytest.approx(1 / (1 + better.value) - 1, rel=1e-5)
    same = comparison.relative_loss(found, best, best)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_ninety_percent_intervals_hold_the_truth_about_as_often() -> None:
    held = 0
    for seed in range(60):
        found, best = rows(400, seed)
        held += (share := comparison.error_share(found, best)).low <= _TRUTH <= share.high
    assert held >= 47  # 54 expected; fewer than 47 in one of 70 runs of a true 90 percent


def _expected_share() -> float:
    found, best = rows(200_000, 99)
    return comparison.error_share(found, best).value


_TRUTH = _expected_share()


def test_lots_of_many_customers_tell_what_single_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    found, best = rows(6_000)
    lots = comparison.error_share(found, best)
    monkeypatch.setattr(comparison, "_LOTS", 10_000)
    single = comparison.error_share(found, best)
    assert lots.value == pytest.approx(single.value, rel=1e-9)
    assert lots.high - lots.low == pytest.approx(single.high - single.low, rel=0.12)


def test_tenths_add_up_to_everybody_and_ascend() -> None:
    found, best = rows(1_003)
    tenths = comparison.tenths(found, best)
    assert sum(tenth.customers for tenth in tenths) == found.customers
    assert sum(tenth.actual * tenth.customers for tenth in tenths) == pytest.approx(found.purchases, rel=1e-5)
    assert [tenth.expected for tenth in tenths] == sorted(tenth.expected for tenth in tenths)
    assert len(tenths) <= comparison.TENTHS


def test_a_true_model_is_off_by_about_chance_and_a_false_one_by_more() -> None:
    found, best = rows(3_000)
    off, chance = comparison.miscalibration(found, best)
    assert off < 3 * chance < 0.2
    doubled, same_chance = comparison.miscalibration(found, 2 * best)
    assert doubled == pytest.approx(1, abs=0.1)
    assert same_chance == pytest.approx(chance)


def test_customers_who_are_alike_are_in_one_tenth_whatever_followed() -> None:
    later = np.random.default_rng(3).poisson(0.2, 2_000)
    none = np.zeros(2_000, dtype=np.int64)
    (x, recency, age, later), counts = grouped(none, none, none + 100, later)
    found = Rows(x, recency, age, later, counts, 13.0)
    told = np.full(len(x), 0.2)
    (tenth,) = comparison.tenths(found, told)
    assert tenth.customers == 2_000
    assert tenth.actual == pytest.approx(0.2, abs=0.03)
    off, chance = comparison.miscalibration(found, told)
    assert off < 3 * chance < 0.3


def test_nobody_buying_any_more_is_the_worst_there_is() -> None:
    found, best = rows(500)
    silent = Rows(found.x, found.recency, found.age, np.zeros_like(found.later), found.counts, 13.0)
    assert comparison.error_share(silent, best).low > 1_000


def test_deciles_of_the_last_purchases_are_not_sorted_by_these() -> None:
    later = np.random.default_rng(3).poisson(0.2, 2_000)
    told = np.where(np.arange(2_000) % 4, 0.2, 0.3)
    figures = holdout_figures(told, later, np.ones(2_000, dtype=np.int64))
    assert [decile["expected"] for decile in figures["deciles"]] == [0.2, 0.3]
    assert [decile["actual"] for decile in figures["deciles"]] == pytest.approx([0.2, 0.2], abs=0.03)
