"""Everything a customer's scores are, from what the customer bought: the same whoever computes them.

Jobs compute them for all customers, role `run` for those who have just bought, role `serve` for a customer that is only
thought of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.models import lifetime_value, reasons
from scoring.models.lifetime_value import Choice, Prediction
from scoring.models.reasons import Reasons, Usual
from scoring.models.rfm import SEGMENT_NAMES, Bounds, Scales, Scored
from scoring.models.summary import DAYS_PER_WEEK, Ints

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


def columns(of: Mapping[str, Ints], card: Card) -> dict[str, Any]:
    """All numbers a file of scores has of each customer (`jobs.scores.SCHEMA`)."""
    found = card.prediction
    return {
        "recency_weeks": np.round(card.recency_days / DAYS_PER_WEEK, 6),
        "frequency": card.x,
        "age_weeks": np.round(card.age_days / DAYS_PER_WEEK, 6),
        "monetary_minor": _mean(of["repeat_revenue"], card.x),
        "repeat_revenue_minor": of["repeat_revenue"],
        "purchases": of["purchases"],
        "revenue_minor": of["revenue"],
        "p_alive": found.p_alive,
        "p_alive_low": found.p_alive_low,
        "p_alive_high": found.p_alive_high,
        "expected_purchases": found.expected_purchases,
        "expected_purchases_low": found.expected_purchases_low,
        "expected_purchases_high": found.expected_purchases_high,
        "lifetime_value_minor": found.value_minor,
        "lifetime_value_minor_low": found.value_low_minor,
        "lifetime_value_minor_high": found.value_high_minor,
    }


def rows(customers: Sequence[str], of: Mapping[str, Ints], basis: Basis, as_of_day: int) -> list[dict[str, Any]]:
    """What a file of scores has of these customers, row by row."""
    card = scored(of, basis, as_of_day)
    classes, why = card.classes, card.reasons
    found = {name: values.tolist() for name, values in columns(of, card).items()}
    found |= {name: getattr(classes, name).tolist() for name in ("r", "f", "m")}
    found["customer"] = customers
    found["rfm_segment"] = [SEGMENT_NAMES[place] for place in classes.segment.tolist()]
    found["reasons"] = [[str(why.texts[place]) for place in each if place >= 0] for each in why.indices.tolist()]
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def restored(choice: Choice, scales: Mapping[str, Any]) -> Basis:
    """What scored once, from its models and `jobs.fit.Fitted.scales`."""
    recency, frequency, monetary = (Bounds(tuple(scales[name])) for name in ("recency", "frequency", "monetary"))
    return Basis(
        choice,
        Scales(recency, frequency, monetary),
        Usual(**scales["usual"]),
        scales["horizon_weeks"],
        scales["discount"],
    )


def _mean(total: Ints, days: Ints) -> Ints:
    """In integers, halves rounded up; 0 of nothing."""
    return np.where(days > 0, (2 * total + days) // (2 * np.maximum(days, 1)), 0)
