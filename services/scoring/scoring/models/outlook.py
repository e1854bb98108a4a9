"""What a model of purchases expects of each customer, with how sure it is."""

from dataclasses import dataclass

import numpy as np

from scoring.models.fitting import Floats, Z

WEEKS_PER_YEAR = 365.25 / 7


@dataclass(frozen=True)
class Outlook:
    """Expectations over a horizon, one element a customer.

    Intervals here and in `Prediction` tell how well the data determine an *expectation* (the uncertainty of the
    parameters by the delta method). What one customer then really buys varies far more.
    """

    alive: Floats
    alive_low: Floats
    alive_high: Floats
    purchases: Floats
    """Expected within the horizon."""
    purchases_deviation: Floats
    """Standard error of their logarithm."""
    discounted: Floats
    """The same, each week's purchases discounted to today."""
    discounted_deviation: Floats
    discounted_if_alive: Floats


def discount_factors(weeks: int, annual: float) -> Floats:
    """What one unit of money at the end of week 1, 2, ... is worth today: (1 + annual)^(-week / 52.18)."""
    return (1.0 + annual) ** (-np.arange(1, weeks + 1) / WEEKS_PER_YEAR)


def around(value: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """Interval of a positive quantity from the standard error of its logarithm."""
    spread = np.exp(np.minimum(Z * deviation, 50.0))
    return value / spread, value * spread
