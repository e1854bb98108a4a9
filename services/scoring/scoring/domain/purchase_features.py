"""What somebody may have bought, as models look at it; and what nobody can have bought."""

import math
from dataclasses import dataclass

DAYS_PER_WEEK = 7
DAYS_MAX = 36_525
"""A hundred years."""
MINOR_MAX = 10**15
"""Of an amount, in minor units."""


@dataclass(frozen=True)
class Features:
    """Purchases of one customer. frequency: days with one after the first such day; days since the first purchase.

    repeat_revenue, revenue: sums in minor units, of the days that `frequency` counts and of all.
    """

    frequency: int
    recency_days: int
    age_days: int
    repeat_revenue: int
    revenue: int

    def problems(self) -> list[tuple[str, str]]:
        """What is impossible in it: the field of the request, and what is wrong with it and how to mend it."""
        found = []
        counts = 0 <= self.frequency <= DAYS_MAX
        if not counts:
            found.append(("frequency", f"0 to {DAYS_MAX}."))
        if not 0 <= self.age_days <= DAYS_MAX:
            found.append(("age_weeks", f"0 to {DAYS_MAX // DAYS_PER_WEEK}."))
        if self.recency_days < 0:
            found.append(("recency_weeks", "Not below 0: the last purchase is not before the first."))
        elif self.recency_days > self.age_days:
            found.append(("recency_weeks", "At most age_weeks: the last purchase is not in the future."))
        elif self.frequency == 0 and self.recency_days:
            found.append(("recency_weeks", "0 where frequency is 0: the last purchase was on the first day."))
        elif counts and self.recency_days < self.frequency:
            found.append(("recency_weeks", "At least a day, a seventh of a week, for each that frequency counts."))
        if counts and not 0 <= self.repeat_revenue <= MINOR_MAX:
            found.append(("monetary_value", f"Not below 0; times frequency {MINOR_MAX} minor units at most."))
        elif counts and not self.repeat_revenue <= self.revenue <= MINOR_MAX:
            found.append(("revenue", "At least monetary_value times frequency: the first purchase is part of it too."))
        return found


def whole_days(weeks: float) -> int | None:
    """The nearest number of whole days; None for what is no number of weeks."""
    return round(weeks * DAYS_PER_WEEK) if math.isfinite(weeks) and abs(weeks) < 1e6 else None
