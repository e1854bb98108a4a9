"""Quiet hours: when a person may be written to, by the wall clock where the person lives.

The wall clock decides, whatever daylight saving time does to it: a time that is shown twice counts both times, one
that is skipped never comes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` until just before `end`, over midnight when it is later. Equal: there are none."""

    start: time
    end: time

    def cover(self, local: time) -> bool:
        """Whether a wall clock that shows `local` shows quiet hours."""
        if self.start <= self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end


def next_allowed(instant: datetime, zone: ZoneInfo, quiet: QuietHours) -> datetime:
    """The first instant from `instant` on that is not within quiet hours in `zone` (to the second, UTC)."""

    def covered(when: datetime) -> bool:
        return quiet.cover(when.astimezone(zone).time())

    if not covered(instant):
        return instant.astimezone(UTC)
    today = instant.astimezone(zone).date()
    found = []
    for days in range(3):
        # A time shown twice has two instants; of a skipped one these lie around the gap, the later fold before it.
        first, second = (
            datetime.combine(today + timedelta(days=days), quiet.end.replace(fold=fold), zone).astimezone(UTC)
            for fold in (0, 1)
        )
        if second < first:
            first = second = _boundary(max(second, instant), first, covered)
        found += [when for when in (first, second) if when > instant and not covered(when)]
    return min(found)


def _boundary(quiet: datetime, allowed: datetime, covered: Callable[[datetime], bool]) -> datetime:
    """The first allowed second between a quiet instant and an allowed one."""
    while allowed - quiet > _SECOND:
        middle = (quiet + (allowed - quiet) / 2).replace(microsecond=0)
        if covered(middle):
            quiet = middle
        else:
            allowed = middle
    return allowed
