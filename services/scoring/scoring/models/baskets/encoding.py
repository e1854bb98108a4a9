"""Baskets as arrays: the distinct items of each, in one canonical order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scoring.models.summary import Ints


@dataclass(frozen=True)
class Baskets:
    """Which items each basket holds; how many of an item, and in which order, plays no part."""

    names: NDArray[np.str_]
    """Id of each item by code; ascending, so that breaking ties by code breaks them by id."""
    starts: Ints
    """Where each basket begins in `items`, and the end: shape (baskets + 1,)."""
    items: Ints
    """Codes of the items, ascending within a basket."""

    @classmethod
    def of(
        cls, basket: Ints, item: Ints, names: Sequence[str] | NDArray[np.str_], total: int | None = None
    ) -> "Baskets":
        """From rows (basket, item) in any order, repeated or not.

        basket: any number that tells baskets apart. item: index into `names`, which may be in any order. total: how
        many baskets there were, if some hold nothing. Raises ValueError when two items have one name, a code has no
        name, or `total` is less than the baskets seen.
        """
        known, place = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
        if len(known) < len(place):
            raise ValueError("names: two items have the same name; give each item an id of its own")
        if len(basket) != len(item):
            raise ValueError(f"basket and item differ in length: {len(basket)} and {len(item)} rows")
        if len(item) and not 0 <= int(item.min()) <= int(item.max()) < len(known):
            raise ValueError(f"item: codes must be from 0 to {len(known) - 1}, the places in names")
        seen, number = np.unique(basket, return_inverse=True)
        count = len(seen) if total is None else total
        if count < len(seen):
            raise ValueError(f"total: {count} baskets, but the rows name {len(seen)}")
        width = max(len(known), 1)
        key = np.unique(number * width + place[item]) if len(item) else np.zeros(0, dtype=np.int64)
        starts = np.searchsorted(key, np.arange(count + 1) * width)
        return cls(known, starts.astype(np.int64), (key % width).astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def counts(self) -> Ints:
        """How many baskets hold each item."""
        return np.bincount(self.items, minlength=len(self.names)).astype(np.int64)

    @cached_property
    def lengths(self) -> Ints:
        """How many different items each basket holds."""
        lengths: Ints = np.diff(self.starts)
        return lengths


def spans(begin: Ints, length: Ints) -> Ints:
    """The numbers begin[0], begin[0]+1, ... of `length[0]` numbers, then those of the next span, one after another."""
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Ints = np.arange(total) + np.repeat(begin - (ends - length), length)
    return numbers
