"""Where a value stands among all."""

from bisect import bisect_right
from collections.abc import Iterable


class Ranking:
    """The values of all customers."""

    def __init__(self, values: Iterable[float]) -> None:
        self._sorted = sorted(values)

    def percentile(self, value: float) -> float:
        """The share of values up to this one, 0 to 100, one decimal."""
        if not self._sorted:
            return 0.0
        return round(100 * bisect_right(self._sorted, value) / len(self._sorted), 1)
