import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.domain.states import Action, IllegalTransition, State, next_state

STATES = st.sampled_from(list(State))


@given(STATES, st.booleans())
def test_withdrawal_is_always_possible_and_final_until_a_new_yes(state: State, void: bool) -> None:
    withdrawn = next_state(state, Action.WITHDRAWN, void=void)
    assert withdrawn is State.WITHDRAWN
    assert next_state(withdrawn, Action.REFUSED) is State.WITHDRAWN
    with pytest.raises(IllegalTransition):
        next_state(withdrawn, Action.EXPIRED)


@given(STATES, st.booleans())
def test_a_no_is_never_refused_and_never_a_yes(state: State, void: bool) -> None:
    expected = State.WITHDRAWN if state in (State.GRANTED, State.WITHDRAWN) else State.REFUSED
    assert next_state(state, Action.REFUSED, void=void) is expected


@given(st.lists(st.tuples(st.sampled_from(list(Action)), st.booleans()), max_size=30))
def test_only_a_yes_leads_to_granted_and_only_a_question_to_pending(steps: list[tuple[Action, bool]]) -> None:
    state = State.NONE
    for action, void in steps:
        undoes = action is Action.REQUESTED and state is State.GRANTED and not void
        if undoes or (action is Action.EXPIRED and state is not State.PENDING):
            with pytest.raises(IllegalTransition) as caught:
                next_state(state, action, void=void)
            assert (caught.value.state, caught.value.action) == (state, action)
            continue
        state = next_state(state, action, void=void)
        assert state is not State.NONE
        assert (state is State.GRANTED) == (action is Action.GRANTED)
        assert (state is State.PENDING) == (action is Action.REQUESTED)
        assert (state is State.EXPIRED) == (action is Action.EXPIRED)


@given(STATES)
def test_only_an_open_question_expires(state: State) -> None:
    if state is State.PENDING:
        assert next_state(state, Action.EXPIRED) is State.EXPIRED
    else:
        with pytest.raises(IllegalTransition):
            next_state(state, Action.EXPIRED)


def test_a_question_does_not_undo_a_grant_that_counts() -> None:
    with pytest.raises(IllegalTransition):
        next_state(State.GRANTED, Action.REQUESTED)
    assert next_state(State.GRANTED, Action.REQUESTED, void=True) is State.PENDING
