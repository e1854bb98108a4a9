"""Association rules (Agrawal and Srikant 1994, VLDB): who buys these also buys that, by exact counts.

A rule has one item on its right. It is kept when its confidence, both / left, reaches the least one: compared as
integers, so that a rule that just reaches it is not lost to rounding.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scoring.models.baskets.encoding import Baskets
from scoring.models.baskets.itemsets import LONGEST, MOST_ITEMSETS, Itemsets, frequent, least_count
from scoring.models.baskets.significance import false_discovery, fisher, leverage, share
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

LEAST_BASKETS = 5
"""A rule seen in fewer baskets is an anecdote: least counts below are raised to this by `fit`."""


@dataclass(frozen=True)
class Rules:
    """One element a rule, in order of the left side's length, then of the codes of both sides."""

    names: NDArray[np.str_]
    """Id of each item by code."""
    baskets: int
    left: Ints
    """Codes of the items on the left, ascending, -1 where there is none: shape (rules, longest left side)."""
    right: Ints
    both: Ints
    """Baskets with all items of both sides."""
    left_count: Ints
    """Baskets with all items of the left side."""
    right_count: Ints
    confidence_without: Floats
    """The best confidence of the rule with one item of the left side less; with none left, the share of all."""
    p_value: Floats
    """Fisher's exact test: the chance of so many common baskets if both sides had nothing to do with each other."""
    p_added: Floats
    """The same for each item of the left side, among baskets with the rest of it; the largest (Webb 2007, ML 68:1)."""
    tested: int
    """How many rules could have come out: each frequent left side with each frequent item beside it."""

    def __len__(self) -> int:
        return len(self.right)

    @property
    def confidence(self) -> Floats:
        """Share of the baskets with the left side that hold the right side, too."""
        return self.both / self.left_count

    @property
    def confidence_interval(self) -> tuple[Floats, Floats]:
        """Interval of 95 % of the confidence (Wilson)."""
        return share(self.both, self.left_count)

    @property
    def lift(self) -> Floats:
        """How many times as many common baskets as by chance."""
        return self.both * self.baskets / (self.left_count * self.right_count)

    @property
    def leverage(self) -> tuple[Floats, Floats, Floats]:
        """Share of baskets beyond chance, and its interval of 95 %."""
        return leverage(self.both, self.left_count, self.right_count, self.baskets)

    @property
    def q_value(self) -> Floats:
        """False discovery rate at which the rule counts as found, over all `tested` ones (not only those kept)."""
        return false_discovery(self.p_value, self.tested)

    @property
    def q_added(self) -> Floats:
        """The same of `p_added`."""
        return false_discovery(self.p_added, self.tested)

    def where(self, chosen: NDArray[np.bool_] | Ints) -> Self:
        """The chosen rules. How many were tested stays: choosing afterwards does not make chance finds rarer."""
        columns = ("left", "right", "both", "left_count", "right_count", "confidence_without", "p_value", "p_added")
        return replace(self, **{name: getattr(self, name)[chosen] for name in columns})

    def significant(self, rate: float = 0.05) -> Self:
        """Rules whose sides go together by more than chance; at most this share of them are false finds."""
        return self.where(self.q_value <= rate)

    def productive(self, rate: float = 0.05) -> Self:
        """Significant rules of which no item on the left can be left out: each of them adds more than chance does."""
        return self.where((self.q_value <= rate) & (self.q_added <= rate))

    def strongest(self, most: int) -> Self:
        """The rules with the most common baskets beyond chance, ties in the order of the rules; exact in integers."""
        surplus = self.both * self.baskets - self.left_count * self.right_count
        return self.where(np.argsort(-surplus, kind="stable")[:most])

    def words(self, rule: int, titles: NDArray[np.str_] | None = None) -> str:
        """The rule as a sentence; `titles` are what items are called, by code, instead of their ids."""
        called = self.names if titles is None else titles
        left = [str(called[code]) for code in self.left[rule] if code >= 0]
        both, right, of = int(self.both[rule]), int(self.right_count[rule]), int(self.left_count[rule])
        return (
            f"who buys {listed(left)} also buys {called[self.right[rule]]}: {percent(both, of)} against "
            f"{percent(right, self.baskets)} of all, {both:,} {'basket' if both == 1 else 'baskets'}"
        )


