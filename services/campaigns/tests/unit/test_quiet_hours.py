"""Quiet hours by the wall clock, across daylight saving time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.domain.quiet_hours import QuietHours, next_allowed

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(21), time(8))


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN).astimezone(UTC)


def test_by_day_nothing_waits_and_by_night_all_waits_for_the_morning() -> None:
    assert next_allowed(berlin(2026, 7, 1, 12), BERLIN, NIGHT) == berlin(2026, 7, 1, 12)
    assert next_allowed(berlin(2026, 7, 1, 21), BERLIN, NIGHT) == berlin(2026, 7, 2, 8)
    assert next_allowed(berlin(2026, 7, 2, 7, 59), BERLIN, NIGHT) == berlin(2026, 7, 2, 8)
    assert next_allowed(berlin(2026, 7, 2, 8), BERLIN, NIGHT) == berlin(2026, 7, 2, 8)


def test_the_morning_is_the_wall_clocks_after_a_change() -> None:
    spring, autumn = berlin(2026, 3, 28, 22), berlin(2026, 10, 24, 22)
    assert next_allowed(spring, BERLIN, NIGHT) - spring == timedelta(hours=9)
    assert next_allowed(autumn, BERLIN, NIGHT) - autumn == timedelta(hours=11)


def test_an_end_that_is_skipped_is_where_the_clock_jumps() -> None:
    # At 02:00 the clock jumps to 03:00: there is no 02:30.
    quiet = QuietHours(time(0), time(2, 30))
    assert next_allowed(berlin(2026, 3, 29, 1), BERLIN, quiet) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_equal_ends_mean_no_quiet_hours() -> None:
    at = berlin(2026, 7, 1, 3)
    assert next_allowed(at, BERLIN, QuietHours(time(0), time(0))) == at
    assert next_allowed(at, BERLIN, QuietHours(time(3), time(3))) == at


WINTER = datetime(2011, 12, 20, tzinfo=UTC)
MINUTES = st.integers(0, 24 * 60 - 1).map(lambda minutes: time(*divmod(minutes, 60)))


@settings(max_examples=150, deadline=None)
@given(
    instant=st.integers(0, 112 * 24 * 60).map(lambda minutes: WINTER + timedelta(minutes=minutes)),
    zone=st.sampled_from(ZONES),
    start=MINUTES,
    end=MINUTES,
)
@example(datetime(2011, 12, 30, 9, 30, tzinfo=UTC), "Pacific/Apia", time(21), time(8))  # the day that never was
@example(datetime(2012, 3, 25, 0, 50, tzinfo=UTC), "Europe/Berlin", time(1, 45), time(2, 30))
@example(datetime(2012, 3, 31, 14, 40, tzinfo=UTC), "Australia/Lord_Howe", time(0), time(1, 45))  # half an hour twice
def test_it_is_the_first_instant_that_is_not_quiet(instant: datetime, zone: str, start: time, end: time) -> None:
    """Against the slow way: look at the wall clock minute by minute."""
    where, quiet = ZoneInfo(zone), QuietHours(start, end)
    walked = instant
    while quiet.cover(walked.astimezone(where).time()):
        walked += timedelta(minutes=1)
    assert next_allowed(instant, where, quiet) == walked


@pytest.mark.parametrize("zone", ZONES)
def test_what_is_allowed_stays(zone: str) -> None:
    once = next_allowed(datetime(2026, 1, 1, 23, tzinfo=UTC), ZoneInfo(zone), NIGHT)
    assert next_allowed(once, ZoneInfo(zone), NIGHT) == once
