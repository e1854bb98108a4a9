"""What customers did after they entered a journey, counted by group, and how these counts are told."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WINDOWS = (7, 14, 28, 56, 84)
"""Days after the entry; whole weeks, so that each holds as many of each day of the week."""
WINDOW_DEFAULT = 28
FEATURES = (
    *("p_alive", "expected_purchases", "lifetime_value", "monetary"),
    *("recency_weeks", "frequency", "age_weeks"),
)
"""Scores kept with an entry; amounts in minor units."""
DAY_MS = 86_400_000


class Purchase(NamedTuple):
    """One purchase. time: milliseconds since 1970. amount: minor units of the currency."""

    time: int
    amount: int
    currency: str


@dataclass
class Group:
    """Outcomes of one group, to one of `WINDOWS`.

    revenue: currency -> sum over customers of what each spent, and of its square, in minor units. purchases: of each
    currency.
    """

    customers: int = 0
    buyers: int = 0
    revenue: dict[str, tuple[int, int]] = field(default_factory=dict)
    purchases: Counter[str] = field(default_factory=Counter)

    def add(self, bought: Iterable[Purchase]) -> bool:
        """Counts one customer by what they bought within the window; returns whether they bought."""
        spent: Counter[str] = Counter()
        for purchase in bought:
            spent[purchase.currency] += purchase.amount
            self.purchases[purchase.currency] += 1
        self.customers += 1
        self.buyers += bool(spent)
        for currency, amount in spent.items():
            total, squares = self.revenue.get(currency, (0, 0))
            self.revenue[currency] = (total + amount, squares + amount * amount)
        return bool(spent)


@dataclass
class Tally:
    """Everybody of one journey, counted.

    groups: (days, percent held out, held out or not) -> outcomes of those whose window is over. waiting: days -> how
    many's is not. first_end: days -> when the first of these ends, milliseconds since 1970. crossed: people who are
    in both groups because customers were merged; they count in the one they were in first.
    """

    now: int
    groups: dict[tuple[int, int, bool], Group] = field(default_factory=lambda: defaultdict(Group))
    waiting: Counter[int] = field(default_factory=Counter)
    first_end: dict[int, int] = field(default_factory=dict)
    crossed: int = 0

    def add(self, percent: int, entry: int, purchases: Iterable[Purchase], *, held_out: bool) -> dict[int, bool]:
        """Counts a person who entered then; returns whether they bought, by days of the windows that are over."""
        later = [purchase for purchase in purchases if purchase.time > entry]
        bought: dict[int, bool] = {}
        for days in WINDOWS:
            end = entry + days * DAY_MS
            if end > self.now:
                self.waiting[days] += 1
                self.first_end[days] = min(end, self.first_end.get(days, end))
                continue
            within = (purchase for purchase in later if purchase.time <= end)
            bought[days] = self.groups[days, percent, held_out].add(within)
        return bought

    def percents(self, days: int) -> list[int]:
        """The percentages under which people entered whose window is over."""
        return sorted({percent for known, percent, _ in self.groups if known == days})

    def group(self, days: int, percent: int, *, held_out: bool) -> Group:
        """The outcomes of one group."""
        return self.groups.get((days, percent, held_out)) or Group()

    def purchases(self, days: int) -> Counter[str]:
        """How many purchases there were in each currency."""
        found: Counter[str] = Counter()
        for (known, _, _), group in self.groups.items():
            if known == days:
                found += group.purchases
        return found


def snapshot_of(score: Mapping[str, Any]) -> dict[str, float]:
    """What is kept of stored scores beside an entry."""
    minor = {"lifetime_value": "lifetime_value_minor", "monetary": "monetary_minor"}
    found = {name: score.get(minor.get(name, name)) for name in FEATURES}
    return {name: float(value) for name, value in found.items() if value is not None}
