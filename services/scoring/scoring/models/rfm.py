"""Recency, frequency, monetary value: scores from 1 to 5 and named segments.

Each score compares a customer with all others of the tenant by four bounds, the quintiles of the *values*. Customers
with equal values always get equal scores, whatever their order or the number of threads; when many share a value
(most customers buy once) the classes are therefore not equally large. However many share it, the least value scores 1,
as one purchase does, the greatest 5, and one between them the middle of the classes it fills, as the day of the month
on which nearly all pay; where all are alike, everybody scores 3. Time alone changes no score: all customers' last
purchases grow old together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.summary import Ints, PurchaseDays, Summary, grouped

SEGMENTS: tuple[tuple[str, range, range], ...] = (
    ("Champions", range(4, 6), range(4, 6)),
    ("Loyal", range(3, 4), range(4, 6)),
    ("Potential loyalists", range(4, 6), range(2, 4)),
    ("New", range(5, 6), range(1, 2)),
    ("Promising", range(4, 5), range(1, 2)),
    ("Need attention", range(3, 4), range(2, 4)),
    ("About to sleep", range(3, 4), range(1, 2)),
    ("Cannot lose", range(1, 2), range(5, 6)),
    ("At risk", range(1, 3), range(3, 6)),
    ("Hibernating", range(2, 3), range(1, 3)),
    ("Lost", range(1, 2), range(1, 3)),
)
"""Name, scores of recency, mean scores (halves rounded up) of frequency and monetary value. The first match holds."""

SEGMENT_NAMES = tuple(name for name, _, _ in SEGMENTS)


@dataclass(frozen=True)
class Bounds:
    """Upper bounds of the scores 1 to 4 for one measure; a value above the last scores 5. Empty without customers."""

    upper: tuple[int, ...]

    @classmethod
    def of(cls, values: Ints, counts: Ints) -> "Bounds":
        """Quintiles of a distribution given by its distinct values, ascending, and how many customers have each.

        A quintile is the least value that at least k fifths of the customers do not exceed, but the greatest: an
        observed value. Of a single value the middle is taken; of quintiles that are one value, but the least, the lower
        half is the value before.
        """
        if len(values) == 0:
            return cls(())
        if len(values) == 1:
            only = int(values[0])
            return cls((only - 1, only - 1, only, only))
        reached = np.cumsum(counts)
        # In integers: 5 * reached >= k * total.
        places = np.searchsorted(5 * reached, np.arange(1, 5) * reached[-1], side="left")
        first = np.searchsorted(places, places)
        alike = np.searchsorted(places, places, side="right") - first
        lower = (np.arange(4) - first < alike // 2) & (places > 0) & (places < len(values) - 1)
        return cls(tuple(int(value) for value in values[np.minimum(places - lower, len(values) - 2)]))

    def scores(self, values: Ints) -> NDArray[np.int8]:
        """Score of each value, from 1 for the lowest to 5 for the highest."""
        return (np.searchsorted(np.array(self.upper, dtype=np.int64), values, side="left") + 1).astype(np.int8)


def segments(r: NDArray[np.int8], f: NDArray[np.int8], m: NDArray[np.int8]) -> NDArray[np.int8]:
    """Index into SEGMENT_NAMES for each customer's three scores."""
    found: NDArray[np.int8] = _TABLE[r, (f.astype(np.int64) + m + 1) // 2]
    return found


def _table() -> NDArray[np.int8]:
    table = np.full((6, 6), -1, dtype=np.int8)
    for index, (_, recency, value) in reversed(list(enumerate(SEGMENTS))):
        for r in recency:
            for fm in value:
                table[r, fm] = index
    return table


_TABLE = _table()

Scores = NDArray[np.int8]


@dataclass(frozen=True)
class Scored:
    """One element a customer."""

    r: Scores
    f: Scores
    m: Scores
    segment: Scores
    """Index into SEGMENT_NAMES."""


@dataclass(frozen=True)
class Scales:
    """The bounds of the three measures."""

    recency: Bounds
    """Of anything that is larger for who bought later, such as the last day or the negated days since."""
    frequency: Bounds
    """Of days with a purchase."""
    monetary: Bounds
    """Of revenue, in minor units."""

    def scored(self, recency: Ints, frequency: Ints, monetary: Ints) -> Scored:
        """Scores and segments of these values."""
        r, f, m = self.recency.scores(recency), self.frequency.scores(frequency), self.monetary.scores(monetary)
        return Scored(r, f, m, segments(r, f, m))


@dataclass(frozen=True)
class Distribution:
    """Distinct values of a measure, ascending, and how many customers have each."""

    values: Ints
    counts: Ints

    @classmethod
    def of(cls, values: Ints) -> "Distribution":
        """Of one value a customer."""
        return cls(*np.unique(values, return_counts=True))

    def moved(self, gone: Ints, come: Ints) -> "Distribution":
        """The same without the values `gone`, with the values `come`."""
        weights = np.concatenate([self.counts, np.full(len(gone), -1), np.ones(len(come), dtype=np.int64)])
        (values,), counts = grouped(np.concatenate([self.values, gone, come]), weights=weights)
        return Distribution(values[counts > 0], counts[counts > 0])

    @property
    def bounds(self) -> Bounds:
        """Its quintiles."""
        return Bounds.of(self.values, self.counts)


@dataclass(frozen=True)
class Standing:
    """How all customers stand, kept up to date as purchases come in rather than summed up anew."""

    customer: Ints
    """Codes, ascending."""
    measures: tuple[Ints, Ints, Ints]
    """Last day, days with a purchase, revenue in minor units of each."""
    distributions: tuple[Distribution, Distribution, Distribution]
    """Of the measures."""

    @classmethod
    def of(cls, bought: PurchaseDays) -> "Standing":
        """Of all that was ever bought."""
        summary = Summary.of(bought, 0)
        measures = (summary.last_day, summary.days, summary.revenue)
        last_day, days, revenue = (Distribution.of(values) for values in measures)
        return cls(summary.customer, measures, (last_day, days, revenue))

    def updated(self, changed: PurchaseDays) -> "Standing":
        """After purchases, late ones too, of some customers: `changed` has all purchase days of these, old and new.

        Equals `of` all purchases. It costs a pass over the customers, and sorting of the changed ones only.
        """
        other = Standing.of(changed)
        known = np.isin(self.customer, other.customer, assume_unique=True)
        kept = ~known
        customer = np.concatenate([self.customer[kept], other.customer])
        order = np.argsort(customer, kind="stable")
        measures, distributions = [], []
        for mine, theirs, distribution in zip(self.measures, other.measures, self.distributions, strict=True):
            measures.append(np.concatenate([mine[kept], theirs])[order])
            distributions.append(distribution.moved(mine[known], theirs))
        return Standing(
            customer[order],
            (measures[0], measures[1], measures[2]),
            (distributions[0], distributions[1], distributions[2]),
        )

    @property
    def scales(self) -> Scales:
        """Quintiles of the measures."""
        return Scales(*(distribution.bounds for distribution in self.distributions))

    def scored(self) -> Scored:
        """Scores and segments of all customers."""
        return self.scales.scored(*self.measures)
