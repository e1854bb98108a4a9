"""When what happens again and again happens next: every so many hours, or at a time of the day in a time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

INTERVAL_HOURS_MAX = 2_160
"""90 days."""
_LOOK_AHEAD_DAYS = 9
"""Each day of the week is within a week; a day more on either side for where dates begin and end elsewhere."""


@dataclass(frozen=True)
class Interval:
    """Every so many hours that really pass."""

    hours: int

    def next(self, due: datetime, now: datetime) -> datetime:
        """The first instant after `now` a whole number of intervals after `due`: what was missed is left out."""
        step = timedelta(hours=self.hours)
        return due + step * max((now - due) // step + 1, 1)


@dataclass(frozen=True)
class LocalTime:
    """A time of the day on days of the week (0 is Monday), by the clock on the wall.

    Put forward over it, the clock is as much later; of a time shown twice the first counts (RFC 5545, section 3.3.5).
    """

    minutes: int
    days: frozenset[int]
    zone: ZoneInfo

    def next(self, _due: datetime, now: datetime) -> datetime:
        """The first such instant after `now`."""
        at = time(*divmod(self.minutes, 60))
        today = now.astimezone(self.zone).date()
        days = (today + timedelta(days=number) for number in range(-1, _LOOK_AHEAD_DAYS))
        # fold=0: of the two offsets around a change of the clock, the one before it.
        instants = (datetime.combine(day, at, self.zone).astimezone(UTC) for day in days if day.weekday() in self.days)
        return min(instant for instant in instants if instant > now)


Timing = Interval | LocalTime
