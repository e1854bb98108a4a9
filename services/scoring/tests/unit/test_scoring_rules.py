"""The service's rules, without anything around them."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.domain.buckets import BUCKETS, bucket_of
from scoring.domain.job_limits import problem_of_discount, problem_of_horizon, problem_of_instant
from scoring.domain.percentiles import Ranking
from scoring.domain.purchases import is_purchase, is_refund, main_currency

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_customers_bucket_is_for_good_and_buckets_are_alike() -> None:
    # Files are named by it: another number would part a customer's purchases.
    assert bucket_of("customers/0192f0c1-0000-7000-8000-000000000001") == 11
    counts = [0] * BUCKETS
    for number in range(16_000):
        counts[bucket_of(f"customers/{number}")] += 1
    assert min(counts) > 800


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 1e6))
def test_a_percentile_is_the_share_up_to_a_value(values: list[float], value: float) -> None:
    expected = 100 * sum(one <= value for one in values) / len(values)
    assert Ranking.of(values).percentile(value) == pytest.approx(expected, abs=0.051)
    assert Ranking.of(values).percentile(max(values)) == 100


def test_nobody_has_no_percentile() -> None:
    assert Ranking.of([]).percentile(1) == 0


@pytest.mark.parametrize(
    ("event", "kind", "has_amount", "expected"),
    [
        ("Order Completed", "KIND_TRACK", True, True),
        ("Order Completed", "KIND_TRACK", False, False),
        ("Order Completed", "KIND_PAGE", True, False),
        ("Order Refunded", "KIND_TRACK", True, False),
        ("Order Refunded", "KIND_TRACK", False, False),
        ("Order Refunded", "KIND_PAGE", True, False),
        ("order completed", "KIND_TRACK", True, False),
    ],
)
def test_a_purchase_is_a_completed_order_with_an_amount(
    event: str, kind: str, has_amount: bool, expected: bool
) -> None:
    assert is_purchase(event, kind, has_amount=has_amount) is expected
    refunds = (event, kind, has_amount) == ("Order Refunded", "KIND_TRACK", True)
    assert is_refund(event, kind, has_amount=has_amount) is refunds


def test_the_main_currency_is_that_of_most_purchases_whatever_the_order() -> None:
    counts = list({"USD": 3, "EUR": 5, "CHF": 5}.items())
    for seed in range(5):
        random.Random(seed).shuffle(counts)
        assert main_currency(dict(counts)) == "CHF"


@pytest.mark.parametrize(("weeks", "good"), [(0, False), (1, True), (520, True), (521, False), (-1, False)])
def test_horizons_have_bounds(weeks: int, good: bool) -> None:
    assert (problem_of_horizon(weeks) is None) is good


@pytest.mark.parametrize(("points", "good"), [(-1, False), (0, True), (10_000, True), (10_001, False)])
def test_discounts_have_bounds(points: int, good: bool) -> None:
    assert (problem_of_discount(points) is None) is good


def test_nobody_looks_from_the_future_but_clocks_may_differ() -> None:
    assert problem_of_instant(NOW + timedelta(seconds=4), NOW) is None
    assert problem_of_instant(NOW + timedelta(seconds=6), NOW) is not None
