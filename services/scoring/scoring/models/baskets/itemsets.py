"""Frequent itemsets by Eclat (Zaki 2000, IEEE TKDE 12:3): one item after another, over bitsets of the baskets it is in.

Items are taken from the rarest to the most common. For each, only the baskets that hold it matter, and of these only
the items that come after it: counting pairs there is one `bincount`. Longer sets are intersections of bitsets as long
as the item's own count, not as the number of baskets. Counts are integers throughout.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scoring.models.baskets.encoding import Baskets, spans
from scoring.models.summary import Ints

MOST_ITEMSETS = 1_000_000
"""More frequent itemsets than this are refused: nobody reads them, and they would fill the memory."""
MOST_PAIRS = 1_000_000_000
"""Most pairs of frequent items within baskets, summed over all: a basket of n has n(n-1)/2."""
LONGEST = 10
_WORDS = 1 << 18
"""Words of 64 bits that one step of intersections writes: 2 MB, which the processor's cache holds."""
_CELLS = 1 << 26
"""Cells of one byte unpacked at a time."""

Bits = NDArray[np.uint64]


class TooManyItemsets(ValueError):  # noqa: N818
    """The least support asks for more than can be counted; the text says what to ask for instead."""


@dataclass(frozen=True)
class Itemsets:
    """Frequent itemsets by length, each level in ascending order of its items' codes."""

    baskets: int
    least: int
    """Least number of baskets a set is in."""
    longest: int
    """Most items of a set that were looked for."""
    levels: tuple[Ints, ...]
    """levels[k-1]: the sets of k items, shape (sets, k), codes ascending within a set."""
    counts: tuple[Ints, ...]
    """How many baskets hold each set of the level."""

    def __len__(self) -> int:
        return sum(len(level) for level in self.levels)

    def places(self, sets: Ints) -> Ints:
        """Index of each set, codes ascending, within the level of its length. Raises KeyError for one not frequent."""
        place, found = np.zeros(len(sets), dtype=np.int64), np.ones(len(sets), dtype=np.bool_)
        if sets.shape[1] > len(self.levels):
            found[:] = False
        for keys, item in zip(self._keys, sets.T, strict=False):
            wanted = place * self._width + item
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            found &= (keys[place] == wanted) & (item < self._width)
        if not found.all():
            raise KeyError(f"{int((~found).sum())} of {len(sets)} sets are not frequent")
        return place

    @cached_property
    def _width(self) -> int:
        return int(self.levels[0].max()) + 1 if self.levels else 1

    @cached_property
    def _keys(self) -> list[Ints]:
        """Each set as one number, ascending: the place of the set without its last item, and that item."""
        keys: list[Ints] = []
        for level in self.levels:
            place = np.zeros(len(level), dtype=np.int64)
            for shorter, item in zip(keys, level.T, strict=False):
                place = np.searchsorted(shorter, place * self._width + item)
            keys.append(place * self._width + level[:, -1])
        return keys


