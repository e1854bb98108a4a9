"""From a score to the probability of a purchase, as it was in a window of time after the one the scores came from.

Isotonic regression (Zadrozny and Elkan 2002, KDD) over bins of scores; customers are drawn again for the interval, as
the items of one customer are not independent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

from scoring.models.fitting import Floats
from scoring.models.offers.ranking import Bools

_BINS = 120
_LEAST_BIN = 100
"""Items in the bin of the highest scores: a few lucky finds there make no certainty."""
_DRAWS = 200
LEAST_BOUGHT = 30
"""Purchases in the window below which nothing is said about probabilities."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities at some scores, ascending; between them by straight lines, beyond them as at the ends."""

    score: Floats
    probability: Floats
    low: Floats
    high: Floats
    """Interval of 95 % of the probability at that score, over samples of customers."""

    def at(self, scores: NDArray[np.floating]) -> tuple[Floats, Floats, Floats]:
        """Probability and its interval at each score."""
        low, value, high = (np.interp(scores, self.score, one) for one in (self.low, self.probability, self.high))
        return value, np.minimum(low, value), np.maximum(high, value)


Chunk = tuple[NDArray[np.floating], Bools, Bools]
"""Scores, which items were bought in the window, and which are meant; shape (customers, items)."""


def calibrate(chunks: Iterable[Chunk], seed: int = 1) -> Calibration | None:
    """The curve over all items meant, of all customers; None when too few of them were bought."""
    edges: Floats | None = None
    shown, bought, sums = [], [], np.zeros(_BINS)
    for scores, later, meant in chunks:
        if edges is None:
            # Fine where scores are high: those are the items that get offered.
            seen = np.sort(scores[meant]).astype(np.float64)
            if len(seen) == 0:
                continue
            fewest = min(_LEAST_BIN, len(seen))
            ranks = len(seen) - np.geomspace(fewest, len(seen), _BINS).astype(np.int64)[:-1]
            edges = np.unique(seen[np.maximum(ranks, 0)])
        row, _ = np.nonzero(meant)
        place = np.searchsorted(edges, scores[meant], side="right")
        cell = row * _BINS + place
        size = len(scores) * _BINS
        shown.append(np.bincount(cell, minlength=size).reshape(-1, _BINS))
        bought.append(np.bincount(cell[later[meant]], minlength=size).reshape(-1, _BINS))
        sums += np.bincount(place, weights=scores[meant], minlength=_BINS)
    if not shown:
        return None
    of, hits = np.concatenate(shown).astype(np.float64), np.concatenate(bought).astype(np.float64)
    used = of.sum(axis=0) > 0
    of, hits, sums = of[:, used], hits[:, used], sums[used]
    if hits.sum() < LEAST_BOUGHT:
        return None
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(of), np.full(len(of), 1 / len(of)), _DRAWS).astype(np.float64)
    total = of.sum(axis=0)
    curves = np.stack([_isotonic(h, n, total) for h, n in zip(draws @ hits, draws @ of, strict=True)])
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    return Calibration(sums / total, _isotonic(hits.sum(axis=0), total, total), low, high)


def _isotonic(hits: Floats, shown: Floats, usual: Floats) -> Floats:
    # A bin that a sample of customers misses weighs next to nothing, and lies where its neighbours do.
    filled = np.maximum(shown, 1e-9 * usual)
    found: Floats = isotonic_regression(hits / filled, weights=filled).x
    return found
