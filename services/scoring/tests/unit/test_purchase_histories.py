"""What a customer bought, added up as it becomes known, against all of it at once."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.domain.histories import (
    ABROAD_MAX,
    DAY_MS,
    KEPT_MAX,
    LATER_MAX,
    RECENT_MS,
    Bought,
    History,
    TooManyKeptError,
)
from scoring.domain.percentiles import Ranking
from scoring.usecases import online_scores

NOW = 20_000 * DAY_MS + 5

TIMES, CURRENCIES = st.integers(NOW - 380 * DAY_MS, NOW + DAY_MS), st.sampled_from(["", "", "USD", "CHF"])
TIMES = TIMES | st.just(NOW - 370 * DAY_MS)
PURCHASES = st.lists(st.builds(Bought, TIMES, st.integers(-6, 9), CURRENCIES, st.integers(0, 2)), max_size=25)


def rate(amount: int, currency: str, time: int) -> int | None:
    """Dollars are worth two; nobody knows what francs are."""
    return 2 * amount if currency == "USD" and time % 1_000 == 0 else None


def told(bought: Bought) -> int | None:
    return rate(bought.amount, bought.currency, bought.time * 1_000) if bought.currency else bought.amount


def sums(bought: list[Bought], now: int) -> dict[str, int]:
    known = [(each, amount) for each in bought if each.time <= now and (amount := told(each)) is not None]
    refunds: dict[int, int] = defaultdict(int)
    for each, amount in known:
        refunds[each.order] -= min(amount, 0) if each.order else 0
    by_day: dict[int, list[int]] = defaultdict(list)
    for each, amount in sorted(known):
        if each.amount >= 0:
            back = min(refunds[each.order], amount)
            refunds[each.order] -= back
            by_day[each.time // DAY_MS].append(amount - back)
    first, revenue = min(by_day), sum(map(sum, by_day.values()))
    return {
        "first_day": first,
        "last_day": max(by_day),
        "days": len(by_day),
        "purchases": sum(map(len, by_day.values())),
        "revenue": revenue,
        "repeat_revenue": revenue - sum(by_day[first]),
    }


@given(PURCHASES, st.data())
def test_the_order_and_the_parts_in_which_purchases_become_known_change_nothing(bought, data) -> None:
    shuffled = data.draw(st.permutations(bought))
    cut = data.draw(st.integers(0, len(shuffled)))
    early = data.draw(st.integers(NOW - 5 * DAY_MS, NOW))
    history = History().add(shuffled[:cut], early).add(shuffled[cut:], NOW)
    history = History.of_row(history.to_row())
    assert history == History().add(bought, NOW)
    # Two customers that become one bought the same together.
    assert History().add(shuffled[:cut], NOW).joined(History().add(shuffled[cut:], NOW)) == history
    assert [each.time > NOW for each in history.later] == [True] * len(history.later)
    for instant in (NOW, NOW + 2 * DAY_MS):
        whole = history.add((), instant).converted(rate)
        assert whole.abroad == ()
        assert whole.recent == tuple(sorted(each for each in bought if instant - RECENT_MS < each.time <= instant))
        if whole.days:
            assert whole.columns == sums(bought, instant)


@pytest.mark.parametrize(("bought", "most"), [(Bought(NOW + 1, 1), LATER_MAX), (Bought(NOW, 1, "USD"), ABROAD_MAX)])
def test_purchases_that_are_kept_one_by_one_have_a_bound(bought: Bought, most: int) -> None:
    history = History().add([bought] * most, NOW)
    with pytest.raises(TooManyKeptError):
        history.add([bought], NOW)


@pytest.mark.parametrize(
    "bought", [[Bought(NOW - 3 * DAY_MS, -1), Bought(NOW, 1)], [Bought(NOW + DAY_MS, 1)], [Bought(NOW, 1, "USD")]]
)
def test_the_oldest_day_is_that_of_the_first_of_all_that_is_kept(bought: list[Bought]) -> None:
    history = History().add(bought, NOW)
    assert history.to_row()["oldest_day"] == bought[0].time // DAY_MS
    assert History().to_row()["oldest_day"] is None


def test_what_is_left_of_old_purchases_is_told_as_long_as_all_are_kept() -> None:
    old = [Bought(NOW - (400 + day) * DAY_MS, 5, "", day + 1) for day in range(KEPT_MAX - 1)]
    refund = Bought(NOW, -9, "", 7)
    history = History.of_row(History().add([refund], NOW).add(old, NOW).to_row())
    assert (history.can_be_told, history.converted(rate).revenue, history.revenue) == (
        True,
        5 * len(old) - 5,
        5 * len(old),
    )
    # A profile is told what any of its customers gave back.
    apart = History().add(old, NOW).joined(History().add([refund], NOW))
    assert apart.converted(rate).columns == history.converted(rate).columns
    one = Bought(NOW - 399 * DAY_MS, 5, "", 1)
    more = history.add([one], NOW)
    assert (more.can_be_told, more.older, more.recent) == (False, None, (refund,))
    assert more == History().add([one, *old, refund], NOW)
    assert History().add([one, one, *old], NOW).can_be_told, "nothing was given back"
    assert not History().add([one, one, *old], NOW).joined(History().add([refund], NOW)).can_be_told


def test_risks_are_told_without_refunds_that_their_rate_makes_nothing_of() -> None:
    history = History().add([Bought(NOW - 2, 500), Bought(NOW - 1, -1, "VND", 3), Bought(NOW, -7, "", 3)], NOW)
    found = online_scores._customers({"customers/a": history}, lambda amount, code, _: 0 if code else amount, 2)
    assert found.events.amount.tolist() == [500, -7]


def test_of_too_many_purchases_of_a_year_only_the_sums_are_kept() -> None:
    history = History().add([Bought(NOW, 1)] * (KEPT_MAX + 1), NOW)
    assert (history.recent, history.purchases) == (None, KEPT_MAX + 1)
    assert History().add([Bought(NOW, 1)], NOW).joined(History.of_row(history.to_row())).recent is None


@given(st.lists(st.integers(0, 9) | st.floats(0, 1), min_size=1, max_size=60), st.floats(-1, 10))
def test_the_steps_of_a_ranking_tell_every_percentile(values, other) -> None:
    ranking = Ranking(Ranking.of(values).steps)
    for value in (*values, other):
        assert ranking.percentile(value) == round(100 * sum(each <= value for each in values) / len(values), 1)
