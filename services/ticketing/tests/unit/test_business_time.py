"""Open hours against a minute-by-minute oracle, across changes of the clock."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketing.domain.business_time import HORIZON, OpenHours, add_open, open_between

CHANGES = {
    # Zone: days around which its clocks change, in 2026.
    "Europe/Berlin": [date(2026, 3, 29), date(2026, 10, 25)],
    "America/New_York": [date(2026, 3, 8), date(2026, 11, 1)],
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],  # by half an hour
    "Asia/Beirut": [date(2026, 3, 29), date(2026, 10, 25)],  # at midnight
}
MINUTE = timedelta(minutes=1)


def week(*hours: tuple[int, int], weekend: tuple[tuple[int, int], ...] | None = None) -> tuple:
    weekend = hours if weekend is None else weekend
    return (*[tuple(hours)] * 5, tuple(weekend), tuple(weekend))


NINE_TO_FIVE = week((9 * 60, 17 * 60), weekend=())


@st.composite
def calendars(draw: st.DrawFn) -> OpenHours:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    days = []
    for _ in range(7):
        edges = sorted(draw(st.sets(st.integers(0, 1440), max_size=6)))
        days.append(tuple(zip(edges[::2], edges[1::2], strict=False)))
    if not any(days):
        days[6] = ((0, 180),)
    holidays = draw(st.sets(st.sampled_from([day + timedelta(days=n) for day in CHANGES[zone] for n in (-1, 0, 1)])))
    return OpenHours(ZoneInfo(zone), tuple(days), frozenset(holidays) if len(holidays) < 3 else frozenset())


@st.composite
def cases(draw: st.DrawFn) -> tuple[OpenHours, datetime]:
    """A calendar and an instant within two days of a change of its clocks."""
    calendar = draw(calendars())
    day = draw(st.sampled_from(CHANGES[calendar.zone.key]))
    start = datetime.combine(day, time(), UTC) + timedelta(minutes=draw(st.integers(-2880, 2880)))
    return calendar, start


def is_open(calendar: OpenHours, instant: datetime) -> bool:
    """The meaning itself: what the wall shows."""
    wall = instant.astimezone(calendar.zone)
    minutes = wall.hour * 60 + wall.minute
    hours = calendar.week[wall.weekday()]
    return wall.date() not in calendar.holidays and any(start <= minutes < end for start, end in hours)


@given(cases(), st.integers(0, 3000))
def test_open_time_is_what_the_wall_shows_minute_by_minute(case, length) -> None:
    calendar, start = case
    wanted = sum(is_open(calendar, start + minute * MINUTE) for minute in range(length))
    assert open_between(calendar, start, start + length * MINUTE) == wanted * MINUTE


@given(cases(), st.integers(1, 5_000_000))
def test_adding_is_the_inverse_of_counting(case, seconds) -> None:
    calendar, start = case
    amount = timedelta(seconds=seconds)
    end = add_open(calendar, start, amount)
    if end is None:  # A minute a week: the horizon does not hold so much.
        assert open_between(calendar, start, start + HORIZON) < amount
        return
    assert open_between(calendar, start, end) == amount
    # It is the earliest such instant: a moment before, less has passed.
    assert open_between(calendar, start, end - timedelta(milliseconds=1)) < amount


@given(cases(), st.integers(0, 100_000), st.integers(0, 100_000))
def test_counting_adds_up(case, first, second) -> None:
    calendar, start = case
    middle, end = start + timedelta(seconds=first), start + timedelta(seconds=first + second)
    whole = open_between(calendar, start, end)
    assert whole == open_between(calendar, start, middle) + open_between(calendar, middle, end)
    assert whole <= end - start


@given(cases(), st.integers(0, 200_000), st.integers(0, 200_000))
def test_adding_in_two_steps_is_adding_at_once_and_never_goes_back(case, first, second) -> None:
    calendar, start = case
    middle = add_open(calendar, start, timedelta(seconds=first))
    end = add_open(calendar, start, timedelta(seconds=first + second))
    assert start <= middle <= end
    assert second == 0 or add_open(calendar, middle, timedelta(seconds=second)) == end


@pytest.mark.parametrize(
    ("zone", "hours", "start", "end", "open_hours"),
    [
        # Night of the change forward: of the hours 0 to 6 five pass; backward: seven.
        ("Europe/Berlin", (0, 360), "2026-03-28T23:00Z", "2026-03-29T22:00Z", 5),
        ("Europe/Berlin", (0, 360), "2026-10-24T22:00Z", "2026-10-25T23:00Z", 7),
        ("America/New_York", (0, 360), "2026-03-08T05:00Z", "2026-03-09T04:00Z", 5),
        ("America/New_York", (0, 360), "2026-11-01T04:00Z", "2026-11-02T05:00Z", 7),
        ("Australia/Lord_Howe", (0, 360), "2026-10-03T13:30Z", "2026-10-04T13:00Z", 5.5),
        ("Australia/Lord_Howe", (0, 360), "2026-04-04T13:00Z", "2026-04-05T13:30Z", 6.5),
        # Hours that lie wholly in the gap never come; those shown twice come twice.
        ("Europe/Berlin", (120, 180), "2026-03-28T23:00Z", "2026-03-29T22:00Z", 0),
        ("Europe/Berlin", (120, 180), "2026-10-24T22:00Z", "2026-10-25T23:00Z", 2),
        # A day that does not exist: Samoa left out 2011-12-30.
        ("Pacific/Apia", (0, 1440), "2011-12-29T10:00Z", "2012-01-01T10:00Z", 72),
    ],
)
def test_days_on_which_clocks_change(zone, hours, start, end, open_hours) -> None:
    calendar = OpenHours(ZoneInfo(zone), week(hours))
    counted = open_between(calendar, datetime.fromisoformat(start), datetime.fromisoformat(end))
    assert counted == timedelta(hours=open_hours)


def test_holidays_and_weekends_are_passed_over() -> None:
    calendar = OpenHours(ZoneInfo("Europe/Berlin"), NINE_TO_FIVE, frozenset({date(2026, 4, 3), date(2026, 4, 6)}))
    thursday = datetime(2026, 4, 2, 16, tzinfo=ZoneInfo("Europe/Berlin"))
    end = add_open(calendar, thursday, timedelta(hours=3))
    assert end == datetime(2026, 4, 7, 11, tzinfo=ZoneInfo("Europe/Berlin"))
    assert end.tzinfo is UTC


def test_no_time_ends_where_it_begins_and_backwards_there_is_none() -> None:
    calendar = OpenHours(ZoneInfo("UTC"), NINE_TO_FIVE)
    saturday = datetime(2026, 1, 3, 12, tzinfo=UTC)
    assert add_open(calendar, saturday, timedelta()) == saturday
    assert open_between(calendar, saturday, saturday - timedelta(days=3)) == timedelta()


def test_what_lies_beyond_the_horizon_has_no_end() -> None:
    calendar = OpenHours(ZoneInfo("UTC"), week((0, 1), weekend=()))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert add_open(calendar, start, timedelta(days=366)) is None
    assert open_between(calendar, start, start + 2 * HORIZON) <= HORIZON
