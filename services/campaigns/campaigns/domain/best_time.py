"""The best instant to write to a person: the hour in which they are most active, out of quiet hours.

The wall clock decides, whatever daylight saving time does to it: an hour that is shown twice counts at its first
showing, one that is skipped never comes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from campaigns.domain.quiet_hours import QuietHours

HOURS = 168
"""Of a week, from Monday 0:00."""
WAIT_MIN, WAIT_MAX = timedelta(hours=1), timedelta(hours=24)
_HOUR = timedelta(hours=1)


def best_instant(
    ranking: Sequence[int],
    hours_zone: ZoneInfo,
    now: datetime,
    max_wait: timedelta,
    quiet: QuietHours,
    person_zone: ZoneInfo,
) -> datetime:
    """`now`, or the begin of a full hour at most `max_wait` later (UTC), whichever lies in the best hour of the week.

    ranking: hours of the week in `hours_zone`, the best first. Instants within quiet hours in `person_zone` are left
    out; when all are, it is `now`: quiet hours then tell how long to wait.
    """
    rank = {hour: place for place, hour in enumerate(ranking)}
    found = now, HOURS
    instant = now.astimezone(UTC)
    while instant <= now + max_wait:
        local = instant.astimezone(hours_zone)
        place = rank.get(local.weekday() * 24 + local.hour, HOURS)
        if place < found[1] and not quiet.cover(instant.astimezone(person_zone).time()):
            found = instant, place
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        instant += _HOUR - past
    return found[0]
