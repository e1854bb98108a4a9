"""What customers did until a day, how often they bought within a time after it and for how much: what models are
tested on; and what models expect of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from scoring.jobs.executor import Executor
from scoring.jobs.tasks import Part, ledger_of
from scoring.models.baseline import MeanRate
from scoring.models.comparison import Rows, Spenders
from scoring.models.fitting import Floats
from scoring.models.lifetime_value import Choice
from scoring.models.name_hashes import hashed
from scoring.models.summary import DAYS_PER_WEEK, Ints, PurchaseDays, grouped

REVENUE_CUSTOMERS_MOST = 100_000
"""On whom revenue is tested: hardly two of them are alike. Of more, some are chosen by a hash of their names."""


@dataclass(frozen=True)
class Window:
    """Purchases until `day` are known; those after it, until `end`, are to be told."""

    day: int
    end: int

    @property
    def weeks(self) -> float:
        """How long it is."""
        return (self.end - self.day) / DAYS_PER_WEEK


@dataclass(frozen=True)
class WindowPart:
    """One partition of the customers, seen through some windows."""

    part: Part
    windows: tuple[Window, ...]
    share: float
    """Of the customers whose revenue is looked at."""


@dataclass(frozen=True)
class Seen:
    """The customers known by a window's day: all by how often they bought, all or some by how much they spent."""

    purchases: Rows
    revenue: Spenders


def seen(executor: Executor, parts: Sequence[Part], windows: Sequence[Window], customers: int) -> list[Seen]:
    """Of each window; equal customers are one row, in an order that is always the same. customers: how many there are
    today.
    """
    share = REVENUE_CUSTOMERS_MOST / max(customers, REVENUE_CUSTOMERS_MOST)
    pieces = [WindowPart(part, tuple(windows), share) for part in parts]
    found = executor.run(count, pieces, lambda _: None)
    return [_joined([piece[number] for piece in found], window) for number, window in enumerate(windows)]


def count(piece: WindowPart) -> list[tuple[tuple[Ints, ...], tuple[Ints, ...]]]:
    """A task, for each window: x, recency, age, purchase days that followed, and how many customers are alike; and of
    those whose revenue is looked at x, recency, age, revenue that followed, spent, before (`Spenders`), and how many.
    """
    names, ledger = ledger_of(piece.part)
    chosen, bought = _chosen(names, piece.share), ledger.days()
    found = []
    for window in piece.windows:
        # Until then nobody knew of later refunds; what followed is told as it turned out.
        before = bought.amount if ledger.order is None else ledger.days(until=window.day).amount
        found.append(_seen(bought, before, window, chosen))
    return found


def expected(model: Any, rows: Rows) -> Floats:
    """Purchases a model expects of each row's customers within its time."""
    if isinstance(model, MeanRate):
        return np.full(len(rows.x), model.rate * rows.weeks)
    found: Floats = model.expected_purchases(rows.x, rows.recency / DAYS_PER_WEEK, rows.age / DAYS_PER_WEEK, rows.weeks)
    return found


def expected_revenue(choice: Choice, rows: Spenders) -> Floats:
    """Minor units that models expect of each row's customers within its time."""
    return expected(choice.purchases, rows) * choice.spend.expected_spend(rows.x, rows.spent)


def _chosen(names: pa.Array, share: float) -> Ints:
    """Places of so many of the customers, the same however these are divided."""
    if share >= 1:
        return np.arange(len(names))
    return np.flatnonzero(hashed(names.to_pylist()) < share * 2.0**64)


def _seen(
    bought: PurchaseDays, known_amount: Ints, window: Window, chosen: Ints
) -> tuple[tuple[Ints, ...], tuple[Ints, ...]]:
    """known_amount: what was left of each day as far as was known on the window's day."""
    known = bought.day <= window.day
    customer, day = bought.customer[known], bought.day[known]
    size = int(bought.customer[-1]) + 1 if len(bought) else 0
    days = np.bincount(customer, minlength=size)
    there = days > 0
    # Days of a customer ascend: the first one written in reverse stays, as does the last one written in order.
    first, last = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    first[customer[::-1]] = day[::-1]
    last[customer] = day
    after = (bought.day > window.day) & (bought.day <= window.end)
    later = np.bincount(bought.customer[after], minlength=size)
    known_of = (days - 1, last - first, window.day - first)
    alike, counts = grouped(*(column[there].astype(np.int64) for column in (*known_of, later)))
    before, earned, opening = (
        _sums(bought.customer[flags], amount[flags], size)
        for flags, amount in (
            (known, known_amount),
            (after, bought.amount),
            (known & (bought.day == first[bought.customer]), known_amount),
        )
    )
    some = chosen[there[chosen]]
    money, of_money = grouped(
        *(column[some].astype(np.int64) for column in (*known_of, earned, before - opening, before))
    )
    return (*alike, counts), (*money, of_money)


def _sums(customer: Ints, amount: Ints, size: int) -> Ints:
    """Of each customer, exactly."""
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, customer, amount)
    return sums


def _joined(found: list[tuple[tuple[Ints, ...], tuple[Ints, ...]]], window: Window) -> Seen:
    rows, money = (
        [np.concatenate(parts) for parts in zip(*pieces, strict=True)] for pieces in zip(*found, strict=True)
    )
    (x, recency, age, later), counts = grouped(*rows[:-1], weights=rows[-1])
    (m_x, m_recency, m_age, earned, spent, before), of_money = grouped(*money[:-1], weights=money[-1])
    return Seen(
        Rows(x, recency, age, later, counts, window.weeks),
        Spenders(m_x, m_recency, m_age, earned, of_money, window.weeks, spent, before),
    )
