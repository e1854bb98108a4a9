"""Stability index: quiet when nothing moved, in small shops too; loud when something did."""

from dataclasses import asdict

import numpy as np
import pytest

from scoring.models import drift
from scoring.models.drift import Histogram


def moved(old: np.ndarray, new: np.ndarray) -> drift.Drift:
    ones = [np.ones(len(values), dtype=np.int64) for values in (old, new)]
    histogram = Histogram.of(old, ones[0])
    return drift.between(histogram, histogram.counted(new, ones[1]))


@pytest.mark.parametrize("customers", [60, 1_000, 50_000])
def test_the_same_customers_have_not_drifted(customers: int) -> None:
    rng = np.random.default_rng(3)
    found = moved(rng.gamma(2, 3, customers), rng.gamma(2, 3, customers))
    assert found.low < 0.2
    assert found.psi < 0.1 + 5 / customers
    assert found.low <= found.psi <= found.high


def test_customers_who_are_others_have() -> None:
    rng = np.random.default_rng(3)
    found = moved(rng.normal(0, 1, 2_000), rng.normal(1, 1, 2_000))
    assert found.psi == pytest.approx(0.94, abs=0.15)  # of two normals a deviation apart, in tenths of the first
    assert 0.7 < found.low < found.psi < found.high < 1.3


def test_the_interval_narrows_with_the_customers() -> None:
    rng = np.random.default_rng(5)
    widths = []
    for customers in (300, 30_000):
        found = moved(rng.normal(0, 1, customers), rng.normal(0.5, 1, customers))
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 5


def test_equal_values_share_a_bin_and_nothing_is_no_drift() -> None:
    values = np.array([0] * 95 + [1, 2, 3, 4, 5])
    histogram = Histogram.of(values, np.ones(100, dtype=np.int64))
    assert histogram.counts == (0, 95, 5)
    assert Histogram.of(np.zeros(5), np.ones(5, dtype=np.int64)).counts == (0, 5, 0)
    assert Histogram.of(np.zeros(0), np.zeros(0, dtype=np.int64)).counts == (0,)
    assert drift.between(Histogram((), (0,)), Histogram((), (5,))) == drift.Drift(0.0, 0.0, 0.0)


@pytest.mark.parametrize(("before", "now"), [(0.0, 1.0), (0.05, 0.6), (0.95, 0.4)])
def test_what_was_nearly_always_the_same_drifts_when_it_is_not_any_more(before: float, now: float) -> None:
    rng = np.random.default_rng(3)
    old, alike, new = (np.where(rng.random(500) < share, 7.0, 0.0) for share in (before, before, now))
    assert moved(old, alike).low < 0.05
    assert moved(old, new).low > 0.2
    assert moved(old, -new).low > 0.2


def test_weights_count_as_that_many_customers() -> None:
    values, counts = np.array([1.0, 2.0, 3.0]), np.array([5, 2, 3])
    assert Histogram.of(values, counts) == Histogram.of(np.repeat(values, counts), np.ones(10, dtype=np.int64))


def test_who_has_no_value_is_not_taken_for_zero() -> None:
    """As many zeros as before, but in the place of a fifth nobody knows the value any more."""
    rng = np.random.default_rng(7)
    old = np.where(rng.random(1_000) < 0.3, 0.0, rng.gamma(2, 3, 1_000))
    new = old.copy()
    new[(new == 0) & (rng.random(1_000) < 0.7)] = np.nan
    histogram = Histogram.of(old, np.ones(1_000, dtype=np.int64))
    counted = histogram.counted(new, np.ones(1_000, dtype=np.int64))
    assert (histogram.missing, counted.missing) == (0, int(np.isnan(new).sum()))
    assert sum(counted.counts) + counted.missing == 1_000
    assert drift.between(histogram, counted).low > 0.2
    assert drift.between(counted, counted).psi == 0.0
    assert Histogram.load(asdict(counted)) == counted
    assert Histogram.of(np.array([np.nan] * 3), np.ones(3, dtype=np.int64)).missing == 3


@pytest.mark.parametrize("customers", [25, 100, 2_000])
def test_texts_that_come_as_often_have_not_drifted_and_others_have(customers: int) -> None:
    rng = np.random.default_rng(9)
    texts = [f"country {place}" for place in range(15)]
    share = 1 / np.arange(1, 16)
    old = rng.choice(15, 1_000, p=share / share.sum())
    histogram = Histogram.of_texts(old, texts)
    assert len(histogram.levels) == 9
    assert sum(histogram.counts) == 1_000
    alike = histogram.counted_texts(rng.choice(15, customers, p=share / share.sum()), texts)
    assert drift.between(histogram, alike).low < 0.2
    # Other codes mean the same texts; new texts are among the rest, -1 is missing.
    turned = [*texts[::-1], "elsewhere"]
    assert histogram.counted_texts(14 - old, turned) == histogram
    new = np.where(rng.random(customers) < 0.5, 15, 14)
    moved = histogram.counted_texts(new, turned)
    assert moved.counts[0] + moved.counts[-1] == customers
    assert drift.between(histogram, moved).low > 0.2
    assert drift.between(histogram, histogram.counted_texts(np.full(customers, -1), texts)).low > 0.2
