"""What customers did until a day and how often they bought within a time after it: what models are tested on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.jobs.executor import Executor
from scoring.jobs.tasks import Part, purchase_days
from scoring.models.comparison import Rows
from scoring.models.summary import DAYS_PER_WEEK, Ints, PurchaseDays, grouped


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


def rows(executor: Executor, parts: Sequence[Part], windows: Sequence[Window]) -> list[Rows]:
    """Of each window, the customers known by its day; equal ones are one row, in an order that is always the same."""
    pieces = [WindowPart(part, tuple(windows)) for part in parts]
    found = executor.run(count, pieces, lambda _: None)
    return [_joined([piece[number] for piece in found], window) for number, window in enumerate(windows)]


def count(piece: WindowPart) -> list[tuple[Ints, ...]]:
    """A task: x, recency, age, purchase days that followed, and how many customers are alike, of each window."""
    _, bought = purchase_days(piece.part)
    return [_seen(bought, window) for window in piece.windows]


def _seen(bought: PurchaseDays, window: Window) -> tuple[Ints, ...]:
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
    columns = (days - 1, last - first, window.day - first, later)
    seen, counts = grouped(*(column[there].astype(np.int64) for column in columns))
    return (*seen, counts)


def _joined(found: list[tuple[Ints, ...]], window: Window) -> Rows:
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    (x, recency, age, later), counts = grouped(*columns[:4], weights=columns[4])
    return Rows(x, recency, age, later, counts, window.weeks)
