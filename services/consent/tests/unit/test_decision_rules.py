import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.domain.decisions import LegalBasis, Reason, Statement, Terms, decide, most_restrictive
from consent.domain.states import State

EMAIL = "CHANNEL_EMAIL"
SAID = [state for state in State if state is not State.NONE]


@st.composite
def statements(draw: st.DrawFn) -> list[Statement]:
    count = draw(st.integers(0, 6))
    return [Statement(draw(st.sampled_from(SAID)), draw(st.integers(0, 4)), f"r{number}") for number in range(count)]


BASES = st.sampled_from(list(LegalBasis))
TERMS = st.builds(Terms, BASES, st.just(frozenset({EMAIL})), st.integers(0, 4))


def test_reasons_of_a_single_statement() -> None:
    terms = Terms(LegalBasis.CONSENT, frozenset({EMAIL}), valid_from_version=2)
    expected = {
        (State.GRANTED, 2): (True, Reason.CONSENT_GRANTED),
        (State.GRANTED, 1): (False, Reason.NOTICE_OUTDATED),
        (State.PENDING, 2): (False, Reason.NOT_CONFIRMED),
        (State.EXPIRED, 2): (False, Reason.NOT_CONFIRMED),
        (State.REFUSED, 2): (False, Reason.REFUSED),
        (State.WITHDRAWN, 2): (False, Reason.WITHDRAWN),
    }
    for (state, version), answer in expected.items():
        verdict = decide(terms, EMAIL, [Statement(state, version, "r")])
        assert (verdict.allowed, verdict.reason, verdict.records) == (*answer, ("r",))
    assert decide(terms, EMAIL, []).reason is Reason.NEVER_ASKED


@given(TERMS, statements(), st.integers())
def test_order_and_repetition_of_members_do_not_matter(terms: Terms, said: list[Statement], seed: int) -> None:
    shuffled = said + said
    random.Random(seed).shuffle(shuffled)
    one, other = decide(terms, EMAIL, said), decide(terms, EMAIL, shuffled)
    assert (one.allowed, one.reason) == (other.allowed, other.reason)


@given(TERMS, statements(), st.sampled_from(SAID), st.integers(0, 4))
def test_one_more_member_never_allows_what_was_refused(
    terms: Terms, said: list[Statement], state: State, version: int
) -> None:
    before = decide(terms, EMAIL, said)
    after = decide(terms, EMAIL, [*said, Statement(state, version, "more")])
    if not before.allowed and before.reason is not Reason.NEVER_ASKED:
        assert not after.allowed


@given(st.lists(st.sampled_from([Reason.CONSENT_GRANTED, Reason.NOTICE_OUTDATED, Reason.REFUSED, Reason.WITHDRAWN])))
def test_most_restrictive_is_associative(reasons: list[Reason]) -> None:
    for cut in range(len(reasons)):
        parts = [most_restrictive(reasons[:cut]), most_restrictive(reasons[cut:])]
        assert most_restrictive([part for part in parts if part]) == most_restrictive(reasons)


@given(statements())
def test_a_legal_obligation_ignores_objections_and_other_bases_do_not(said: list[Statement]) -> None:
    obligation = Terms(LegalBasis.LEGAL_OBLIGATION, frozenset({EMAIL}))
    assert decide(obligation, EMAIL, said).allowed
    for basis in (LegalBasis.CONTRACT, LegalBasis.LEGITIMATE_INTERESTS, LegalBasis.PUBLIC_TASK):
        verdict = decide(replace(obligation, legal_basis=basis), EMAIL, said)
        if any(each.state in (State.REFUSED, State.WITHDRAWN) for each in said):
            assert not verdict.allowed
        if all(each.state is State.GRANTED for each in said):
            assert verdict.allowed
            assert verdict.reason is Reason.BASIS_WITHOUT_CONSENT


@given(TERMS, statements())
def test_a_channel_outside_the_purpose_is_refused_on_every_basis(terms: Terms, said: list[Statement]) -> None:
    assert decide(terms, "CHANNEL_SMS", said).reason is Reason.CHANNEL_NOT_IN_PURPOSE


def test_a_grant_answers_only_what_it_names() -> None:
    terms = Terms(LegalBasis.CONSENT, frozenset({EMAIL}))
    old, later = Statement(State.WITHDRAWN, 1, "old"), Statement(State.WITHDRAWN, 1, "later")
    yes = Statement(State.GRANTED, 1, "yes", frozenset({"old"}))
    assert decide(terms, EMAIL, [old, yes]).allowed
    assert decide(terms, EMAIL, [later, yes]).reason is Reason.WITHDRAWN
    # Once taken back, the answer is gone too.
    assert decide(terms, EMAIL, [old, replace(yes, state=State.WITHDRAWN)]).reason is Reason.WITHDRAWN


@pytest.mark.parametrize("state", [State.PENDING, State.EXPIRED])
def test_an_open_question_is_no_yes(state: State) -> None:
    terms = Terms(LegalBasis.CONSENT, frozenset({EMAIL}))
    yes = Statement(State.GRANTED, 1, "yes")
    assert not decide(terms, EMAIL, [yes, Statement(state, 1, "asked")]).allowed
