"""Refund arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from sales.domain.refunds import PARTLY_REFUNDED, PLACED, REFUNDED, Asked, rest, shares, state

ASKED = st.lists(
    st.builds(Asked, minor=st.one_of(st.none(), st.integers(0, 2_000)), currency=st.sampled_from(["EUR", "EUR", "USD"]))
)
AMOUNTS = st.integers(-500, 3_000)


def test_a_refund_without_an_amount_gives_back_all_that_is_left() -> None:
    assert shares(1000, "EUR", [Asked(300, "EUR"), Asked(None, None)]) == [300, 700]
    assert shares(1000, "EUR", [Asked(None, None), Asked(300, "EUR")]) == [1000, 0]


def test_more_than_was_paid_and_other_currencies_do_not_count() -> None:
    assert shares(1000, "EUR", [Asked(800, "EUR"), Asked(800, "EUR")]) == [800, 200]
    assert shares(1000, "EUR", [Asked(800, "USD"), Asked(100, "EUR")]) == [None, 100]


def test_states() -> None:
    assert state(1000, 0, 0) == PLACED
    assert state(1000, 999, 1) == PARTLY_REFUNDED
    assert state(1000, 1000, 2) == REFUNDED
    assert state(0, 0, 1) == REFUNDED
    assert state(-200, 0, 0) == PLACED


@given(AMOUNTS, ASKED, st.randoms())
def test_the_sum_does_not_depend_on_the_order_and_stays_within_the_amount(amount, asked, chance) -> None:
    given = shares(amount, "EUR", asked)
    total = sum(share for share in given if share is not None)
    counting = [each for each in asked if each.minor is None or each.currency == "EUR"]
    whole = any(each.minor is None for each in counting)
    wanted = max(0, amount) if whole else min(max(0, amount), sum(each.minor or 0 for each in counting))
    assert total == wanted
    assert all(share is None or share >= 0 for share in given)
    assert rest(amount, total) >= 0
    shuffled = list(asked)
    chance.shuffle(shuffled)
    again = shares(amount, "EUR", shuffled)
    assert sum(share for share in again if share is not None) == total
