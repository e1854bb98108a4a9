"""Where a value stands among all."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

_TENTHS = 1_000


class Ranking:
    """The values of all customers, as far as percentiles of one decimal tell them apart.

    steps: for each tenth of a point, from 0.1 to 100, the least value that stands there; none without customers.
    """

    def __init__(self, steps: Sequence[float]) -> None:
        self.steps = steps

    @classmethod
    def of(cls, values: Iterable[float]) -> "Ranking":
        """From one value a customer."""
        ordered = sorted(values)
        count = len(ordered)
        steps: list[float] = []
        rank = 1
        for tenth in range(1, _TENTHS + 1 if count else 1):
            # A little before where it must be: rounding decides.
            rank = max(rank, (2 * tenth - 1) * count // (2 * _TENTHS) - 1)
            while round(100 * rank / count, 1) < tenth / 10:
                rank += 1
            steps.append(ordered[rank - 1])
        return cls(steps)

    def percentile(self, value: float) -> float:
        """The share of values up to this one, 0 to 100, one decimal."""
        return bisect_right(self.steps, value) / 10
