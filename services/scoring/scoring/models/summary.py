"""From single purchases to one row per customer: the counts every model here starts from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

DAYS_PER_WEEK = 7
_DAY_BITS = 20
"""Days are packed beside the customer in one integer: 2^20 days are 2,870 years."""


@dataclass(frozen=True)
class Summary:
    """What each customer bought, one element a customer, in the order of the customers' codes.

    Purchases of one customer on one day are one transaction, as in Fader and Hardie's papers. Days are whole days
    since 1970-01-01 UTC; money is in minor units of one currency.
    """

    customer: Ints
    """Codes of the customers, ascending."""
    first_day: Ints
    last_day: Ints
    days: Ints
    """Days with a purchase, at least 1."""
    purchases: Ints
    """Orders, at least `days`."""
    revenue: Ints
    repeat_revenue: Ints
    """Revenue after the first purchase day."""
    repeated_orders: int = 0
    """Rows left out because the same customer's order was there already."""

    def __len__(self) -> int:
        return len(self.customer)


def summarise(customer: Ints, day: Ints, amount: Ints, order: NDArray[np.uint64] | None = None) -> Summary:
    """Summary of purchases given as equally long arrays: code of the customer (from 0), day, amount in minor units.

    With `order` (a 64-bit hash of the order's id) an order of a customer counts once: its latest row stands, among
    those of one day the largest. The result does not depend on the order of rows: all sums are of integers.
    """
    if len(customer) == 0:
        none = np.zeros(0, dtype=np.int64)
        return Summary(none, none, none, none, none, none, none)
    repeated = 0
    if order is not None and _has_repeats(order):
        kept = _last_of_each_order(customer, day, amount, order)
        repeated = len(customer) - len(kept)
        customer, day, amount = customer[kept], day[kept], amount[kept]
    origin = int(day.min())
    key = customer.astype(np.int64) << _DAY_BITS
    key += day
    key -= origin
    order_of_rows = np.argsort(key)
    key = key[order_of_rows]
    starts = _starts(key)
    value = np.add.reduceat(amount[order_of_rows], starts)
    orders = np.diff(np.append(starts, len(key)))
    key = key[starts]
    who = key >> _DAY_BITS
    when = (key & ((1 << _DAY_BITS) - 1)) + origin
    firsts = _starts(who)
    ends = np.append(firsts[1:], len(who))
    revenue = np.add.reduceat(value, firsts)
    return Summary(
        customer=who[firsts],
        first_day=when[firsts],
        last_day=when[ends - 1],
        days=ends - firsts,
        purchases=np.add.reduceat(orders, firsts),
        revenue=revenue,
        repeat_revenue=revenue - value[firsts],
        repeated_orders=repeated,
    )


def grouped(*columns: Ints, weights: Ints | None = None) -> tuple[tuple[Ints, ...], Ints]:
    """Distinct rows of equally long columns, sorted by the first column, then the second ..., and how many there are.

    With `weights` a row counts that many times. Models fit on such groups: far fewer rows, and the same sums whatever
    the order or the partition the rows came in.
    """
    if len(columns[0]) == 0:
        return tuple(column.astype(np.int64) for column in columns), np.zeros(0, dtype=np.int64)
    order = np.lexsort(columns[::-1])
    sorted_columns = [column[order] for column in columns]
    new = np.zeros(len(order), dtype=bool)
    new[0] = True
    for column in sorted_columns:
        new[1:] |= column[1:] != column[:-1]
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(order))) if weights is None else np.add.reduceat(weights[order], starts)
    return tuple(column[starts] for column in sorted_columns), counts


def _starts(ordered: Ints) -> Ints:
    """Positions at which a new value begins."""
    new = np.empty(len(ordered), dtype=bool)
    new[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return np.flatnonzero(new)


def _has_repeats(order: NDArray[np.uint64]) -> bool:
    ordered = np.sort(order)
    return bool((ordered[1:] == ordered[:-1]).any())


def _last_of_each_order(customer: Ints, day: Ints, amount: Ints, order: NDArray[np.uint64]) -> Ints:
    # Only within one customer: other customers' orders may bear the same number.
    rows = np.lexsort((amount, day, order, customer))
    last = np.ones(len(rows), dtype=bool)
    last[:-1] = (customer[rows[1:]] != customer[rows[:-1]]) | (order[rows[1:]] != order[rows[:-1]])
    return rows[last]
