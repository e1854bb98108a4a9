"""What acting on customers brought: those acted on against those held out, drawn by chance from the same ones.

It is an effect, not a correlation, only where chance decided who was held out, before anybody was acted on, and
customers count in the group they were drawn into whatever reached them ("intention to treat").
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

LEAST = 100
"""Customers in each group: with fewer the normal law does not hold for what few of them do."""
LEAST_HITS = 20
"""Customers of both groups who did it at all."""
_Z_90, _Z_95 = 1.6448536269514722, 1.959963984540054


@dataclass(frozen=True)
class Sample:
    """An outcome of some customers: how many they are, its sum, and the sum of its squares."""

    customers: int
    total: float
    squares: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Sample":
        """The sample of single values."""
        found = [float(value) for value in values]
        return cls(len(found), math.fsum(found), math.fsum(value * value for value in found))

    @property
    def mean(self) -> float:
        """The average; 0 of nobody."""
        return self.total / self.customers if self.customers else 0.0

    @property
    def variance(self) -> float:
        """Of single values, unbiased; needs two customers."""
        return max(0.0, self.squares - self.total**2 / self.customers) / (self.customers - 1)


Stratum = tuple[Sample, Sample]
"""Treated and held out, drawn at the same odds."""


@dataclass(frozen=True)
class Difference:
    """By how much those treated are ahead, on average, with its 90 and 95 percent intervals.

    p_value: how often chance alone gives a difference at least as large, either way.
    """

    value: float
    low_90: float
    high_90: float
    low_95: float
    high_95: float
    p_value: float


def of_means(strata: Sequence[Stratum]) -> Difference:
    """The difference of an average, such as revenue; the larger one of Welch's and the pooled standard error.

    What few spend is skewed: of a small group that has none of the large sums both its average and its variance are too
    low, and Welch's intervals of 95 percent, at 100 held out of 1,000 of whom a tenth buys, hold but 83 to 88.

    strata: whoever was drawn at other odds is compared apart, and strata count by their customers: else a time of
    many purchases that held out few would look like an effect. All must hold two of each group at least.
    """
    return _combined(strata, _of_means)


def of_shares(strata: Sequence[Stratum]) -> Difference:
    """The difference of a share, of outcomes 0 and 1; strata as in `of_means`.

    Agresti and Caffo (2000): one hit and one miss more in each group for the standard error, so that a group in which
    nobody did it has one too.
    """

    def variance(sample: Sample) -> float:
        smoothed = (sample.total + 1) / (sample.customers + 2)
        return smoothed * (1 - smoothed) / (sample.customers + 2)

    return _combined(strata, lambda treated, held_out: variance(treated) + variance(held_out))


def drawn_p(strata: Iterable[tuple[int, int, float]]) -> float:
    """How often chance alone draws groups at least as far from what was asked for: treated, held out, share asked.

    A small value says that something else than chance decides who is counted (a sample ratio mismatch).
    """
    beyond = variance = 0.0
    for treated, held_out, share in strata:
        everybody = treated + held_out
        beyond += held_out - everybody * share
        variance += everybody * share * (1 - share)
    return _two_sided(beyond / math.sqrt(variance)) if variance else 1.0


def _of_means(treated: Sample, held_out: Sample) -> float:
    samples = (treated, held_out)
    welch = sum(sample.variance / sample.customers for sample in samples)
    strays = sum(sample.variance * (sample.customers - 1) for sample in samples)
    freedom = sum(sample.customers - 1 for sample in samples)
    return max(welch, strays / freedom * sum(1 / sample.customers for sample in samples))


def _combined(strata: Sequence[Stratum], variance_of: Callable[[Sample, Sample], float]) -> Difference:
    everybody = sum(treated.customers + held_out.customers for treated, held_out in strata)
    value = variance = 0.0
    for treated, held_out in strata:
        weight = (treated.customers + held_out.customers) / everybody
        value += weight * (treated.mean - held_out.mean)
        variance += weight**2 * variance_of(treated, held_out)
    error = math.sqrt(variance)
    p_value = _two_sided(value / error) if error else float(value == 0)
    ends = [value + sign * z * error for z in (_Z_90, _Z_95) for sign in (-1, 1)]
    return Difference(value, ends[0], ends[1], ends[2], ends[3], p_value)


def _two_sided(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))
