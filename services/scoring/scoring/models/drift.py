"""How far columns have moved: the population stability index (Siddiqi 2006, Credit Risk Scorecards), with interval.

PSI = sum over bins of (q - p) ln(q / p), p and q the shares of the old and the new customers in tenths of the old
ones; of a column of texts in its most frequent ones and the rest. Who has no value is in a bin of their own. Chance
alone gives (bins - 1) (1/n + 1/m) for n old and m new customers (Yurdakul 2018); that is taken off, so that small shops
do not seem to move. The interval is the bootstrap's over both samples.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from scoring.domain.gates import DRIFT
from scoring.models.fitting import Floats
from scoring.models.rounding import rounded
from scoring.models.summary import Ints

BINS = 10
_DRAWS = 1_000
_SEED = 2_018
_HALF = 0.5
"""Added to each bin: an empty one is no infinite distance."""


@dataclass(frozen=True)
class Histogram:
    """Counts between ascending edges, the first bin below the first edge, the last from the last edge on; or of levels,
    the last bin for all other texts. missing: how many have no value.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int = 0
    levels: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Floats | Ints, counts: Ints) -> "Histogram":
        """In tenths of the values, other bins where many are equal; NaN is missing."""
        whole = cls((), (0,)).counted(values, counts)
        there = ~np.isnan(values)
        values, counts = values[there], counts[there]
        if not len(values):
            return whole
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(counts[order])
        places = np.searchsorted(BINS * reached, np.arange(1, BINS) * reached[-1], side="left")
        tenths, often = np.unique(np.asarray(values, dtype=np.float64)[order][places], return_counts=True)
        # A value that many share has a bin of its own: what is nearly always 0 would have but one bin, and never drift.
        shared = tenths[often > 1]
        edges = np.unique(np.concatenate([tenths, np.nextafter(shared, np.inf)]))
        # A first edge at the least value would leave nobody below it; at one that many share it shows who comes there.
        edges = edges[(edges > float(values.min())) | np.isin(edges, shared)]
        found = cls(tuple(float(edge) for edge in edges), ()).counted(values, counts)
        return replace(found, missing=whole.missing)

    @classmethod
    def of_texts(cls, codes: Ints, texts: Sequence[str]) -> "Histogram":
        """In the most frequent of the texts, which codes are places in; -1 is missing."""
        counts = np.bincount(codes[codes >= 0], minlength=len(texts))
        first = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], texts[code]))
        return cls((), (), levels=tuple(texts[code] for code in first[: BINS - 1])).counted_texts(codes, texts)

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> "Histogram":
        """The histogram that `dataclasses.asdict` gave."""
        missing, levels = stored.get("missing", 0), stored.get("levels", ())
        return cls(tuple(stored["edges"]), tuple(stored["counts"]), missing, tuple(levels))

    def counted(self, values: Floats | Ints, counts: Ints) -> "Histogram":
        """Other customers between the same edges."""
        numbers = np.asarray(values, dtype=np.float64)
        places = np.searchsorted(np.array(self.edges), numbers, side="right")
        places[np.isnan(numbers)] = len(self.edges) + 1
        found = np.bincount(places, counts, len(self.edges) + 2)
        return self._with(found)

    def counted_texts(self, codes: Ints, texts: Sequence[str]) -> "Histogram":
        """Other customers in the same levels."""
        place = {level: number for number, level in enumerate(self.levels)}
        # The last one stands for code -1.
        bins = np.array([*(place.get(text, len(place)) for text in texts), len(place) + 1])
        return self._with(np.bincount(bins[codes], minlength=len(place) + 2))

    def _with(self, found: Floats | Ints) -> "Histogram":
        *counts, missing = (int(count) for count in found)
        return replace(self, counts=tuple(counts), missing=missing)


@dataclass(frozen=True)
class Drift:
    """Of one column. Both ends of the 90 percent interval are without what chance gives, and never below 0."""

    psi: float
    low: float
    high: float


def told(old: Mapping[str, Histogram], new: Mapping[str, Histogram], scores: Collection[str]) -> list[dict[str, Any]]:
    """How far each column has moved, as the registry keeps it. new: counted by the old one of the column.

    scores: names of the columns that the model tells rather than looks at.
    """
    found = []
    for name, histogram in old.items():
        if name in new:
            moved = between(histogram, new[name])
            figures = {**asdict(moved), "bound": DRIFT, "drifted": moved.low >= DRIFT}
            found.append({"feature": name, "score": name in scores, **figures})
    return found


def between(old: Histogram, new: Histogram) -> Drift:
    """From how many of the old and the new customers are in each bin; `new` was counted by `old`."""
    p, q = (np.array([*each.counts, each.missing], dtype=np.float64) for each in (old, new))
    if not p.sum() or not q.sum():
        return Drift(0.0, 0.0, 0.0)
    someone = p + q > 0
    p, q = p[someone], q[someone]
    rng = np.random.default_rng(_SEED)
    chance = (len(p) - 1) * (1 / p.sum() + 1 / q.sum())
    # Drawn samples differ from the true shares by chance once more: it is taken off twice.
    samples = [rng.multinomial(int(n.sum()), n / n.sum(), _DRAWS).astype(np.float64) for n in (p, q)]
    drawn = _index(samples[0], samples[1]) - chance
    low, high = np.percentile(drawn, (5.0, 95.0))
    found = (float(_index(p, q)), float(low), float(high))
    psi, low, high = (rounded(max(0.0, value - chance)) for value in found)
    return Drift(psi, min(low, psi), max(high, psi))


def _index(old: Floats, new: Floats) -> Floats:
    p, q = ((counts + _HALF) / (counts.sum(axis=-1, keepdims=True) + _HALF * counts.shape[-1]) for counts in (old, new))
    index: Floats = np.add.reduce((q - p) * np.log(q / p), axis=-1)
    return index
