"""Open hours: how much of them lies between two instants, and which instant a number of them leads to.

An instant is open when the clock on the wall of the calendar's zone then shows a time within the open hours of its
day, and the day is no holiday. So hours skipped by a change of the clock do not count, and hours shown twice count
twice: what counts is the time that really passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY_MINUTES = 24 * 60
HORIZON = timedelta(days=3660)
"""How far ahead open hours are looked for."""

_MARGIN = timedelta(hours=3)
_DAYS_KEPT = 2_000

Hours = tuple[tuple[int, int], ...]
"""Open hours of a day: from and to, as minutes after midnight; sorted, without overlap."""


@dataclass(frozen=True)
class OpenHours:
    """A calendar: the open hours of each day of the week, Monday first, in a time zone, and days that have none."""

    zone: ZoneInfo
    week: tuple[Hours, Hours, Hours, Hours, Hours, Hours, Hours]
    holidays: frozenset[date] = frozenset()
    _days: dict[date, tuple[tuple[datetime, datetime], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of_day(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        """The open times of a local day, as instants in UTC; sorted, apart from each other."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) >= _DAYS_KEPT:
                self._days.clear()
            known = self._days[day] = tuple(self._pieces(day))
        return known

    def _pieces(self, day: date) -> list[tuple[datetime, datetime]]:
        hours = () if day in self.holidays else self.week[day.weekday()]
        if not hours:
            return []
        midnight = datetime.combine(day, time(), UTC)
        early = midnight - self._offset(midnight - timedelta(days=1)) - _MARGIN
        late = midnight + timedelta(days=1) - self._offset(midnight + timedelta(days=2)) + _MARGIN
        before, after = self._offset(early), self._offset(late)
        if before == after:
            return [(_wall(midnight, start) - before, _wall(midnight, end) - before) for start, end in hours]
        change = self._change(early, late)
        pieces = [
            (_wall(midnight, start) - before, min(_wall(midnight, end) - before, change)) for start, end in hours
        ] + [(max(_wall(midnight, start) - after, change), _wall(midnight, end) - after) for start, end in hours]
        return sorted(piece for piece in pieces if piece[0] < piece[1])

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self.zone).utcoffset() or timedelta()

    def _change(self, early: datetime, late: datetime) -> datetime:
        """The instant between the two from which on the clock on the wall is another one."""
        before = self._offset(early)
        low, high = 0, int((late - early).total_seconds())
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(early + timedelta(seconds=middle)) == before else (low, middle)
        return early + timedelta(seconds=high)

    def _from(self, instant: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Open times that end after an instant, in order, as far as the horizon."""
        # A zone that moves across the date line may show a date again, or skip one: begin a day early.
        day = instant.astimezone(self.zone).date() - timedelta(days=1)
        for _ in range(HORIZON.days):
            for start, end in self.of_day(day):
                if end > instant:
                    yield max(start, instant), end
            day += timedelta(days=1)


def open_between(calendar: OpenHours, start: datetime, end: datetime) -> timedelta:
    """The open time between two instants (aware); none when `end` is not after `start`. At most the horizon's."""
    total = timedelta()
    if end <= start:
        return total
    for opens, closes in calendar._from(start):
        if opens >= end:
            break
        total += min(closes, end) - opens
    return total


def add_open(calendar: OpenHours, start: datetime, amount: timedelta) -> datetime | None:
    """The earliest instant until which `amount` of open time has passed since `start` (aware); in UTC.

    `start` itself for no time at all; None when the horizon does not hold so much.
    """
    if amount <= timedelta():
        return start.astimezone(UTC)
    left = amount
    for opens, closes in calendar._from(start.astimezone(UTC)):
        if closes - opens >= left:
            return opens + left
        left -= closes - opens
    return None


def _wall(midnight: datetime, minutes: int) -> datetime:
    """A time of day as if the wall showed UTC."""
    return midnight + timedelta(minutes=minutes)
