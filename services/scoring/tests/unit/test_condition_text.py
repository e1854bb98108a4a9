"""Conditions as text and as messages: both are the same tree, and what is wrong is said where it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapport.scoring.v1 import condition_pb2 as pb

from chassis.errors import InvalidArgument
from scoring import condition_messages, expressions
from scoring.domain import conditions as tree
from scoring.domain.condition_problems import problem_of
from scoring.domain.condition_text import parse
from scoring.domain.condition_tokens import ExpressionError
from scoring.domain.condition_writing import write
from scoring.domain.conditions import Amount, Consent, Events, InSegment, Not, Score, Trait, Window

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=12)
NUMBERS = st.one_of(st.integers(-(10**6), 10**6).map(float), st.floats(-1e20, 1e20).map(lambda value: value + 0.0))
COMPARED = st.sampled_from(tree.COMPARISONS)
WINDOWS = st.one_of(
    st.builds(Window, st.integers(1, 366), st.just("d")), st.builds(Window, st.integers(1, 8784), st.just("h"))
)
TRAIT = st.one_of(
    st.builds(Trait, st.sampled_from(["region_code", "time_zone"]), st.sampled_from(tree.EQUALITIES), TEXTS),
    st.builds(Trait, st.just("has_email"), st.sampled_from(tree.EQUALITIES), st.booleans()),
    st.builds(Trait, TEXTS.map("traits.{}".format), st.sampled_from(["=", "!=", ":"]), TEXTS | st.booleans() | NUMBERS),
    st.builds(Trait, TEXTS.map("traits.{}".format), COMPARED, NUMBERS),
    st.builds(Trait, TEXTS.map("traits.{}".format), st.just(":*")),
)
SCORE = st.one_of(
    st.builds(Score, st.sampled_from(["p_alive", "revenue", "lifetime_value"]), COMPARED, NUMBERS),
    st.builds(Score, st.just("purchases"), COMPARED, st.integers(0, 99).map(float)),
    st.builds(Score, st.just("cluster"), st.sampled_from(tree.EQUALITIES), st.sampled_from(["buy often, new", "1"])),
    st.builds(Score, st.just("rfm_segment"), st.sampled_from(tree.EQUALITIES), st.sampled_from(["Lost", "At risk"])),
    st.builds(Score, st.sampled_from(list(tree.SCORES)), st.just(":*")),
)
NAMES = TEXTS.filter(str.strip)
EVENTS = st.one_of(
    st.builds(Events, st.just("count"), NAMES, COMPARED, st.integers(0, 1000).map(float), WINDOWS, TEXTS | st.just("")),
    st.builds(Events, st.just("count"), NAMES, COMPARED, st.integers(0, 10**9).map(float)),
    st.builds(Events, st.just("sum"), NAMES, COMPARED, NUMBERS, WINDOWS | st.none(), st.just(""), st.just("EUR")),
    st.builds(
        Events,
        st.just("count"),
        NAMES,
        COMPARED,
        st.integers(0, 10).map(float),
        WINDOWS,
        st.just("shop"),
        st.just("JPY"),
        st.builds(Amount, COMPARED, NUMBERS),
    ),
    st.builds(
        Events,
        st.sampled_from(["days_since_last", "hours_since_last"]),
        NAMES,
        st.sampled_from(tree.ORDERS),
        st.floats(0, 366).map(lambda value: value + 0.0),
    ),
)
CONSENT = st.builds(
    Consent, st.just("purposes/news"), st.sampled_from(tree.CHANNELS), st.sampled_from(tree.CONSENT_STATES)
)
SINGLES = st.one_of(TRAIT, SCORE, EVENTS, CONSENT, st.builds(InSegment, st.just("regulars")))


def _compound(parts: st.SearchStrategy[tree.Condition]) -> st.SearchStrategy[tree.Condition]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(tree.All, several), st.builds(tree.Any, several), st.builds(Not, parts))


CONDITIONS = st.recursive(SINGLES, _compound, max_leaves=8)


@given(CONDITIONS)
@settings(max_examples=150, deadline=None)
def test_text_and_message_are_views_of_one_tree(condition: tree.Condition) -> None:
    assert all(problem_of(single) is None for single in tree.singles(condition))
    text = write(condition)
    assert parse(text) == condition
    assert parse(f"  ( {text} )  ") == condition
    message = condition_messages.to_message(condition)
    assert condition_messages.to_tree(pb.Condition.FromString(message.SerializeToString()), "condition") == condition


PIECES = [
    "count",
    "(",
    ")",
    '"',
    "a",
    ",",
    "30d",
    "=",
    ">",
    " ",
    "AND",
    "NOT",
    "-",
    "5",
    "traits.",
    ":",
    "*",
    "p_alive",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=200, deadline=None)
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        condition = parse(text)
    except ExpressionError:
        return
    assert parse(write(condition)) == condition


def test_or_binds_tighter_than_and_as_in_aip_160() -> None:
    a, b, c = (Score("p_alive", "<", number) for number in (0.1, 0.2, 0.3))
    assert parse("p_alive < 0.1 AND p_alive < 0.2 OR p_alive < 0.3") == tree.All((a, tree.Any((b, c))))
    assert write(tree.All((a, tree.Any((b, Not(c)))))) == "p_alive < 0.1 AND (p_alive < 0.2 OR NOT p_alive < 0.3)"
    assert parse("-p_alive < 0.1") == Not(a)


def test_words_of_traits_have_their_types_and_quoted_ones_are_texts() -> None:
    assert parse("traits.zip = 12345") == Trait("traits.zip", "=", 12345.0)
    assert parse('traits.zip = "12345"') == Trait("traits.zip", "=", "12345")
    assert parse("traits.vip = true") == Trait("traits.vip", "=", True)
    assert parse('traits."favourite colour" = blue') == Trait("traits.favourite colour", "=", "blue")
    assert parse("region_code = DE") == Trait("region_code", "=", "DE")


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("salary > 5", 1, "salary is nothing to ask for"),
        ("p_alive >", 10, "expected a value"),
        ("p_alive > high", 11, "expected a number"),
        ("frequency = 1.5", 13, "expected a whole number"),
        ("p_alive < 0.5 p_alive", 15, "expected AND, OR or the end"),
        ("(p_alive < 0.5", 15, r"expected \)"),
        ('rfm_segment > "Lost"', 13, "has no order"),
        ('rfm_segment = "Lo*"', 15, r"takes no \*"),
        ('cluster > "new"', 9, "has no order"),
        ("p_alive:0.5", 8, "is no list"),
        ('region_code = "DE', 15, "a quote without its end"),
        ("has_email = maybe", 13, "expected true or false"),
        ("traits.age > old", 12, "only numbers have an order"),
        ("counts(Page) > 1", 1, "counts is no function"),
        ("count > 1", 7, r"expected \( after count"),
        ("count(Page, 400d) > 1", 13, "1 to 366 days"),
        ("count(Page, 0h) > 1", 13, "1 to 8784 hours"),
        ("count(Page, 3d, 4d) > 1", 17, "window is given twice"),
        ("count(Page, 3w) > 1", 13, "expected a window such as 30d"),
        ("count(Page, 3d) > 1001", 19, "up to 1000 events"),
        ("count(Page) = 1.5", 15, "expected a whole number"),
        ("sum(Order) > 5", 10, "summed in one currency"),
        ('sum(Order, 3d, currency = "EUR", amount > 5) > lots', 48, "expected a number"),
        ("count(Order, 3d, amount > 5) > 1", 28, "an amount has a currency"),
        ('count(Order, currency = "EUR", amount > 5) > 1', 42, "within a window"),
        ("days_since_last(Order) = 3", 24, "never hits a point"),
        ("days_since_last(Order, 3d) > 3", 24, "takes no window"),
        ("consent(news, FAX) = GRANTED", 15, "EMAIL, SMS"),
        ("consent(news, EMAIL) != GRANTED", 22, "takes ="),
        ("consent(news, EMAIL) = MAYBE", 24, "GRANTED, REFUSED, NONE"),
        ("in_segment(a/b)", 12, "name a segment"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, position: int, problem: str) -> None:
    with pytest.raises(ExpressionError, match=rf"^is wrong at character {position}: .*{problem}"):
        parse(text)


def test_too_much_is_refused() -> None:
    for text, problem in (
        (" ", "is empty"),
        ("p_alive < 0.5" + " " * 5_000, "longer than 5000"),
        ("(" * 20 + "p_alive < 1" + ")" * 20, "deeper than 20"),
        (" AND ".join(["p_alive < 1"] * 51), "more than 50"),
    ):
        with pytest.raises(ExpressionError, match=problem):
            parse(text)
    with pytest.raises(InvalidArgument, match="names 'EURO', which is no currency"):
        expressions.of_text('sum(Order, 3d, currency = "EURO") > 5', "expression")


EVENT = {"measure": "MEASURE_COUNT", "event": "Page", "operator": "OPERATOR_GREATER", "value": 1}
PLAN = {"trait": "traits.plan", "operator": "OPERATOR_EQUAL", "value": {"text": "pro"}}


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({}, ""),
        ({"all": {}}, ".all.conditions"),
        ({"any": {"conditions": [{"trait": PLAN}, {}]}}, ".any.conditions[1]"),
        ({"negation": {"event": EVENT | {"window_days": 400}}}, ".negation.event.window_days"),
        ({"event": EVENT | {"window_hours": 9000}}, ".event.window_hours"),
        ({"event": EVENT | {"window_hours": 1, "window_days": 1}}, ".event.window_hours"),
        ({"event": EVENT | {"measure": 0}}, ".event.measure"),
        ({"event": EVENT | {"measure": "MEASURE_SUM"}}, ".event.currency_code"),
        ({"event": EVENT | {"operator": 0}}, ".event.operator"),
        ({"event": EVENT | {"value": float("nan")}}, ".event.value"),
        ({"event": EVENT | {"event": "a\0b"}}, ".event.event"),
        ({"event": EVENT | {"currency_code": "EURO"}}, ""),
        ({"score": {"score": "salary", "operator": 1, "value": {"number": 1}}}, ".score.score"),
        ({"score": {"score": "p_alive", "operator": 8, "value": {"number": 1}}}, ".score.value"),
        ({"trait": PLAN | {"trait": "traits."}}, ".trait.trait"),
        ({"trait": PLAN | {"operator": "OPERATOR_LESS"}}, ".trait.operator"),
        ({"consent": {"purpose": "news", "channel": 1, "state": 1}}, ".consent.purpose"),
        ({"consent": {"purpose": "purposes/news", "channel": 1}}, ".consent.state"),
        ({"segment": {"segment": "regulars"}}, ".segment.segment"),
    ],
)
def test_what_is_wrong_with_a_message_is_named(condition: dict, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        expressions.of_message(pb.Condition(**condition), "segment.condition")
    assert caught.value.reason == "INVALID_CONDITION"
    assert [violation[0] for violation in caught.value.violations] == [f"segment.condition{field}"]
