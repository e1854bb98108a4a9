"""What an agent view concludes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.agent_view import SCALE, Agreement, Mean, Statement, Use, direction, preferred_channel, standing

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def mean(score, count=1):
    return Mean(round(score * count * SCALE), count)


@pytest.mark.parametrize(
    ("recent", "earlier", "found"),
    [
        (mean(0.5), mean(0.1), "IMPROVING"),
        (mean(0.1), mean(0.3), "WORSENING"),
        (mean(0.1, 3), mean(0.2, 7), "STEADY"),
        (mean(0.1), Mean(), "UNSPECIFIED"),
        (Mean(), mean(0.1), "UNSPECIFIED"),
    ],
)
def test_sentiment_goes_somewhere_only_when_both_spans_tell(recent, earlier, found):
    assert direction(recent, earlier) == f"DIRECTION_{found}"


def said(state, day=0, record="", answers=()):
    return Statement(f"STATE_{state}", record or f"r{state}{day}", frozenset(answers), NOW + timedelta(days=day))


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        ({"a": said("GRANTED", 9), "b": said("WITHDRAWN", 1)}, "b"),
        ({"a": said("REFUSED", 9), "b": said("WITHDRAWN", 1)}, "b"),
        ({"a": said("GRANTED", 9), "b": said("PENDING")}, "b"),
        ({"a": said("EXPIRED", 2), "b": said("PENDING", 1)}, "a"),
        ({"a": said("GRANTED", 1), "b": said("GRANTED", 2)}, "b"),
        ({"a": said("GRANTED", 2, answers=["r1"]), "b": said("WITHDRAWN", 1, "r1")}, "a"),
        ({"a": said("GRANTED", 2, answers=["r1"]), "b": said("WITHDRAWN", 3, "r2")}, "b"),
        ({"a": said("WITHDRAWN", 2, answers=["r1"]), "b": said("REFUSED", 1, "r1")}, "a"),
        ({"a": said("GRANTED"), "b": said("NEW_KIND_OF_NO")}, "b"),
    ],
)
def test_the_most_restrictive_statement_stands_unless_a_grant_answers_it(statements, found):
    assert standing(statements) == found
    assert standing(dict(reversed(statements.items()))) == found


def use(channel, count, day):
    return Use(channel, count, NOW + timedelta(days=day))


def test_the_channel_used_most_is_preferred_and_of_equals_the_last_used():
    uses = [use("CHANNEL_PHONE", 2, 1), use("CHANNEL_EMAIL", 1, 2), use("CHANNEL_EMAIL", 1, 3)]
    channel, reason = preferred_channel(uses, [Agreement("CHANNEL_SMS", "purposes/news", NOW)])
    assert channel == "CHANNEL_EMAIL"
    assert reason == "Used most in the last 90 days: 2 messages or clicked mails, the last of 2026-03-04."


def test_without_use_the_last_agreement_counts_and_without_both_nothing_is_guessed():
    older = Agreement("CHANNEL_SMS", "purposes/news", NOW)
    newer = Agreement("CHANNEL_PUSH", "purposes/app", NOW + timedelta(days=1))
    channel, reason = preferred_channel([], [newer, older])
    assert channel == "CHANNEL_PUSH"
    assert "agreed to purposes/app on it on 2026-03-02" in reason
    assert preferred_channel([], [])[0] == ""


@given(st.permutations([use("A", 1, 1), use("B", 1, 1), use("A", 2, 0), use("B", 2, 1)]))
def test_the_order_of_uses_does_not_matter(uses):
    assert preferred_channel(uses, [])[0] == "B"
