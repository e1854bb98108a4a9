"""Clocks of a service level: pauses, warnings, breaches."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ticketing.domain.business_time import OpenHours, open_between
from ticketing.domain.sla_clock import Clock

WORK = (9 * 60, 17 * 60)
OFFICE = OpenHours(ZoneInfo("Europe/Berlin"), (*[(WORK,)] * 5, (), ()))
MONDAY = datetime(2026, 6, 1, 8, tzinfo=UTC)  # ten in Berlin
HOUR = timedelta(hours=1)


def running(hours: float = 8, percent: int = 75) -> Clock:
    return Clock(hours * HOUR, percent).started(OFFICE, MONDAY)


def test_a_clock_is_due_in_open_hours() -> None:
    clock = running()
    assert clock.due == MONDAY + 24 * HOUR
    assert clock.warn == MONDAY + 6 * HOUR
    assert clock.next == clock.warn


def test_a_pause_moves_what_is_due_by_its_open_hours() -> None:
    paused = running().paused(OFFICE, MONDAY + 2 * HOUR)
    assert (paused.due, paused.warn, paused.next, paused.used) == (None, None, None, 2 * HOUR)
    resumed = paused.started(OFFICE, MONDAY + 24 * HOUR)
    assert resumed.due == MONDAY + 24 * HOUR + 6 * HOUR
    assert resumed.used_at(OFFICE, MONDAY + 25 * HOUR) == 3 * HOUR


def test_what_passed_unseen_is_noted_with_its_own_time() -> None:
    clock = running().ticked(MONDAY + 100 * HOUR)
    assert (clock.warned, clock.breached) == (MONDAY + 6 * HOUR, MONDAY + 24 * HOUR)
    assert clock.next is None
    assert clock.ticked(MONDAY + 200 * HOUR) == clock


def test_a_late_end_is_a_breach_and_a_timely_one_is_none() -> None:
    late = running(1).ended(OFFICE, MONDAY + 2 * HOUR)
    assert (late.breached, late.done) == (MONDAY + HOUR, MONDAY + 2 * HOUR)
    timely = running(1).ended(OFFICE, MONDAY + 0.5 * HOUR)
    assert (timely.breached, timely.warned, timely.used) == (None, None, 0.5 * HOUR)
    assert timely.ended(OFFICE, MONDAY + 5 * HOUR) == timely


def test_a_clock_taken_up_again_is_breached_once() -> None:
    late = running(1).ended(OFFICE, MONDAY + 2 * HOUR).started(OFFICE, MONDAY + 3 * HOUR)
    assert late.next is None
    assert late.ticked(MONDAY + 9 * HOUR).breached == MONDAY + HOUR


def test_another_target_keeps_what_is_used() -> None:
    clock = running(8).retargeted(OFFICE, MONDAY + 2 * HOUR, 3 * HOUR, 50)
    assert clock.due == MONDAY + 3 * HOUR
    assert clock.ticked(MONDAY + 2 * HOUR).warned == MONDAY + 2 * HOUR
    paused = running(8).paused(OFFICE, MONDAY + HOUR).retargeted(OFFICE, MONDAY + 2 * HOUR, HOUR, 50)
    assert (paused.due, paused.used) == (None, HOUR)


@given(st.lists(st.integers(1, 60 * 24 * 3), min_size=1, max_size=12), st.integers(1, 60 * 60))
def test_used_time_is_the_open_time_of_its_stretches(stretches, target) -> None:
    """Whatever the pauses: used time adds up, and the clock is due exactly when the target is used up."""
    clock, now, used = Clock(timedelta(minutes=target), 80), MONDAY, timedelta()
    for index, minutes in enumerate(stretches):
        later = now + timedelta(minutes=minutes)
        if index % 2 == 0:
            clock = clock.started(OFFICE, now)
            if clock.due is not None and clock.breached is None:
                assert used + open_between(OFFICE, now, clock.due) == clock.target
            clock = clock.paused(OFFICE, later)
            used += open_between(OFFICE, now, later)
        now = later
    assert clock.used == used
    # What is used up at the very end of open time may still be noted by the pause.
    assert (clock.breached is not None) == (used >= clock.target)
