"""What rules of offers leave, in which order, and what they say of the rest."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.domain.conditions import GRANTED, REFUSED
from scoring.domain.offer_rules import (
    PREFIX_MAX,
    Choice,
    Customer,
    Kept,
    Reason,
    Rule,
    Rules,
    choose,
    keys_about,
    keys_of,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NEWS = ("purposes/news", "EMAIL")
KEPT = [Kept("tent", 0.4), Kept("stove", 0.3), Kept("toys-car", 0.2), Kept("toys-doll", 0.1)]


def chosen(*rules: Rule, kept: list[Kept] = KEPT, customer: Customer = Customer(), most: int = 10, power: float = 1):  # noqa: B008 - frozen
    found = choose(Rules(rules), kept, range(len(kept)), customer, most, power)
    return [kept[one.place].product for one in found.offers], dict(found.left_out)


def test_without_rules_the_order_of_the_model_stands() -> None:
    names, left_out = chosen(most=3)
    assert (names, left_out) == (["tent", "stove", "toys-car"], {})
    found = choose(Rules([]), [Kept("a", None), Kept("b", 0.9)], [0, 1], Customer(), 10, 1)
    assert [one.relevance for one in found.offers] == [1.0, 1 / math.log2(3)], "one has no probability: places count"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Rule("r", products=frozenset({"tent"}), blocked=True), Reason.BLOCKED),
        (Rule("r", products=frozenset({"tent"}), required=frozenset({"vip", "staff"})), Reason.SEGMENT),
        (Rule("r", products=frozenset({"tent"}), excluded=frozenset({"minors"})), Reason.SEGMENT),
        (Rule("r", products=frozenset({"tent"}), consent=NEWS), Reason.CONSENT),
        (Rule("r", products=frozenset({"tent"}), minimum=100), Reason.MARGIN),
        (Rule("r", products=frozenset({"tent"}), minimum=100, margin=99), Reason.MARGIN),
    ],
)
def test_a_rule_leaves_out_its_products_and_says_why(rule: Rule, reason: Reason) -> None:
    said_no = Customer({"minors"}, {NEWS: REFUSED})
    assert chosen(rule, customer=said_no) == (["stove", "toys-car", "toys-doll"], {("r", reason): 1})


def test_who_meets_what_is_asked_is_offered_it() -> None:
    rules = (
        Rule("a", every=True, required=frozenset({"vip", "staff"}), excluded=frozenset({"minors"}), consent=NEWS),
        Rule("b", every=True, margin=100, minimum=100),
    )
    assert chosen(*rules, customer=Customer({"vip"}, {NEWS: GRANTED}))[1] == {}


def test_the_closest_margin_counts_and_ranks() -> None:
    rules = (
        Rule("all", every=True, margin=100),
        Rule("one", products=frozenset({"toys-doll"}), margin=1_000),
        Rule("toys", prefixes=("t", "toys-"), margin=300),
        Rule("later", every=True, margin=200),
        Rule("loss", products=frozenset({"tent"}), margin=-5),
    )
    found = choose(Rules(rules), KEPT, range(4), Customer(), 10, 1)
    # Margins -5, 200, 300 and 1,000; the reference is the median of the positive ones.
    assert {KEPT[one.place].product: one.weight for one in found.offers} == {
        "tent": 0,
        "stove": 200 / 300,
        "toys-car": 1,
        "toys-doll": 1_000 / 300,
    }
    assert [KEPT[one.place].product for one in found.offers] == ["toys-doll", "stove", "toys-car", "tent"]
    assert found.offers[0].score == pytest.approx(1 / 3)
    assert [one.score for one in choose(Rules(rules), KEPT, range(4), Customer(), 10, 0).offers] == [0.4, 0.3, 0.2, 0.1]


def test_what_has_no_margin_counts_as_the_one_in_the_middle_and_reaches_no_minimum() -> None:
    margin = Rule("one", products=frozenset({"stove"}), margin=700)
    assert [one.weight for one in choose(Rules([margin]), KEPT, range(4), Customer(), 10, 1).offers] == [1.0] * 4
    assert chosen(margin, Rule("least", every=True, minimum=700)) == (["stove"], {("least", Reason.MARGIN): 3})


def test_so_many_of_a_group_are_offered_and_no_more() -> None:
    rules = (Rule("toys", prefixes=("toys-",), most=1), Rule("few", every=True, most=3))
    assert chosen(*rules) == (["tent", "stove", "toys-car"], {("toys", Reason.MAX_OFFERS): 1})
    assert chosen(*rules, most=2) == (["tent", "stove"], {}), "what finds no room is not left out by a rule"


def test_the_first_rule_is_named_and_rules_are_told_in_order() -> None:
    rules = (
        Rule("z", products=frozenset({"tent"}), consent=NEWS),
        Rule("a", every=True, blocked=True),
    )
    names, left_out = chosen(*rules)
    assert (names, list(left_out.items())) == ([], [(("z", Reason.CONSENT), 1), (("a", Reason.BLOCKED), 3)])


def test_a_rule_holds_from_its_start_until_before_its_end() -> None:
    rule = Rule("r", every=True, start=NOW, end=NOW + timedelta(days=1))
    instants = (
        NOW - timedelta(seconds=1),
        NOW,
        NOW + timedelta(days=1) - timedelta(seconds=1),
        NOW + timedelta(days=1),
    )
    assert [rule.holds(instant) for instant in instants] == [False, True, True, False]


_TEXT = st.text("ab-", min_size=1, max_size=PREFIX_MAX + 3)
_RULES = st.lists(
    st.builds(
        Rule,
        uid=st.uuids().map(str),
        products=st.frozensets(_TEXT, max_size=3),
        prefixes=st.lists(_TEXT.map(lambda text: text[:PREFIX_MAX]), max_size=3).map(tuple),
        every=st.booleans(),
        blocked=st.booleans(),
        margin=st.none() | st.integers(-10, 1000),
        minimum=st.none() | st.integers(-10, 1000),
        most=st.integers(0, 3),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(_RULES, st.lists(_TEXT, unique=True, min_size=1, max_size=8), st.floats(0, 1))
def test_a_rule_is_found_exactly_when_it_is_about_a_product_and_all_are_counted(rules, products, power) -> None:
    keys = set(keys_about(products))
    for rule in rules:
        own = set(keys_of(rule.products, rule.prefixes, every=rule.every))
        about = any(is_about(rule, product) for product in products)
        assert about == bool(own & keys)
    kept = [Kept(product, 1 / (2 + place)) for place, product in enumerate(products)]
    found: Choice = choose(Rules(rules), kept, range(len(kept)), Customer(), len(kept), power)
    assert len(found.offers) + sum(found.left_out.values()) == len(kept)
    assert [one.score for one in found.offers] == sorted((one.score for one in found.offers), reverse=True)
    for rule in rules:
        named = [one for one in found.offers if is_about(rule, kept[one.place].product)]
        assert not (rule.blocked and named)
        assert not (rule.most and len(named) > rule.most)


def is_about(rule: Rule, product: str) -> bool:
    return product in rule.products or product.startswith(rule.prefixes) or rule.every


def test_which_rules_are_about_a_product_is_decided_once_for_all_alike() -> None:
    every, toys = Rule("every", every=True, most=2), Rule("toys", prefixes=("toys-", "t"), margin=3)
    blocked = Rule("tent", products=frozenset({"tent"}), blocked=True)
    rules = Rules([every, toys, blocked])
    assert rules.about("stove") is rules.about("sledge")
    assert rules.about("toys-car") is rules.about("toys-doll")
    tent = rules.about("tent")
    assert (tent.asking, tent.capping, tent.margin) == ([blocked], [every], 3)
