"""From single purchases to one row per customer: the counts every model here starts from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

DAYS_PER_WEEK = 7
_WORD_BITS = 63
_DAY_BITS = 20
"""Days are packed beside the customer in one integer: 2^20 days are 2,870 years."""


@dataclass(frozen=True)
class PurchaseDays:
    """Days on which customers bought, by customer and day; purchases of one day are one transaction of the models.

    That merging is customary in Fader and Hardie's papers. Days are whole days since 1970-01-01 UTC.
    """

    customer: Ints
    """Code of the customer, from 0."""
    day: Ints
    amount: Ints
    """Revenue in minor units of one currency."""
    purchases: Ints
    """How many there were that day."""

    @classmethod
    def of(cls, customer: Ints, day: Ints, amount: Ints, purchases: Ints | None = None) -> "PurchaseDays":
        """From rows in any order: single purchases, or days with the number of `purchases` in each, to be joined."""
        if len(customer) == 0:
            none = np.zeros(0, dtype=np.int64)
            return cls(none, none, none, none)
        origin = int(day.min())
        key = customer.astype(np.int64) << _DAY_BITS
        key += day
        key -= origin
        if purchases is None and (packed := _packed(key, amount)) is not None:
            key, amount = packed
        else:
            order = np.argsort(key)
            key, amount = key[order], amount[order]
            purchases = None if purchases is None else purchases[order]
        starts = _starts(key)
        counts = np.diff(starts, append=len(key)) if purchases is None else np.add.reduceat(purchases, starts)
        amount = np.add.reduceat(amount, starts)
        key = key[starts]
        return cls(key >> _DAY_BITS, (key & ((1 << _DAY_BITS) - 1)) + origin, amount, counts)

    def __len__(self) -> int:
        return len(self.customer)


@dataclass(frozen=True)
class Summary:
    """What each customer bought, one element a customer, by ascending code."""

    customer: Ints
    first_day: Ints
    last_day: Ints
    days: Ints
    """Days with a purchase, at least 1."""
    purchases: Ints
    """At least as many."""
    revenue: Ints
    repeat_revenue: Ints
    """Revenue after the first purchase day."""
    early_days: Ints
    """Days with a purchase until the day `cut`; 0 for those who came later."""
    early_last_day: Ints
    """The last of them, or the first purchase day where there is none."""
    inner_days: Ints
    """Days with a purchase until the earlier day `inner_cut`; 0 for those who came later."""
    inner_last_day: Ints
    """The last of them, or the first purchase day where there is none."""

    @classmethod
    def of(cls, bought: PurchaseDays, cut: int, inner_cut: int | None = None) -> "Summary":
        """Sums of integers only: the result does not depend on the order or the grouping of rows.

        Without an `inner_cut` there are two equal ones.
        """
        if len(bought) == 0:
            return cls(*([np.zeros(0, dtype=np.int64)] * 11))
        firsts = _starts(bought.customer)
        ends = np.append(firsts[1:], len(bought))
        revenue = np.add.reduceat(bought.amount, firsts)
        early, inner = (
            np.add.reduceat((bought.day <= day).astype(np.int64), firsts)
            for day in (cut, cut if inner_cut is None else inner_cut)
        )
        return cls(
            customer=bought.customer[firsts],
            first_day=bought.day[firsts],
            last_day=bought.day[ends - 1],
            days=ends - firsts,
            purchases=np.add.reduceat(bought.purchases, firsts),
            revenue=revenue,
            repeat_revenue=revenue - bought.amount[firsts],
            early_days=early,
            early_last_day=bought.day[firsts + np.maximum(early, 1) - 1],
            inner_days=inner,
            inner_last_day=bought.day[firsts + np.maximum(inner, 1) - 1],
        )

    def __len__(self) -> int:
        return len(self.customer)


def grouped(*columns: Ints, weights: Ints | None = None) -> tuple[tuple[Ints, ...], Ints]:
    """Distinct rows of equally long columns, sorted by the first column, then the second ..., and how many there are.

    With `weights` a row counts that many times. Models fit on such groups: far fewer rows, and the same sums whatever
    the order or the partition the rows came in.
    """
    if len(columns[0]) == 0:
        return tuple(column.astype(np.int64) for column in columns), np.zeros(0, dtype=np.int64)
    if weights is None and (joined := _joined(columns)) is not None:
        return joined
    order = np.lexsort(columns[::-1])
    sorted_columns = [column[order] for column in columns]
    new = np.zeros(len(order), dtype=bool)
    new[0] = True
    for column in sorted_columns:
        new[1:] |= column[1:] != column[:-1]
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(order))) if weights is None else np.add.reduceat(weights[order], starts)
    return tuple(column[starts] for column in sorted_columns), counts


def _joined(columns: tuple[Ints, ...]) -> tuple[tuple[Ints, ...], Ints] | None:
    """The same by sorting one integer for each row, several times as fast, if all columns fit into it."""
    least = [int(column.min()) for column in columns]
    bits = [(int(column.max()) - low).bit_length() for column, low in zip(columns, least, strict=True)]
    if sum(bits) > _WORD_BITS:
        return None
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column, low, width in zip(columns, least, bits, strict=True):
        key <<= width
        key += column
        key -= low
    key.sort()
    starts = _starts(key)
    counts = np.diff(starts, append=len(key))
    key = key[starts]
    found: list[Ints] = []
    for low, width in zip(reversed(least), reversed(bits), strict=True):
        found.append((key & ((1 << width) - 1)) + low)
        key >>= width
    return tuple(reversed(found)), counts


def thinned(counts: Ints, most: int) -> Ints:
    """How many of each group are among `most` customers at even distances, all standing in the order of the groups.

    Groups in canonical order make it a sample that does not depend on the order of rows.
    """
    reached = np.cumsum(counts)
    kept = reached * most // max(int(reached[-1]), most) if len(counts) else reached
    return np.diff(kept, prepend=0)


def _packed(key: Ints, amount: Ints) -> tuple[Ints, Ints] | None:
    """Both, by key, then amount, if both fit into one integer: that sorts several times as fast as places do."""
    least = int(amount.min())
    bits = (int(amount.max()) - least).bit_length()
    if int(key.max()).bit_length() + bits > _WORD_BITS:
        return None
    both = key << bits
    both += amount
    both -= least
    both.sort()
    return both >> bits, (both & ((1 << bits) - 1)) + least


def _starts(ordered: Ints) -> Ints:
    """Positions at which a new value begins."""
    new = np.empty(len(ordered), dtype=bool)
    new[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return np.flatnonzero(new)
