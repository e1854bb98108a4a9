"""What customers bought and when, weighed by how long ago that was."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

MOST_HISTORY = 500
"""Items of one customer that count: those bought last. It bounds the time of a score."""
_USUAL_BUYERS = 20
"""Buyers like those of all items that are added to each item's own."""


@dataclass(frozen=True)
class Purchases:
    """One element for each day a customer bought an item, in order of customer, item and day; never twice the same."""

    names: NDArray[np.str_]
    """Id of each item by code; ascending, so that breaking ties by code breaks them by id."""
    customers: int
    customer: Ints
    """Code of the customer, from 0."""
    item: Ints
    day: Ints
    """Whole days since 1970-01-01 UTC."""

    @classmethod
    def of(
        cls, customer: Ints, item: Ints, day: Ints, names: Sequence[str] | NDArray[np.str_], customers: int
    ) -> "Purchases":
        """From rows in any order, repeated or not; `item` is an index into `names`, which may be in any order.

        Raises ValueError when two items have one name, columns differ in length, or a code is out of range.
        """
        known, place = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
        if len(known) < len(place):
            raise ValueError("names: two items have the same name; give each item an id of its own")
        if not len(customer) == len(item) == len(day):
            raise ValueError(f"customer, item and day differ in length: {len(customer)}, {len(item)}, {len(day)} rows")
        for name, codes, size in (("item", item, len(known)), ("customer", customer, customers)):
            if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < size:
                raise ValueError(f"{name}: codes must be from 0 to {size - 1}")
        return cls.sorted(customer, place[item] if len(item) else item, day, known, customers)

    @classmethod
    def sorted(cls, customer: Ints, item: Ints, day: Ints, names: NDArray[np.str_], customers: int) -> "Purchases":
        """The same of columns known to be right, with `names` ascending."""
        order = np.lexsort((day, item, customer))
        rows = np.stack([customer, item, day]).astype(np.int64)[:, order]
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
        return cls(names, customers, *rows[:, new])

    def __len__(self) -> int:
        return len(self.item)

    def between(self, first: int | None, end: int) -> "Purchases":
        """Those from the day `first` on, if given, and before the day `end`."""
        return self.where((self.day < end) & ((self.day >= first) if first is not None else True))

    def where(self, chosen: NDArray[np.bool_]) -> "Purchases":
        """The chosen rows; customers and items stay numbered as they are."""
        return replace(self, customer=self.customer[chosen], item=self.item[chosen], day=self.day[chosen])

    def of_items(self, kept: Ints) -> "Purchases":
        """Purchases of these items alone (codes, ascending), numbered anew."""
        code = np.full(len(self.names), -1, dtype=np.int64)
        code[kept] = np.arange(len(kept))
        chosen = self.where(code[self.item] >= 0)
        return replace(chosen, names=self.names[kept], item=code[chosen.item])

    def named(self, names: NDArray[np.str_]) -> "Purchases":
        """Purchases of items with these names (ascending) alone, numbered by them."""
        code = codes_of(names, self.names)
        chosen = self.where(code[self.item] >= 0) if len(self) else self
        return replace(chosen, names=names, item=code[chosen.item] if len(chosen) else chosen.item)

    def of_customers(self, kept: Ints) -> "Purchases":
        """Purchases of these customers alone (codes, ascending), numbered anew."""
        code = np.full(self.customers, -1, dtype=np.int64)
        code[kept] = np.arange(len(kept))
        chosen = self.where(code[self.customer] >= 0)
        return replace(chosen, customers=len(kept), customer=code[chosen.customer])

    def groups(self, size: int) -> Iterator["Purchases"]:
        """All customers, `size` at a time, numbered anew within each group."""
        for low in range(0, self.customers, size):
            high = min(low + size, self.customers)
            first, end = np.searchsorted(self.customer, [low, high])
            customer, item, day = (column[first:end] for column in (self.customer, self.item, self.day))
            yield replace(self, customers=high - low, customer=customer - low, item=item, day=day)

    @cached_property
    def _last(self) -> NDArray[np.bool_]:
        """Whether a row is the last day that customer bought that item."""
        last = np.ones(len(self), dtype=np.bool_)
        last[:-1] = (self.item[1:] != self.item[:-1]) | (self.customer[1:] != self.customer[:-1])
        return last

    @cached_property
    def buyers(self) -> Ints:
        """How many customers bought each item."""
        return np.bincount(self.item[self._last], minlength=len(self.names)).astype(np.int64)

    @cached_property
    def breadth(self) -> Ints:
        """How many different items each customer bought."""
        return np.bincount(self.customer[self._last], minlength=self.customers).astype(np.int64)

    def owned(self) -> sparse.csr_array:
        """1 where a customer ever bought the item; shape (customers, items)."""
        return self._matrix(np.ones(int(self._last.sum()), dtype=np.float32))

    def last_bought(self, as_of: int, half_life: float) -> sparse.csr_array:
        """2^(-days since the last purchase / half_life), of each customer's MOST_HISTORY latest items."""
        rows = np.flatnonzero(self._last)
        if int(self.breadth.max(initial=0)) > MOST_HISTORY:
            order = np.lexsort((self.item[rows], -self.day[rows], self.customer[rows]))
            starts = np.cumsum(self.breadth) - self.breadth
            within = np.empty(len(rows), dtype=np.int64)
            within[order] = np.arange(len(rows)) - starts[self.customer[rows[order]]]
            weights = np.where(within < MOST_HISTORY, self._decay(as_of, half_life)[rows], 0)
            matrix = self._matrix(weights.astype(np.float32))
            matrix.eliminate_zeros()
            return matrix
        return self._matrix(self._decay(as_of, half_life)[rows])

    def often_bought(self, as_of: int, half_life: float) -> sparse.csr_array:
        """The same weights, summed over all days the customer bought the item."""
        sums = np.add.reduceat(self._decay(as_of, half_life), self._firsts) if len(self) else np.zeros(0)
        return self._matrix(sums.astype(np.float32))

    def popularity(self, as_of: int, half_life: float) -> Floats:
        """Customers who bought each item, weighed by how long ago; the most popular item has 1."""
        weights = self._decay(as_of, half_life)[self._last]
        sums = np.bincount(self.item[self._last], weights=weights, minlength=len(self.names))
        return sums / max(float(sums.max(initial=0.0)), 1e-300)

    def rebuying(self) -> Floats:
        """How often buyers of each item bought it on another day, too, compared with all items: 1 for the usual one.

        Items with few buyers are drawn to 1. Zeros when nobody bought anything twice.
        """
        new = np.zeros(len(self), dtype=np.bool_)
        new[self._firsts] = True
        twice = self._last & ~new
        again = np.bincount(self.item[twice], minlength=len(self.names))
        usual = float(again.sum()) / max(float(self.buyers.sum()), 1.0)
        return (again + _USUAL_BUYERS * usual) / ((self.buyers + _USUAL_BUYERS) * max(usual, 1e-300))

    @cached_property
    def _firsts(self) -> Ints:
        """Where the days of each customer and item begin."""
        return np.concatenate([[0], np.flatnonzero(self._last) + 1])[:-1].astype(np.int64)

    def _decay(self, as_of: int, half_life: float) -> NDArray[np.float32]:
        return np.exp2(-np.maximum(as_of - self.day, 0) / half_life).astype(np.float32)

    def _matrix(self, values: NDArray[np.float32]) -> sparse.csr_array:
        starts = np.concatenate([[0], np.cumsum(self.breadth)])
        shape = (self.customers, len(self.names))
        return sparse.csr_array((values, self.item[self._last].astype(np.int32), starts), shape=shape)


def codes_of(names: NDArray[np.str_], wanted: NDArray[np.str_]) -> Ints:
    """Place of each of the wanted among the names, which ascend; -1 where it is not there."""
    code = np.searchsorted(names, wanted).astype(np.int64)
    there = code < len(names)
    there[there] = names[code[there]] == wanted[there]
    return np.where(there, code, -1)
