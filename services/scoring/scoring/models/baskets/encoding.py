"""Baskets as arrays: the distinct items of each, in one canonical order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scoring.models.summary import Ints

_LARGEST = 1 << 62


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
        width = max(len(known), 1)
        if len(basket) and (int(basket.max()) - int(basket.min()) + 1) * width > _LARGEST:
            _, basket = np.unique(basket, return_inverse=True)
        # One sort of one number a row; baskets are numbered in its order afterwards.
        lowest = basket.min() if len(basket) else 0
        rows = np.sort((basket.astype(np.int64) - lowest) * width + place[item]) if len(item) else np.zeros(0, np.int64)
        new = np.ones(len(rows), dtype=np.bool_)
        new[1:] = rows[1:] != rows[:-1]
        rows = rows[new]
        first = np.ones(len(rows), dtype=np.bool_)
        first[1:] = rows[1:] // width != rows[:-1] // width
        begins = np.flatnonzero(first)
        count = len(begins) if total is None else total
        if count < len(begins):
            raise ValueError(f"total: {count} baskets, but the rows name {len(begins)}")
        empty = np.full(count + 1 - len(begins), len(rows))
        return cls(known, np.concatenate([begins, empty]).astype(np.int64), rows % width)

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
