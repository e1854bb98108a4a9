"""What a customer bought, added up as it becomes known, against all of it at once."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.domain.histories import (
    ABROAD_MAX,
    DAY_MS,
    LATER_MAX,
    RECENT_MAX,
    RECENT_MS,
    Bought,
    History,
    TooManyKeptError,
)
from scoring.domain.percentiles import Ranking

NOW = 20_000 * DAY_MS + 5

TIMES, CURRENCIES = st.integers(NOW - 380 * DAY_MS, NOW + DAY_MS), st.sampled_from(["", "", "USD", "CHF"])
PURCHASES = st.lists(st.builds(Bought, TIMES, st.integers(-2, 9), CURRENCIES), max_size=25)


def rate(amount: int, currency: str, time: int) -> int | None:
    """Dollars are worth two; nobody knows what francs are."""
    return 2 * amount if currency == "USD" and time % 1_000 == 0 else None


def sums(bought: list[Bought], now: int) -> dict[str, int]:
    by_day: dict[int, list[int]] = defaultdict(list)
    for time, amount, currency, _ in bought:
        if amount >= 0 and time <= now and currency != "CHF":
            by_day[time // DAY_MS].append(amount * (2 if currency else 1))
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


def test_of_too_many_purchases_of_a_year_only_the_sums_are_kept() -> None:
    history = History().add([Bought(NOW, 1)] * (RECENT_MAX + 1), NOW)
    assert (history.recent, history.purchases) == (None, RECENT_MAX + 1)
    assert History().add([Bought(NOW, 1)], NOW).joined(History.of_row(history.to_row())).recent is None


@given(st.lists(st.integers(0, 9) | st.floats(0, 1), min_size=1, max_size=60), st.floats(-1, 10))
def test_the_steps_of_a_ranking_tell_every_percentile(values, other) -> None:
    ranking = Ranking(Ranking.of(values).steps)
    for value in (*values, other):
        assert ranking.percentile(value) == round(100 * sum(each <= value for each in values) / len(values), 1)
