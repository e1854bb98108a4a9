"""The best instant to write, by the person's clock, across daylight saving time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from campaigns.domain.best_time import HOURS, best_instant
from campaigns.domain.quiet_hours import QuietHours

BERLIN, NEW_YORK, KATHMANDU = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Kathmandu"))
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
NEVER = QuietHours(time(0), time(0))
NIGHT = QuietHours(time(21), time(8))
DAY = timedelta(hours=24)
SATURDAY, SUNDAY, MONDAY = 5 * 24, 6 * 24, 0


def first(*hours: int) -> bytes:
    """A ranking with these hours before all others."""
    return bytes([*hours, *(hour for hour in range(HOURS) if hour not in hours)])


def berlin(*parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=BERLIN, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("ranking", "zone", "now", "wait", "expected"),
    [
        # Saturday 11:20; the best hour is the next morning's, a full hour by the person's clock.
        (first(SUNDAY + 9), BERLIN, berlin(2026, 7, 4, 11, 20), DAY, berlin(2026, 7, 5, 9)),
        # The wait ends before: the best of what is within it.
        (first(SUNDAY + 9, SATURDAY + 13), BERLIN, berlin(2026, 7, 4, 11, 20), DAY / 8, berlin(2026, 7, 4, 13)),
        # The hour under way is the best one: at once.
        (first(SATURDAY + 11), BERLIN, berlin(2026, 7, 4, 11, 20), DAY, berlin(2026, 7, 4, 11, 20)),
        # Zones a part of an hour off.
        (first(SUNDAY + 9), KATHMANDU, datetime(2026, 7, 4, 11, 20, tzinfo=UTC), DAY,
         datetime(2026, 7, 5, 3, 15, tzinfo=UTC)),
        # Spring: the day has 23 hours, 9:00 is at 7:00 UTC already; 2:00 never comes, 3:00 follows.
        (first(SUNDAY + 9), BERLIN, berlin(2026, 3, 28, 12), DAY, datetime(2026, 3, 29, 7, tzinfo=UTC)),
        (first(SUNDAY + 2, SUNDAY + 3), BERLIN, berlin(2026, 3, 28, 12), DAY, datetime(2026, 3, 29, 1, tzinfo=UTC)),
        # Autumn: 9:00 is at 8:00 UTC; 2:00 is shown twice and counts at its first showing.
        (first(SUNDAY + 9), BERLIN, berlin(2026, 10, 24, 12), DAY, datetime(2026, 10, 25, 8, tzinfo=UTC)),
        (first(SUNDAY + 2), BERLIN, berlin(2026, 10, 24, 12), DAY, datetime(2026, 10, 25, 0, tzinfo=UTC)),
        # A clock that is put back by half an hour (5 April 2026, at 2:00 to 1:30): full hours stay full.
        (first(SUNDAY + 9), LORD_HOWE, datetime(2026, 4, 4, 6, tzinfo=UTC), DAY,
         datetime(2026, 4, 4, 22, 30, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_the_exact_instant(ranking, zone, now, wait, expected) -> None:
    assert best_instant(ranking, zone, now, wait, NEVER, zone) == expected


def test_quiet_hours_are_never_chosen_by_the_persons_own_clock() -> None:
    now = berlin(2026, 7, 4, 11, 20)
    # 21:00 is the best hour and quiet, 20:00 the next best one.
    ranking = first(SATURDAY + 21, SATURDAY + 20)
    assert best_instant(ranking, BERLIN, now, DAY, NEVER, BERLIN) == berlin(2026, 7, 4, 21)
    assert best_instant(ranking, BERLIN, now, DAY, NIGHT, BERLIN) == berlin(2026, 7, 4, 20)
    # Hours of one clock, quiet hours of another: 13:00 of New York is 19:00 of Berlin, 15:00 is 21:00.
    ranking = first(SATURDAY + 15, SATURDAY + 13)
    assert best_instant(ranking, NEW_YORK, now, DAY, NIGHT, BERLIN) == berlin(2026, 7, 4, 19)


def test_when_all_is_quiet_it_is_left_to_the_quiet_hours() -> None:
    now = berlin(2026, 7, 4, 22, 10)
    assert best_instant(first(MONDAY), BERLIN, now, timedelta(hours=2), NIGHT, BERLIN) == now


def test_a_ranking_that_lacks_hours_chooses_among_those_it_has() -> None:
    now = berlin(2026, 7, 4, 11, 20)
    assert best_instant(bytes([SATURDAY + 15]), BERLIN, now, DAY, NEVER, BERLIN) == berlin(2026, 7, 4, 15)
    assert best_instant(b"", BERLIN, now, DAY, NEVER, BERLIN) == now
