"""When the next time of a schedule is: hours that pass, and times of the day where the clock is moved."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.domain.timing import Interval, LocalTime

EVERY_DAY = frozenset(range(7))
BERLIN = ZoneInfo("Europe/Berlin")


def utc(year: int, month: int = 1, *rest: int) -> datetime:
    return datetime(year, month, *(rest or (1,)), tzinfo=UTC)


def test_intervals_keep_their_step_and_leave_out_what_was_missed() -> None:
    due = utc(2026, 3, 1, 6)
    assert Interval(24).next(due, due) == due + timedelta(days=1)
    assert Interval(24).next(due, due + timedelta(hours=2)) == due + timedelta(days=1)
    assert Interval(24).next(due, due + timedelta(days=9, hours=1)) == due + timedelta(days=10)
    assert Interval(24).next(due, due + timedelta(days=9)) == due + timedelta(days=10), "now is being started"
    assert Interval(24).next(due, due - timedelta(days=3)) == due + timedelta(days=1), "never the same again"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (utc(2026, 3, 27, 12), utc(2026, 3, 28, 1, 30)),  # 02:30 at +1
        (utc(2026, 3, 28, 12), utc(2026, 3, 29, 1, 30)),  # there is no 02:30: it is 03:30 at +2
        (utc(2026, 3, 29, 12), utc(2026, 3, 30, 0, 30)),  # 02:30 at +2
        (utc(2026, 10, 24, 12), utc(2026, 10, 25, 0, 30)),  # 02:30 comes twice: the first one
        (utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)),  # and not the second one
    ],
)
def test_where_the_clock_is_moved(now: datetime, expected: datetime) -> None:
    assert LocalTime(150, EVERY_DAY, BERLIN).next(now, now) == expected


def test_days_of_the_week_are_those_of_the_place() -> None:
    monday = LocalTime(30, frozenset({0}), ZoneInfo("Pacific/Auckland"))
    # Half past midnight of a Monday there is Sunday noon in UTC.
    assert monday.next(utc(2026, 6, 3), utc(2026, 6, 3)) == utc(2026, 6, 7, 12, 30)
    # Samoa had no Friday, 30 December 2011.
    friday = LocalTime(600, frozenset({4}), ZoneInfo("Pacific/Apia"))
    assert friday.next(utc(2011, 12, 25), utc(2011, 12, 25)) == utc(2011, 12, 30, 20), "as much later as it was moved"


@settings(max_examples=40, deadline=None)
@given(
    now=st.integers(0, 4 * 366 * 24 * 60).map(lambda minutes: utc(2024) + timedelta(minutes=minutes)),
    minutes=st.integers(0, 1439),
    days=st.frozensets(st.integers(0, 6), min_size=1),
    zone=st.sampled_from([ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")]),
)
def test_there_is_always_a_next_time_within_eight_days(
    now: datetime, minutes: int, days: frozenset[int], zone: ZoneInfo
) -> None:
    found = LocalTime(minutes, days, zone).next(now, now)
    assert now < found <= now + timedelta(days=8)
    there = found.astimezone(zone)
    late = (there.hour * 60 + there.minute - minutes) % 1440
    assert there.weekday() in days
    assert late in (0, 60)
