from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from consent.domain.opt_ins import (
    DAILY_MAX,
    DAY,
    RESEND_AFTER,
    Link,
    Question,
    link_of,
    mask_email,
    wait_before_sending,
)
from consent.domain.states import State

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
OPEN = Question("n1", NOW + timedelta(days=1))


def test_what_a_link_is_worth() -> None:
    assert link_of("n1", OPEN, State.PENDING, NOW) is Link.OPEN
    assert link_of("n1", OPEN, State.PENDING, OPEN.expire_time) is Link.EXPIRED
    assert link_of("n1", OPEN, State.EXPIRED, NOW) is Link.EXPIRED
    assert link_of("n1", OPEN, State.GRANTED, NOW) is Link.CONFIRMED
    # What was said since wins, in whatever form it is remembered.
    assert link_of("n1", OPEN, State.WITHDRAWN, NOW) is Link.SUPERSEDED
    assert link_of("n1", OPEN, State.REFUSED, NOW) is Link.SUPERSEDED


@given(st.sampled_from(list(State)), st.booleans())
def test_a_link_of_another_question_never_counts(state: State, known: bool) -> None:
    assert link_of("n0", OPEN if known else None, state, NOW) is Link.SUPERSEDED


@given(st.lists(st.timedeltas(timedelta(), timedelta(days=3)), max_size=40), st.booleans())
def test_rates_hold_whatever_is_asked(ago: list[timedelta], repeats: bool) -> None:
    """Asks at all these instants and sends when told so: never more than the limits allow."""
    sent: list[datetime] = []
    for instant in sorted(NOW - each for each in ago):
        if not wait_before_sending(sent, instant, repeats=repeats):
            sent.append(instant)
    for number, instant in enumerate(sent):
        assert len([other for other in sent[: number + 1] if other > instant - DAY]) <= DAILY_MAX
        if repeats and number:
            assert instant - sent[number - 1] >= RESEND_AFTER


@given(st.lists(st.timedeltas(timedelta(), DAY), max_size=10), st.booleans())
def test_after_the_stated_wait_it_goes(ago: list[timedelta], repeats: bool) -> None:
    sent = sorted(NOW - each for each in ago)
    wait = wait_before_sending(sent, NOW, repeats=repeats)
    assert wait_before_sending(sent, NOW + wait, repeats=repeats) == timedelta()


def test_a_masked_address_hides_the_local_part() -> None:
    assert mask_email("alice.smith@example.com") == "a***@example.com"
