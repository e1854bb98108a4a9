"""Clocks and quiet hours: what hour it is where the customer is, and when they may be written to."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

HOURS = 168
"""Of a week, from Monday 0:00."""


@dataclass(frozen=True)
class QuietHours:
    """Local hours in which nobody is written to: from `begin` until `end`, over midnight if it is greater.

    days: whole days kept quiet too, 0 for Monday. Raises ValueError when no hour is left.
    """

    begin: int = 21
    end: int = 8
    days: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not (0 <= self.begin <= 24 and 0 <= self.end <= 24):
            raise ValueError("quiet hours are from 0 to 24")
        if self.allowed().sum() == 0:
            raise ValueError("quiet hours leave no hour of the week to send in")

    def allowed(self) -> NDArray[np.bool_]:
        """For each hour of the week whether it may be sent in."""
        hour, day = np.arange(HOURS) % 24, np.arange(HOURS) // 24
        over_midnight = self.begin > self.end
        quiet = (hour >= self.begin) | (hour < self.end) if over_midnight else (hour >= self.begin) & (hour < self.end)
        return ~quiet & ~np.isin(day, list(self.days))


def local_hours(seconds: Ints, zone: str) -> Ints:
    """Hours of the week of instants (seconds since 1970 UTC) on clocks of the IANA zone, summer time as it was."""
    quarters, inverse = np.unique(seconds // 900, return_inverse=True)
    clock = ZoneInfo(zone)
    local = [datetime.fromtimestamp(quarter * 900, clock) for quarter in quarters.tolist()]
    return np.array([at.weekday() * 24 + at.hour for at in local], dtype=np.int64)[inverse]


def next_send(
    probabilities: Floats, zone: str, after: datetime, quiet: QuietHours | None = None, within: timedelta | None = None
) -> datetime:
    """The best instant (UTC) for one customer: a full local hour at or after `after`, at most `within` later (a week).

    Hours a clock change leaves out are never chosen. When all hours `within` are quiet, it is the first allowed one
    after. `after` must be aware of its zone.
    """
    if after.tzinfo is None:
        raise ValueError("`after` must have a zone")
    allowed = (quiet or QuietHours()).allowed()
    until = after + (within or timedelta(days=7))
    clock = ZoneInfo(zone)
    found: tuple[float, datetime] | None = None
    at = after.astimezone(UTC)
    while True:
        local = at.astimezone(clock)
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        if past:
            at += timedelta(hours=1) - past
            continue
        if found and at > until:
            return found[1]
        hour = local.weekday() * 24 + local.hour
        if allowed[hour] and (found is None or probabilities[hour] > found[0]):
            found = float(probabilities[hour]), at
        at += timedelta(hours=1)
