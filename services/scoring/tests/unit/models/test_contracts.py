"""Contracts from events of subscriptions: when a renewal came, did not come, or is told again."""

import numpy as np
import pytest

from scoring.models import contracts
from scoring.models.contracts import DAY, END, NAMES, RENEWAL, START, Contracts, Events, Periods

MONTH = 32 * DAY
"""Of which a quarter is whole days."""
MONTHLY = NAMES.index("month")


def events_of(*subscriptions: list[tuple[int, float]], customers: list[int] | None = None) -> Events:
    """Of each subscription what was told, and on which day; of a customer of its own unless said."""
    rows = [(number, round(day * DAY), kind) for number, told in enumerate(subscriptions) for kind, day in told]
    code, time, kind = np.array(sorted(rows), dtype=np.int64).reshape(-1, 3).T
    return Events(code, np.array(customers)[code] if customers else code, kind, time, len(subscriptions))


def monthly(*told: tuple[int, float], now: float) -> Contracts:
    """The contracts of one subscription, whose periods are 32 days."""
    events = events_of(list(told))
    periods = Periods(np.array([MONTH]), np.array([MONTHLY]), (0, MONTH, 0, 0, 0), 0)
    return contracts.contracts(events, periods, round(now * DAY))


def renewals(found: Contracts) -> list[tuple[int, int, float, bool]]:
    """Contract, which renewal, the day it was settled on, and whether it came."""
    columns = (found.of, found.number, found.settled / DAY, found.came)
    return sorted(zip(*(each.tolist() for each in columns), strict=True))


def test_renewals_come_and_a_cancelled_contract_ends_at_its_next_one() -> None:
    found = monthly((START, 0), (RENEWAL, 32), (RENEWAL, 64), (END, 70), now=200)
    assert renewals(found) == [(0, 1, 40, True), (0, 2, 72, True), (0, 3, 104, False)]
    assert (found.renewals.tolist(), found.running.tolist(), found.known.tolist()) == ([2], [False], [True])
    assert found.told[~found.came].tolist() == [True]


@pytest.mark.parametrize(("now", "running"), [(40, True), (40 + 1 / DAY, False)])
def test_a_renewal_is_overdue_a_quarter_of_a_period_after_it_was_due(now: float, running: bool) -> None:
    found = monthly((START, 0), now=now)
    assert found.running.tolist() == [running]
    assert renewals(found) == ([] if running else [(0, 1, 40, False)])
    assert not found.told.any()


@pytest.mark.parametrize(("day", "came"), [(15.9, []), (16, [True]), (40, [True]), (40.1, [False])])
def test_who_tells_it_sooner_tells_it_again_and_who_tells_it_later_begins_anew(day: float, came: list[bool]) -> None:
    found = monthly((START, 0), (RENEWAL, day), now=41)
    assert [each[3] for each in renewals(found)] == (came or [False])
    assert len(found.of[~found.came]) == (0 if came == [True] else 1)
    if came == [False]:
        assert (found.subscription.tolist(), found.known.tolist()) == ([0, 0], [True, True])
        assert found.running.tolist() == [False, True]


def test_a_renewal_takes_a_cancellation_back_and_a_start_begins_anew() -> None:
    back = monthly((START, 0), (END, 10), (RENEWAL, 12), (RENEWAL, 32), now=50)
    assert (renewals(back), back.running.tolist()) == ([(0, 1, 40, True)], [True])
    late = monthly((START, 0), (END, 10), (RENEWAL, 33), now=50)
    assert (renewals(late), late.running.tolist()) == ([(0, 1, 40, True)], [True])
    anew = monthly((START, 0), (END, 10), (START, 20), now=50)
    assert (renewals(anew), anew.running.tolist()) == ([(0, 1, 40, False)], [False, True])
    # Who changes contracts may end one and start the next in one instant.
    assert monthly((START, 0), (START, 20), (END, 20), now=45).running.tolist() == [False, True]


def test_nobody_knows_how_old_a_contract_is_that_begins_with_a_renewal_or_ends_without_a_start() -> None:
    found = monthly((RENEWAL, 0), (RENEWAL, 32), now=50)
    assert (found.known.tolist(), found.running.tolist()) == ([False], [True])
    assert not len(monthly((END, 0), now=50).known)