def least_count(support: Fraction, baskets: int) -> int:
    """The number of baskets that is at least this share of all: the next whole number up (ceiling), at least 1.

    A share in decimals is exact as `Fraction("0.006")`; as a float it is not.
    """
    if not 0 <= support <= 1:
        raise ValueError(f"support: {support} is no share of the baskets; give one from 0 to 1")
    return max(-(-support.numerator * baskets // support.denominator), 1)


def frequent(baskets: Baskets, least: int, longest: int = LONGEST, most: int = MOST_ITEMSETS) -> Itemsets:
    """All sets of at most `longest` items that are in at least `least` baskets.

    Raises TooManyItemsets when there are more than `most`, or when some baskets are so long that counting their pairs
    takes too long; nothing large is held in memory before.
    """
    if least < 1:
        raise ValueError(f"least: {least} baskets; a set must be in at least 1")
    if longest < 1:
        raise ValueError(f"longest: {longest} items; a set has at least 1")
    search = _Search(baskets, least, longest, most)
    search.run()
    levels, counts = [], []
    for found in search.found:
        if not found:
            break
        sets = np.sort(search.codes[np.concatenate([ranks for ranks, _ in found])], axis=1)
        order = np.lexsort(sets.T[::-1])
        levels.append(sets[order])
        counts.append(np.concatenate([count for _, count in found])[order])
    return Itemsets(len(baskets), least, longest, tuple(levels), tuple(counts))


class _Search:
    """Items are ranks here: place in the order of rising counts, ties by code."""

    def __init__(self, baskets: Baskets, least: int, longest: int, most: int) -> None:
        self._least, self._longest, self._most, self._baskets = least, longest, most, len(baskets)
        order = np.argsort(baskets.counts, kind="stable")
        self.codes = order[baskets.counts[order] >= least]
        """Code of each rank."""
        rank = np.full(len(baskets.names), -1, dtype=np.int64)
        rank[self.codes] = np.arange(len(self.codes))
        basket, item = np.repeat(np.arange(len(baskets)), baskets.lengths), rank[baskets.items]
        width = max(len(self.codes), 1)
        rows = np.sort((basket * width + item)[item >= 0])
        self._items = rows % width
        self._ends = np.searchsorted(rows, (rows // width + 1) * width)
        """For each entry, where its basket ends."""
        self.found: list[list[tuple[Ints, Ints]]] = [[] for _ in range(longest)]
        self._total = 0

    def run(self) -> None:
        rests = self._ends - np.arange(len(self._items)) - 1
        if self._longest > 1 and int(rests.sum()) > MOST_PAIRS:
            raise TooManyItemsets(
                f"baskets hold so many frequent items (up to {int(rests.max(initial=0)) + 1}) that they make more "
                f"than {MOST_PAIRS:,} pairs: leave out baskets that are no one's purchase, or raise the least support"
            )
        every = np.arange(len(self.codes))
        self._keep(every[:, None], np.bincount(self._items, minlength=len(every)).astype(np.int64))
        if self._longest == 1:
            return
        entries = np.argsort(self._items, kind="stable")
        bounds = np.searchsorted(self._items[entries], np.arange(len(every) + 1))
        for rank, (low, high) in enumerate(pairwise(bounds.tolist())):
            at = entries[low:high]
            self._with_first(rank, at + 1, rests[at])

    def _with_first(self, rank: int, begins: Ints, rests: Ints) -> None:
        """All sets whose rarest item is this one; `begins` and `rests` tell what follows it in each of its baskets."""
        items = self._items[spans(begins, rests)]
        counts = np.bincount(items, minlength=len(self.codes))
        partners = np.flatnonzero(counts >= self._least)
        if len(partners) == 0:
            return
        sets = np.stack([np.full(len(partners), rank), partners], axis=1)
        self._keep(sets, counts[partners].astype(np.int64))
        if len(partners) > 1 and self._longest > 2:
            basket = np.repeat(np.arange(len(begins)), rests)
            bits = _bitsets(items, basket, partners, len(self.codes))
            self._grow(sets, bits, np.full(len(partners), len(partners)))

    def _grow(self, sets: Ints, bits: Bits, ends: Ints) -> None:
        """Joins each set with those after it that differ in the last item alone, up to `ends`."""
        joins = ends - np.arange(len(sets)) - 1
        # Whole sets at a time, as many as one step may write; what it finds is grown before the next step.
        steps = np.cumsum(joins) * bits.shape[1] // _WORDS
        for low, high in pairwise([0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(sets)]):
            left = np.repeat(np.arange(low, high), joins[low:high])
            right = spans(np.arange(low, high) + 1, joins[low:high])
            joined = bits[left] & bits[right]
            counts = np.bitwise_count(joined).sum(axis=1, dtype=np.int64)
            kept = np.flatnonzero(counts >= self._least)
            if len(kept) == 0:
                continue
            longer = np.concatenate([sets[left[kept]], sets[right[kept], -1:]], axis=1)
            self._keep(longer, counts[kept])
            if longer.shape[1] < self._longest:
                parent = left[kept]
                self._grow(longer, joined[kept], np.searchsorted(parent, parent, side="right"))

    def _keep(self, sets: Ints, counts: Ints) -> None:
        self._total += len(sets)
        if self._total > self._most:
            raise TooManyItemsets(
                f"more than {self._most:,} sets of items are in at least {self._least} of {self._baskets:,} baskets: "
                f"raise the least support, to {2 * self._least} baskets say, or look at shorter sets"
            )
        if len(sets):
            self.found[sets.shape[1] - 1].append((sets, counts))


def _bitsets(items: Ints, basket: Ints, partners: Ints, width: int) -> Bits:
    """One bit a basket for each of the partners; baskets that hold fewer than two of them are left out."""
    row = np.full(width, -1, dtype=np.int64)
    row[partners] = np.arange(len(partners))
    row = row[items]
    held = np.bincount(basket, weights=row >= 0, minlength=1) >= 2
    place = np.cumsum(held) - 1
    wanted = (row >= 0) & held[basket]
    row, column = row[wanted], place[basket[wanted]]
    baskets = int(held.sum())
    words = -(-baskets // 64)
    bits = np.zeros((len(partners), words * 8), dtype=np.uint8)
    step = max(_CELLS // max(baskets, 1), 1)
    for low in range(0, len(partners), step):
        some = (row >= low) & (row < low + step)
        cells = np.zeros((min(step, len(partners) - low), baskets), dtype=np.bool_)
        cells[row[some] - low, column[some]] = True
        packed = np.packbits(cells, axis=1)
        bits[low : low + len(cells), : packed.shape[1]] = packed
    return bits.view(np.uint64)
