"""Everything a customer's scores are, from what the customer bought: the same whoever computes them.

Jobs compute them for all customers, role `run` for those who have just bought, role `serve` for a customer that is only
thought of.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoring.models import lifetime_value, reasons
from scoring.models.lifetime_value import Choice, Prediction
from scoring.models.reasons import Reasons, Usual
from scoring.models.rfm import Scales, Scored
from scoring.models.summary import Ints

COLUMNS = ("first_day", "last_day", "days", "purchases", "revenue", "repeat_revenue")
"""What is known of each customer: days since 1970 (UTC), days with a purchase, and sums in minor units."""


@dataclass(frozen=True)
class Basis:
    """What customers are scored by. horizon_weeks: how far ahead; discount: annual rate."""

    choice: Choice
    scales: Scales
    usual: Usual
    horizon_weeks: int
    discount: float


@dataclass(frozen=True)
class Card:
    """Scores of some customers, one element a customer."""

    x: Ints
    """Days with a purchase after the first such day."""
    recency_days: Ints
    age_days: Ints
    prediction: Prediction
    classes: Scored
    reasons: Reasons


def scored(of: Mapping[str, Ints], basis: Basis, as_of_day: int) -> Card:
    """The scores of these customers (`COLUMNS`) as of a day; none of them bought first after it."""
    x = of["days"] - 1
    recency, age = of["last_day"] - of["first_day"], as_of_day - of["first_day"]
    purchases, spend = basis.choice.purchases, basis.choice.spend
    seen = lifetime_value.outlook(purchases, x, recency, age, basis.horizon_weeks, basis.discount)
    usual = lifetime_value.usual_discounted(purchases, age, basis.horizon_weeks, basis.discount)
    expected = spend.expected_spend(x, of["repeat_revenue"])
    return Card(
        x,
        recency,
        age,
        lifetime_value.predict(seen, spend, x, of["repeat_revenue"]),
        basis.scales.scored(recency - age, of["days"], of["revenue"]),
        reasons.explain(basis.usual, seen, usual, expected, x, recency, age, of["revenue"]),
    )


def mean_per_day(total: Ints, days: Ints) -> Ints:
    """In integers, halves rounded up; 0 of nothing."""
    return np.where(days > 0, (2 * total + days) // (2 * np.maximum(days, 1)), 0)
