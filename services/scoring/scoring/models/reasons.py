"""Why a customer is worth what the score says, in words: the three largest contributions.

A value is P(alive) times purchases if alive times spend; its logarithm splits into a sum, each part compared with what
is usual among the tenant's customers: silence (P(alive)), frequency (purchases against those usual at that age; of
one who never came back together with the silence), age, and spend. Parts are ranked by size, whether they raise or
lower the value.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.outlook import Outlook
from scoring.models.summary import DAYS_PER_WEEK, Ints

MOST = 3
_LEAST = 1e-300


@dataclass(frozen=True)
class Usual:
    """What customers are compared with."""

    alive: float
    """Mean P(alive)."""
    discounted: float
    """Discounted purchases, if alive, of one of median age who bought as often as is usual."""
    spend: float
    """Expected value of a purchase over all customers, in minor units."""
    order: float
    """Mean revenue of a purchase day, in minor units."""


@dataclass(frozen=True)
class Reasons:
    """Texts, and for each customer up to three indices into them, the largest contribution first; -1 for none."""

    texts: NDArray[np.str_]
    indices: NDArray[np.int32]


def explain(
    usual: Usual,
    seen: Outlook,
    usual_discounted: Floats,
    expected_spend: Floats,
    x: Ints,
    recency_days: Ints,
    age_days: Ints,
    revenue: Ints,
) -> Reasons:
    """Reasons of each customer; `usual_discounted` is what is usual at the customer's age."""
    parts = np.stack(
        [
            # That one never came back is told once, by the frequency.
            np.where(x > 0, _size(seen.alive, usual.alive), -1.0),
            np.where(
                x > 0,
                _size(seen.discounted_if_alive, usual_discounted),
                _size(seen.discounted, usual.alive * usual_discounted),
            ),
            _size(usual_discounted, usual.discounted),
            _size(expected_spend, usual.spend),
        ]
    )
    # Rounded, so that parts equal but for the last bit rank alike everywhere; the order of parts breaks ties.
    ranked = np.argsort(-np.round(parts, 6), axis=0, kind="stable")[:MOST]
    kinds = (
        _silence(x, recency_days, age_days),
        _frequency(x, recency_days, age_days),
        _age(age_days),
        _spend(x, revenue, usual.order),
    )
    texts: list[str] = []
    codes = np.empty(parts.shape, dtype=np.int32)
    for row, (vocabulary, inverse) in enumerate(kinds):
        codes[row] = inverse + len(texts)
        texts += vocabulary
    codes[parts < 0] = -1
    return Reasons(np.array(texts, dtype=np.str_), np.take_along_axis(codes, ranked, axis=0).T)


def _size(value: Floats, usual: Floats | float) -> Floats:
    size: Floats = np.abs(np.log(np.maximum(value, _LEAST)) - np.log(np.maximum(usual, _LEAST)))
    return size


Texts = tuple[list[str], NDArray[np.int64]]
"""Distinct texts, and which of them each customer has."""


def _silence(x: Ints, recency_days: Ints, age_days: Ints) -> Texts:
    weeks = _weeks(age_days - recency_days)
    gap = np.maximum(_weeks(recency_days // np.maximum(x, 1)), 1)
    pairs, inverse = np.unique((weeks << 32) | gap, return_inverse=True)
    texts = [
        f"last bought {_ago(pair >> 32)} while usually every {_every(pair & 0xFFFFFFFF)}" for pair in pairs.tolist()
    ]
    return texts, inverse


def _frequency(x: Ints, recency_days: Ints, age_days: Ints) -> Texts:
    del recency_days
    pairs, inverse = np.unique(((x + 1) << 32) | _weeks(age_days), return_inverse=True)
    texts = [
        f"bought {pair >> 32} times in {_count(max(pair & 0xFFFFFFFF, 1))}"
        if pair >> 32 > 1
        else f"bought only once, {_ago(pair & 0xFFFFFFFF)}"
        for pair in pairs.tolist()
    ]
    return texts, inverse


def _age(age_days: Ints) -> Texts:
    weeks, inverse = np.unique(_weeks(age_days), return_inverse=True)
    return [f"first bought {_ago(week)}" for week in weeks.tolist()], inverse


def _spend(x: Ints, revenue: Ints, order: float) -> Texts:
    tenths = np.rint(10 * revenue / ((x + 1) * max(order, _LEAST))).clip(0, 1_000_000).astype(np.int64)
    values, inverse = np.unique(tenths, return_inverse=True)
    texts = [
        "spends as much as the average order" if value == 10 else f"spends {value / 10:.1f} times the average order"
        for value in values.tolist()
    ]
    return texts, inverse


def _weeks(days: Ints) -> Ints:
    """Whole weeks, halves rounded up."""
    return (2 * days + DAYS_PER_WEEK) // (2 * DAYS_PER_WEEK)


def _count(weeks: int) -> str:
    return "1 week" if weeks == 1 else f"{weeks} weeks"


def _every(weeks: int) -> str:
    return "week" if weeks == 1 else f"{weeks} weeks"


def _ago(weeks: int) -> str:
    return "this week" if weeks == 0 else f"{_count(weeks)} ago"
