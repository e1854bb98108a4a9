"""How far columns have moved: the population stability index (Siddiqi 2006, Credit Risk Scorecards), with interval.

PSI = sum over bins of (q - p) ln(q / p), p and q the shares of the old and the new customers in tenths of the old
ones. Chance alone gives (bins - 1) (1/n + 1/m) for n old and m new customers (Yurdakul 2018); that is taken off, so
that small shops do not seem to move. The interval is the bootstrap's over both samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

BINS = 10
_DRAWS = 1_000
_SEED = 2_018
_HALF = 0.5
"""Added to each bin: an empty one is no infinite distance."""


@dataclass(frozen=True)
class Histogram:
    """Counts between ascending edges: the first bin is below the first edge, the last from the last edge on."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: Floats | Ints, counts: Ints) -> "Histogram":
        """In tenths of the values, fewer where many are equal."""
        if not len(values):
            return cls((), (0,))
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(counts[order])
        places = np.searchsorted(BINS * reached, np.arange(1, BINS) * reached[-1], side="left")
        edges = np.unique(np.asarray(values, dtype=np.float64)[order][places])
        # A first edge at the least value would leave nobody below it.
        edges = edges[edges > float(values.min())]
        return cls(tuple(float(edge) for edge in edges), ()).counted(values, counts)

    def counted(self, values: Floats | Ints, counts: Ints) -> "Histogram":
        """Other customers between the same edges."""
        places = np.searchsorted(np.array(self.edges), np.asarray(values, dtype=np.float64), side="right")
        found = np.bincount(places, counts, len(self.edges) + 1)
        return Histogram(self.edges, tuple(int(count) for count in found))


@dataclass(frozen=True)
class Drift:
    """Of one column. Both ends of the 90 percent interval are without what chance gives, and never below 0."""

    psi: float
    low: float
    high: float


def between(old: Sequence[int], new: Sequence[int]) -> Drift:
    """From how many of the old and the new customers are in each bin."""
    if not sum(old) or not sum(new):
        return Drift(0.0, 0.0, 0.0)
    rng = np.random.default_rng(_SEED)
    p, q = np.array(old, dtype=np.float64), np.array(new, dtype=np.float64)
    chance = (len(p) - 1) * (1 / p.sum() + 1 / q.sum())
    # Drawn samples differ from the true shares by chance once more: it is taken off twice.
    samples = [rng.multinomial(int(n.sum()), n / n.sum(), _DRAWS).astype(np.float64) for n in (p, q)]
    drawn = _index(samples[0], samples[1]) - chance
    low, high = np.percentile(drawn, (5.0, 95.0))
    found = (float(_index(p, q)), float(low), float(high))
    psi, low, high = (_round(max(0.0, value - chance)) for value in found)
    return Drift(psi, min(low, psi), max(high, psi))


def _index(old: Floats, new: Floats) -> Floats:
    p, q = ((counts + _HALF) / (counts.sum(axis=-1, keepdims=True) + _HALF * counts.shape[-1]) for counts in (old, new))
    index: Floats = np.add.reduce((q - p) * np.log(q / p), axis=-1)
    return index


def _round(value: float) -> float:
    return float(f"{value:.6e}")
