"""What a customer has bought so far, as little as scores need: whatever order purchases are added in, the same results.

The days themselves are kept, as bits of one number, because a late purchase may be on a new day or on a known one; and
of the first day its revenue, because a repeat purchase is one on a later day. Purchases of the future wait. Those in
other currencies than the main one are kept as they were made: a rate of their day may become known later, or be mended.
Of the last year every purchase and refund is kept, for the risk of leaving; of all time as many as can be, as a refund
reduces what is left of the purchases of its order, however old.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from scoring.features.declared import PURCHASE, REFUND
from scoring.features.row import Event, left

DAY_MS = 86_400_000
LATER_MAX = 100
"""Purchases of the future of one customer; clocks of shops may go ahead by a day."""
ABROAD_MAX = 1_000
"""Purchases of one customer in other currencies than the main one."""
RECENT_MS = 366 * DAY_MS
"""So long purchases are kept one by one, a day longer than features look back."""
KEPT_MAX = 1_000
"""Purchases and refunds of one customer that are kept one by one: of all time or, where they are more, of the last
RECENT_MS."""
FORM = 5
"""Of `History.to_row`: in 4 refunds changed no sum, and what is older than a year was not kept one by one; in 3 refunds
and what waits were not counted into the oldest day, 2 was without that, 1 without the purchases of the last year, none
without those in other currencies."""


class Bought(NamedTuple):
    """One purchase, or a refund if its amount is below 0. time: milliseconds since 1970, UTC. amount: minor units.

    currency: empty for the main one. order: `domain.happenings.order_of` it.
    """

    time: int
    amount: int
    currency: str = ""
    order: int = 0


Convert = Callable[[int, str, int], int | None]
"""An amount in minor units, its currency and its time (microseconds since 1970) to minor units of the main currency;
None without a rate (`features.rates.DayRates.convert`)."""


class TooManyKeptError(Exception):
    """More purchases of the future, or in other currencies, than are kept."""


@dataclass(frozen=True)
class History:
    """Purchases in the main currency. first_day: since 1970, UTC. days: bit n is set when something was bought n days
    later.

    first_revenue: of the first day. later: those whose time has not come, oldest first, in any currency. abroad: the
    others in other currencies, oldest first. recent: all of the last RECENT_MS, refunds too, oldest first; None where
    they were too many. older: the same of those before; None where all together were too many. refunded: whether any
    refund of an order has come, which no sum but those of `converted` has in it.
    """

    first_day: int = 0
    days: int = 0
    purchases: int = 0
    revenue: int = 0
    first_revenue: int = 0
    later: tuple[Bought, ...] = ()
    abroad: tuple[Bought, ...] = ()
    recent: tuple[Bought, ...] | None = ()
    older: tuple[Bought, ...] | None = ()
    refunded: bool = False

    @property
    def can_be_told(self) -> bool:
        """Whether it is known what is left of the purchases."""
        return not self.refunded or (self.recent is not None and self.older is not None)

    def add(self, bought: Iterable[Bought], now: int) -> "History":
        """With further purchases, and those whose time has come. now: milliseconds since 1970.

        Raises TooManyKeptError.
        """
        history = replace(self, later=(), abroad=(), recent=(), older=())
        waiting, abroad, come = [], list(self.abroad), []
        for purchase in (*self.later, *bought):
            if purchase.time > now:
                waiting.append(purchase)
                continue
            come.append(purchase)
            if purchase.amount < 0:
                history = replace(history, refunded=history.refunded or purchase.order != 0)
                continue
            if purchase.currency:
                abroad.append(purchase)
            else:
                history = history._with_one(purchase.time, purchase.amount)
        if len(waiting) > LATER_MAX or len(abroad) > ABROAD_MAX:
            raise TooManyKeptError
        return history._with_kept(waiting, abroad, *self._one_by_one(come, now))

    def _one_by_one(self, come: Iterable[Bought], now: int) -> tuple[list[Bought] | None, list[Bought] | None]:
        """Those of the last RECENT_MS and those before, as far as they are kept."""
        if self.recent is None:
            return None, None
        recent, older = list[Bought](), list[Bought]()
        for purchase in (*self.recent, *(self.older or ()), *come):
            (recent if purchase.time > now - RECENT_MS else older).append(purchase)
        whole = self.older is not None and len(recent) + len(older) <= KEPT_MAX
        return recent if len(recent) <= KEPT_MAX else None, older if whole else None

    def joined(self, other: "History") -> "History":
        """What two customers bought together."""
        recent = None if self.recent is None or other.recent is None else (*self.recent, *other.recent)
        older = None if self.older is None or other.older is None else (*self.older, *other.older)
        kept = (*self.later, *other.later), (*self.abroad, *other.abroad), recent, older
        refunded = self.refunded or other.refunded
        if not self.days or not other.days:
            one = self if self.days else other
            return replace(one, refunded=refunded)._with_kept(*kept)
        early, late = (self, other) if self.first_day <= other.first_day else (other, self)
        gap = late.first_day - early.first_day
        return History(
            early.first_day,
            early.days | late.days << gap,
            early.purchases + late.purchases,
            early.revenue + late.revenue,
            early.first_revenue + (0 if gap else late.first_revenue),
            refunded=refunded,
        )._with_kept(*kept)

    def converted(self, convert: Convert) -> "History":
        """With purchases in other currencies by the rate of their day, and what is left of all after refunds.

        Amounts without a rate are left out, as in jobs. Only where it `can_be_told`.
        """
        history = replace(self, abroad=())
        for purchase in self.abroad:
            amount = convert(purchase.amount, purchase.currency, purchase.time * 1_000)
            if amount is not None:
                history = history._with_one(purchase.time, amount)
        return history._without_refunded(convert) if self.refunded else history

    def _without_refunded(self, convert: Convert) -> "History":
        revenue, first_revenue = self.revenue, self.first_revenue
        for time, paid, rest in left(sorted(self._of_orders(convert), key=lambda event: (event.time, event.amount))):
            revenue -= paid - rest
            if time // DAY_MS == self.first_day:
                first_revenue -= paid - rest
        return replace(self, revenue=revenue, first_revenue=first_revenue)

    def _of_orders(self, convert: Convert) -> Iterator[Event]:
        for time, amount, currency, order in (*(self.older or ()), *(self.recent or ())):
            told = convert(amount, currency, time * 1_000) if currency else amount
            if order and told is not None:
                yield Event(PURCHASE if amount >= 0 else REFUND, time, abs(told), order)

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
        oldest = [*self.later[:1], *self.abroad[:1], *(self.older or ())[:1], *(self.recent or ())[:1]]
        days = [self.first_day] * bool(self.days) + [purchase.time // DAY_MS for purchase in oldest]
        return {
            "oldest_day": min(days, default=None),
            "first_day": self.first_day,
            "days": self.days.to_bytes((self.days.bit_length() + 7) // 8, "little"),
            "purchases": self.purchases,
            "revenue_minor": self.revenue,
            "first_revenue_minor": self.first_revenue,
            "later": [list(purchase) for purchase in self.later],
            "abroad": [list(purchase) for purchase in self.abroad],
            "recent": None if self.recent is None else [list(purchase) for purchase in self.recent],
            "older": None if self.older is None else [list(purchase) for purchase in self.older],
            "refunded": self.refunded,
            "form": FORM,
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
            tuple(Bought(*purchase) for purchase in row["abroad"]),
            None if row["recent"] is None else tuple(Bought(*purchase) for purchase in row["recent"]),
            None if row["older"] is None else tuple(Bought(*purchase) for purchase in row["older"]),
            row["refunded"],
        )

    def _with_one(self, time: int, amount: int) -> "History":
        return self.joined(History(time // DAY_MS, 1, 1, amount, amount))

    def _with_kept(
        self,
        later: Iterable[Bought],
        abroad: Iterable[Bought],
        recent: Iterable[Bought] | None,
        older: Iterable[Bought] | None,
    ) -> "History":
        newest, before = (None if some is None else tuple(sorted(some)) for some in (recent, older))
        return replace(self, later=tuple(sorted(later)), abroad=tuple(sorted(abroad)), recent=newest, older=before)
