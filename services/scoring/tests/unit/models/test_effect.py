"""What acting on scores brought, against customers held out."""

import numpy as np
import pytest

from scoring.models import effect
from scoring.models.effect import Effect


def test_an_effect_is_told_with_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(7)
    found = effect.measured(rng.poisson(1.5, 5_000), rng.poisson(1.0, 1_000))
    assert isinstance(found, Effect)
    assert found.per_customer.low < 0.5 < found.per_customer.high
    assert found.per_customer.low > 0
    assert found.total.value == pytest.approx(found.per_customer.value * 5_000)
    assert (found.treated, found.held_out) == (5_000, 1_000)


def test_intervals_hold_nothing_ninety_times_in_a_hundred() -> None:
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(300):
        found = effect.measured(rng.poisson(1, 400), rng.poisson(1, 100))
        assert isinstance(found, Effect)
        held += found.per_customer.low <= 0 <= found.per_customer.high
    assert 255 <= held <= 285


def test_without_a_group_it_says_so() -> None:
    assert effect.measured(np.ones(100), np.ones(29)) == "29 customers were held out; an effect needs 30 of each"
