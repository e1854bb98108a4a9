"""Why a customer is worth what the score says, in words: the three largest contributions, with direction and size.

A value is P(alive) times purchases if alive times spend; its logarithm splits into a sum, each part compared with what
is usual among the tenant's customers: silence (P(alive)), frequency (purchases against those usual at that age; of
one who never came back together with the silence), age, and spend. Parts are ranked by size, whether they raise or
lower the value. By how much each does is told as a share of the value that one has who is as usual in it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.outlook import Outlook
from scoring.models.summary import DAYS_PER_WEEK, Ints

MOST = 3
_LEAST = 1e-300
_HARDLY, _SEVERAL, _MOST_TIMES = 10, 20, 10
_EFFECTS = {
    0: "lowers the value by more than 95 %",
    **{_HARDLY - tenth: f"lowers the value by about {10 * tenth} %" for tenth in range(1, 10)},
    _HARDLY: "hardly changes the value",
    **{_HARDLY + tenth: f"raises the value by about {10 * tenth} %" for tenth in range(1, 10)},
    **{_SEVERAL + times: f"raises the value to about {times} times" for times in range(2, _MOST_TIMES)},
    _SEVERAL + _MOST_TIMES: f"raises the value to more than {_MOST_TIMES - 1} times",
}
"""By level, from the greatest loss to the greatest gain."""
_LEVELS = 32


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
    silence, frequency = _ratio(seen.alive, usual.alive), _ratio(seen.discounted_if_alive, usual_discounted)
    # That one never came back is told once, by the frequency.
    back = x > 0
    parts = np.stack(
        [
            np.where(back, silence, 0.0),
            np.where(back, frequency, silence + frequency).round(6),
            _ratio(usual_discounted, usual.discounted),
            _ratio(expected_spend, usual.spend),
        ]
    )
    sizes = np.abs(parts)
    sizes[0, ~back] = -1.0
    # Parts equal but for the last bit rank alike everywhere, for they are rounded; the order of parts breaks ties.
    ranked = np.argsort(-sizes, axis=0, kind="stable")[:MOST]
    kinds = (
        _silence(x, recency_days, age_days),
        _frequency(x, recency_days, age_days),
        _age(age_days),
        _spend(x, revenue, usual.order),
    )
    texts: list[str] = []
    codes = np.empty(parts.shape, dtype=np.int32)
    for row, kind in enumerate(kinds):
        vocabulary, inverse = _with_effects(kind, parts[row])
        codes[row] = inverse + len(texts)
        texts += vocabulary
    codes[sizes < 0] = -1
    return Reasons(np.array(texts, dtype=np.str_), np.take_along_axis(codes, ranked, axis=0).T)


def _ratio(value: Floats, usual: Floats | float) -> Floats:
    """The logarithm of what a part does to the value, to 6 decimals."""
    ratio: Floats = np.round(np.log(np.maximum(value, _LEAST)) - np.log(np.maximum(usual, _LEAST)), 6)
    return ratio


Texts = tuple[list[str], NDArray[np.int64]]
"""Distinct texts, and which of them each customer has."""


def _with_effects(kind: Texts, ratios: Floats) -> Texts:
    """The texts with what it does to the value."""
    texts, inverse = kind
    factor = np.exp(np.clip(ratios, -50.0, 50.0))
    lowers, raises = np.rint(10 * (1 - factor)), np.rint(10 * (factor - 1))
    several = _SEVERAL + np.minimum(np.rint(factor), _MOST_TIMES)
    level = np.where(factor < 1, _HARDLY - lowers, np.where(raises < _HARDLY, _HARDLY + raises, several))
    keys = inverse * _LEVELS + level.astype(np.int64)
    # There are few texts: to count them is faster than to sort.
    there = np.bincount(keys, minlength=len(texts) * _LEVELS) > 0
    found = np.flatnonzero(there)
    told = [f"{texts[key // _LEVELS]}: {_EFFECTS[key % _LEVELS]}" for key in found.tolist()]
    return told, (np.cumsum(there) - 1)[keys]


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
