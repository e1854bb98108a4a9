"""How good a ranking of all items is: every item is a candidate, none are sampled (Krichene and Rendle 2020, KDD)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

TOP = 10
_DIGITS = 1e6
"""Scores equal to six decimals are equal: the last bits of a matrix product depend on the processor."""
_BARRED = -(1 << 62)
_DRAWS = 1000

Bools = NDArray[np.bool_]


def keys(scores: NDArray[np.floating], barred: Bools) -> Ints:
    """Whole numbers in the order of the scores, all different: ties go by item, the first one ahead."""
    items = scores.shape[-1]
    most = -_BARRED // max(items, 1) - 1
    whole = np.rint(np.clip(np.asarray(scores, dtype=np.float64) * _DIGITS, -most, most)).astype(np.int64)
    return np.where(barred, _BARRED, whole * items + np.arange(items)[::-1])


def top(scores: NDArray[np.floating], barred: Bools, most: int) -> Ints:
    """The best items of each customer, best first, ties by code, never barred ones; -1 where there are no more.

    scores, barred: shape (customers, items); the result's is (customers, most).
    """
    order = keys(scores, barred)
    found = np.full((len(order), most), -1, dtype=np.int64)
    width = min(most, order.shape[1])
    if width:
        some = np.argpartition(-order, width - 1, axis=1)[:, :width]
        ranks = np.take_along_axis(order, some, axis=1)
        best = np.argsort(-ranks, axis=1)
        chosen = np.take_along_axis(some, best, axis=1)
        found[:, :width] = np.where(np.take_along_axis(ranks, best, axis=1) > _BARRED, chosen, -1)
    return found


@dataclass(frozen=True)
class Ranking:
    """One element for each customer who has something to find."""

    hit: Floats
    """1 if any item bought later is among the first ten."""
    gain: Floats
    """Discounted gain of the first ten, as a share of the best possible."""
    reciprocal: Floats
    """1 over the place of the first item bought later, among all items."""

    @property
    def customers(self) -> int:
        """How many customers were ranked for."""
        return len(self.hit)

    @property
    def hit_rate(self) -> float:
        """HR@10."""
        return _mean(self.hit)

    @property
    def ndcg(self) -> float:
        """NDCG@10."""
        return _mean(self.gain)

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank over all items."""
        return _mean(self.reciprocal)

    def beats(self, other: "Ranking", by: str = "hit", seed: int = 1) -> tuple[float, float, float]:
        """How much larger the mean is than the other's for the same customers, and the interval of 95 % (bootstrap).

        by: the column that is compared: "hit", "gain" or "reciprocal".
        """
        return difference(getattr(self, by), getattr(other, by), seed)


def difference(mine: Floats, other: Floats, seed: int = 1) -> tuple[float, float, float]:
    """How much larger the mean is than the other's for the same customers, and its interval of 95 % (bootstrap)."""
    more = mine - other
    if not len(more):
        return 0.0, 0.0, 0.0
    rng = np.random.default_rng(seed)
    draws = [_mean(more[rng.integers(0, len(more), len(more))]) for _ in range(_DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return _mean(more), float(low), float(high)


def rank(scores: NDArray[np.floating], relevant: Bools, barred: Bools) -> Ranking:
    """Ranks all items that are not barred, for customers who bought one of these later; shape (customers, items)."""
    wanted = relevant & ~barred
    there = np.flatnonzero(wanted.any(axis=1))
    if len(there) == 0:
        return Ranking(np.zeros(0), np.zeros(0), np.zeros(0))
    wanted = wanted[there]
    order = keys(scores[there], barred[there])
    best = np.where(wanted, order, _BARRED).max(axis=1, initial=_BARRED)
    places = 1 + (order > best[:, None]).sum(axis=1)
    most = min(TOP, order.shape[1])
    first = top(scores[there], barred[there], most)
    found = np.take_along_axis(wanted, np.maximum(first, 0), axis=1) & (first >= 0)
    discount = 1 / np.log2(np.arange(2, most + 2))
    ideal = np.concatenate([[1.0], np.cumsum(discount)])[np.minimum(wanted.sum(axis=1), most)]
    gain: Floats = np.where(found, discount, 0.0).sum(axis=1) / ideal
    hit = np.max(found, axis=1, initial=False).astype(np.float64)
    return Ranking(hit, gain, np.reciprocal(places.astype(np.float64)))


def joined(parts: list[Ranking]) -> Ranking:
    """The rankings of several groups of customers as one."""
    none = np.zeros(0)
    columns = ([none, *(getattr(part, name) for part in parts)] for name in ("hit", "gain", "reciprocal"))
    return Ranking(*(np.concatenate(column) for column in columns))


def _mean(values: Floats) -> float:
    return float(np.add.reduce(values) / len(values)) if len(values) else 0.0