def listed(names: list[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def percent(part: int, whole: int) -> str:
    """A share in whole percent, halves rounded up; below 10 % in tenths; what is not nothing is never told as 0 %."""
    if 10 * part >= whole:
        return f"{(200 * part + whole) // (2 * whole)} %"
    tenths = (2000 * part + whole) // (2 * whole)
    return "under 0.1 %" if part and not tenths else f"{tenths / 10:g} %"


def fit(
    baskets: Baskets,
    support: Fraction,
    confidence: Fraction,
    longest: int = LONGEST,
    most: int = MOST_ITEMSETS,
) -> tuple[Rules, tuple[str, ...]]:
    """Rules over baskets, and messages about what stands in the way of more.

    support: least share of baskets with all items of a rule, a number of baskets by `least_count` and at least
    LEAST_BASKETS. confidence: least share. longest: items of both sides. Raises TooManyItemsets.
    """
    least = max(least_count(support, len(baskets)), LEAST_BASKETS)
    rules = derive(frequent(baskets, least, longest, most), baskets.names, confidence)
    if len(baskets) < 2 * LEAST_BASKETS:
        return rules, (f"{len(baskets)} baskets are too few for rules; {2 * LEAST_BASKETS} are the least",)
    if len(rules) == 0:
        return rules, (f"no items are together in {least} baskets as often as asked for: lower support or confidence",)
    return rules, ()


def derive(itemsets: Itemsets, names: NDArray[np.str_], confidence: Fraction) -> Rules:
    """All rules of the itemsets that reach the confidence. Raises ValueError when it is no share."""
    if not 0 <= confidence <= 1:
        raise ValueError(f"confidence: {confidence} is no share; give one from 0 to 1")
    width = max(len(itemsets.levels) - 1, 1)
    parts = [_of_level(itemsets, length, confidence, width) for length in range(2, len(itemsets.levels) + 1)] or [
        _none(width)
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    singles = len(itemsets.levels[0]) if itemsets.levels else 0
    tested = sum(
        len(level) * (singles - length) for length, level in enumerate(itemsets.levels, 1) if length < itemsets.longest
    )
    return Rules(names=names, baskets=itemsets.baskets, tested=tested, **columns)


def _none(width: int) -> dict[str, NDArray[np.generic]]:
    ints, floats = np.zeros(0, dtype=np.int64), np.zeros(0)
    return {
        "left": np.zeros((0, width), dtype=np.int64),
        **dict.fromkeys(("right", "both", "left_count", "right_count"), ints),
        **dict.fromkeys(("confidence_without", "p_value", "p_added"), floats),
    }


def _of_level(itemsets: Itemsets, length: int, confidence: Fraction, width: int) -> dict[str, NDArray[np.generic]]:
    """The rules of all sets of this length, in order."""
    level, counts = itemsets.levels[length - 1], itemsets.counts[length - 1]
    found = []
    for place in range(length):
        left = np.delete(level, place, axis=1)
        left_count = _counts(itemsets, left)
        kept = counts * confidence.denominator >= left_count * confidence.numerator
        found.append((left[kept], level[kept, place], counts[kept], left_count[kept]))
    left, right, both, left_count = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((right, *left.T[::-1]))
    left, right, both, left_count = left[order], right[order], both[order], left_count[order]
    right_count = _counts(itemsets, right[:, None])
    p = fisher(both, left_count, right_count, np.full(len(both), itemsets.baskets))
    without, p_added = right_count / max(itemsets.baskets, 1), p
    if length > 2:
        without, p_added = np.zeros(len(both)), np.zeros(len(both))
        for place in range(length - 1):
            rest = np.delete(left, place, axis=1)
            rest_count = _counts(itemsets, rest)
            beside = _counts(itemsets, np.sort(np.concatenate([rest, right[:, None]], axis=1), axis=1))
            without = np.maximum(without, beside / rest_count)
            p_added = np.maximum(p_added, fisher(both, left_count, beside, rest_count))
    padded = np.full((len(both), width), -1, dtype=np.int64)
    padded[:, : length - 1] = left
    return {
        "left": padded,
        "right": right,
        "both": both,
        "left_count": left_count,
        "right_count": right_count,
        "confidence_without": without,
        "p_value": p,
        "p_added": p_added,
    }


def _counts(itemsets: Itemsets, sets: Ints) -> Ints:
    counts: Ints = itemsets.counts[sets.shape[1] - 1][itemsets.places(sets)]
    return counts