def test_what_is_settled_stays_whatever_comes_later() -> None:
    rng = np.random.default_rng(3)
    told = [
        (int(kind), float(day))
        for kind, day in zip(rng.integers(0, 3, 60), np.cumsum(rng.uniform(0, 60, 60)), strict=True)
    ]
    whole = renewals(monthly(*told, now=4000))
    for now in (300, 700, 1100, 1500):
        then = renewals(monthly(*(each for each in told if each[1] < now), now=now))
        assert [each for each in then if each[2] < now] == [each for each in whole if each[2] < now]


def test_months_and_years_are_told_apart_and_a_new_subscription_has_the_period_of_its_customer_or_of_most() -> None:
    month = [[(START, 0), (RENEWAL, 30), (RENEWAL, 60 + place), (END, 70)] for place in range(9)]
    year = [[(START, -400), (RENEWAL, -35), (RENEWAL, 330)] for _ in range(4)]
    alone, silent, late = [(START, 90)], [(START, 0)], [(START, 0), (END, 80)]
    told = [*month, *year, alone, silent, late, alone]
    events = events_of(*told, customers=[*range(16), 9])
    found = contracts.periods(events, 100 * DAY)
    assert found.usual[MONTHLY] in range(30 * DAY, 36 * DAY)
    yearly = NAMES.index("year")
    assert found.usual[yearly] == 365 * DAY
    # Most of the monthly ones say so when they end: who is silent for longer, or ends later, has years.
    assert found.group.tolist() == [MONTHLY] * 9 + [yearly] * 4 + [MONTHLY, yearly, yearly, yearly]
    assert found.length[13] == found.usual[MONTHLY]
    # Where nobody says so, who is silent has left.
    mute = contracts.periods(events_of(*[[*each[:3]] for each in month], *year, silent), 200 * DAY)
    assert mute.group[-1] == MONTHLY


def test_periods_of_few_are_left_out_and_without_any_renewal_none_is_known() -> None:
    month = [[(START, 0), (RENEWAL, 30)] for _ in range(40)]
    found = contracts.periods(events_of(*month, [(START, 0), (RENEWAL, 365)]), 400 * DAY)
    assert (found.rare, found.length[-1], found.group[-1]) == (1, 0, -1)
    nothing = contracts.periods(events_of([(START, 0)], [(START, 3), (END, 4)]), 400 * DAY)
    assert (nothing.usual, nothing.length.tolist()) == ((0,) * 5, [0, 0])
    assert not len(contracts.contracts(events_of([(START, 0)]), nothing, 400 * DAY).known)


def test_many_subscriptions_at_once_tell_what_each_tells_alone() -> None:
    rng = np.random.default_rng(4)
    each = [
        [
            (int(kind), float(day))
            for kind, day in zip(rng.integers(0, 3, size), np.cumsum(rng.uniform(0, 50, size)), strict=True)
        ]
        for size in rng.integers(1, 25, 40)
    ]
    count = len(each)
    lengths = Periods(np.full(count, MONTH), np.full(count, MONTHLY), (0, MONTH, 0, 0, 0), 0)
    whole = contracts.contracts(events_of(*each), lengths, 700 * DAY)
    for number, told in enumerate(each):
        alone = monthly(*told, now=700)
        mine = np.flatnonzero(whole.subscription == number)
        assert [whole.renewals[mine].tolist(), whole.running[mine].tolist(), whole.known[mine].tolist()] == [
            alone.renewals.tolist(),
            alone.running.tolist(),
            alone.known.tolist(),
        ]
        places = {contract: place for place, contract in enumerate(mine.tolist())}
        there = np.isin(whole.of, mine)
        columns = (whole.of, whole.number, whole.settled / DAY, whole.came)
        rows = zip(*(column[there].tolist() for column in columns), strict=True)
        assert sorted((places[of], day, came) for of, _, day, came in rows) == [
            (of, day, came) for of, _, day, came in renewals(alone)
        ]
