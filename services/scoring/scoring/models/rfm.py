"""Recency, frequency, monetary value: scores from 1 to 5 and named segments.

Each score compares a customer with all others of the tenant by four bounds, the quintiles of the *values*. Customers
with equal values always get equal scores, whatever their order or the number of threads; when many share a value
(most customers buy once) the classes are therefore not equally large.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.summary import Ints

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

        A quintile is the least value that at least k fifths of the customers do not exceed: an observed value.
        """
        if len(values) == 0:
            return cls(())
        reached = np.cumsum(counts)
        # In integers: 5 * reached >= k * total.
        places = np.searchsorted(5 * reached, np.arange(1, 5) * reached[-1], side="left")
        return cls(tuple(int(value) for value in values[places]))

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
