"""What a customer has bought so far, as little as scores need: whatever order purchases are added in, the same results.

The days themselves are kept, as bits of one number, because a late purchase may be on a new day or on a known one; and
of the first day its revenue, because a repeat purchase is one on a later day. Purchases of the future wait.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

DAY_MS = 86_400_000
LATER_MAX = 100
"""Purchases of the future of one customer; clocks of shops may go ahead by a day."""


class Bought(NamedTuple):
    """One purchase. time: milliseconds since 1970, UTC. amount: minor units."""

    time: int
    amount: int


class TooManyLaterError(Exception):
    """More purchases of the future than are kept."""


@dataclass(frozen=True)
class History:
    """Purchases in one currency. first_day: since 1970, UTC. days: bit n is set when something was bought n days later.

    first_revenue: of the first day. later: those whose time has not come, oldest first.
    """

    first_day: int = 0
    days: int = 0
    purchases: int = 0
    revenue: int = 0
    first_revenue: int = 0
    later: tuple[Bought, ...] = ()

    def add(self, bought: Iterable[Bought], now: int) -> "History":
        """With further purchases, and those whose time has come. now: milliseconds since 1970.

        Refunds (amounts below zero) count for nothing, as in jobs. Raises TooManyLaterError.
        """
        history = History(self.first_day, self.days, self.purchases, self.revenue, self.first_revenue)
        waiting = []
        for purchase in (*self.later, *bought):
            if purchase.amount < 0:
                continue
            if purchase.time > now:
                waiting.append(purchase)
            else:
                day, amount = purchase.time // DAY_MS, purchase.amount
                history = history.joined(History(day, 1, 1, amount, amount))
        if len(waiting) > LATER_MAX:
            raise TooManyLaterError
        return history._with_later(waiting)

    def joined(self, other: "History") -> "History":
        """What two customers bought together."""
        later = (*self.later, *other.later)
        if not self.days or not other.days:
            one = self if self.days else other
            return one._with_later(later)
        early, late = (self, other) if self.first_day <= other.first_day else (other, self)
        gap = late.first_day - early.first_day
        return History(
            early.first_day,
            early.days | late.days << gap,
            early.purchases + late.purchases,
            early.revenue + late.revenue,
            early.first_revenue + (0 if gap else late.first_revenue),
            tuple(sorted(later)),
        )

    @property
    def columns(self) -> dict[str, int]:
        """What models look at (`models.scorecard.COLUMNS`); of one who has bought something."""
        return {
            "first_day": self.first_day,
            "last_day": self.first_day + self.days.bit_length() - 1,
            "days": self.days.bit_count(),
            "purchases": self.purchases,
            "revenue": self.revenue,
            "repeat_revenue": self.revenue - self.first_revenue,
        }

    def to_row(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "first_day": self.first_day,
            "days": self.days.to_bytes((self.days.bit_length() + 7) // 8, "little"),
            "purchases": self.purchases,
            "revenue_minor": self.revenue,
            "first_revenue_minor": self.first_revenue,
            "later": [list(purchase) for purchase in self.later],
        }

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "History":
        """What `to_row` made."""
        return cls(
            row["first_day"],
            int.from_bytes(row["days"], "little"),
            row["purchases"],
            row["revenue_minor"],
            row["first_revenue_minor"],
            tuple(Bought(*purchase) for purchase in row["later"]),
        )

    def _with_later(self, later: Iterable[Bought]) -> "History":
        return History(
            self.first_day, self.days, self.purchases, self.revenue, self.first_revenue, tuple(sorted(later))
        )
