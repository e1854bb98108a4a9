"""Who belongs to a segment: the rules against the plainest words for them, and the instants at which they turn."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis import money
from scoring.domain.condition_text import parse
from scoring.domain.conditions import EVENTS_MAX
from scoring.domain.consents import standing
from scoring.domain.happenings import KEPT_DAYS, SERIES_MAX, Happening, add
from scoring.domain.membership import rule_of
from scoring.domain.person import COMPARE, Person
from scoring.rulebook import rulebook

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = 1_800_000_000_000


def person(now: int = NOW, happenings: list[Happening] = [], **values) -> Person:  # noqa: B006 - never changed
    series: dict[str, list] = {}
    for each in add([], happenings, now):
        series.setdefault(each["e"], []).append(each)
    return Person(now=now, series=series, **values)


def met(text: str, someone: Person) -> bool | None:
    return rule_of(parse(text), money.check_currency)(someone)


def bought(hours_ago: float, amount: int = 1000, source: str = "shop", currency: str = "EUR") -> Happening:
    unique = random.getrandbits(60)
    return Happening("Order", source, currency, NOW - int(hours_ago * HOUR), amount, unique)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('traits.plan = "pro"', True),
        ('traits.plan != "pro"', False),
        ("traits.plan = 5", False),
        ("traits.plan != 5", True),
        ("traits.age >= 18 AND traits.age < 18.5", True),
        ("traits.vip = true", True),
        ("traits.vip = 1", False),
        ("traits.age = true", False),
        ('traits.tags:"new" AND NOT traits.tags:"old"', True),
        ("traits.nothing:* OR traits.nothing > 5", False),
        ("NOT traits.nothing > 5 AND traits.nothing != 7", True),
        ("region_code = DE AND has_email = true AND has_phone != true", True),
    ],
)
def test_traits(text: str, expected: bool) -> None:
    traits = {"traits.plan": "pro", "traits.age": 18.0, "traits.vip": True, "traits.tags": ["new", 5]}
    assert met(text, person(traits=traits | {"region_code": "DE", "has_email": True})) is expected


def test_a_condition_on_scores_is_neither_met_nor_not_without_them() -> None:
    nobody, scored = person(), person(scores={"currency": "EUR", "p_alive": 0.5, "lifetime_value": 10010})
    assert met("p_alive < 0.5", nobody) is None
    assert met("NOT p_alive < 0.5", nobody) is None
    assert met("p_alive != 0.5 AND traits.a = b", nobody) is False
    assert met("p_alive < 0.5 OR NOT traits.a:*", nobody) is True
    assert met("p_alive:*", nobody) is False
    assert met("NOT p_alive < 0.5", scored) is True
    assert met("lifetime_value = 100.1 AND lifetime_value <= 100.10", scored) is True
    assert met("lifetime_value > 100.1", scored) is False
    yen = person(scores={"currency": "JPY", "lifetime_value": 500})
    assert met("lifetime_value = 500", yen) is True


def test_windows_amounts_and_sources() -> None:
    events = [bought(1, 500), bought(30, 5000, "till"), bought(50, 999, currency="USD"), bought(800, 70_000)]
    someone = person(happenings=events)
    for text, expected in (
        ("count(Order, 24h) = 1", True),
        ("count(Order, 2d) = 2", True),
        ("count(Order, 3d) = 3", True),
        ("count(Order) = 4", True),
        ("count(Order, 3d, source = till) = 1", True),
        ('count(Order, 3d, currency = "EUR", amount >= 50) = 1', True),
        ('sum(Order, 3d, currency = "EUR") = 55', True),
        ('sum(Order, currency = "EUR") = 755', True),
        ('sum(Order, currency = "USD") = 9.99', True),
        ("days_since_last(Order) < 1", True),
        ("hours_since_last(Order, source = till) >= 30", True),
        ("hours_since_last(Order, source = till) > 30", False),
        ("days_since_last(Page) > 1", False),
        ("count(Page, 3d) = 0", True),
    ):
        assert met(text, someone) is expected, text


CASES = st.tuples(
    st.sampled_from(["count", "sum", "amount", "since", "all"]),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    st.integers(0, 5),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(-5, 40), st.integers(-2, 3)), max_size=8),
)


def _plain(kind: str, sign: str, bound: int, length: int, events: list[tuple[int, int]], now: int) -> bool:
    """The same in the plainest words. events: hours before NOW, amounts in units."""
    times = [(NOW - ago * HOUR, amount) for ago, amount in events]
    past = [(time, amount) for time, amount in times if time <= now]
    inside = [(time, amount) for time, amount in past if time > now - length * HOUR]
    if kind == "since":
        return bool(past) and COMPARE[sign](now - max(past)[0], bound * HOUR)
    if kind == "amount":
        inside = [each for each in inside if each[1] >= 1]
    chosen = past if kind == "all" else inside
    return COMPARE[sign](sum(amount for _, amount in chosen) if kind == "sum" else len(chosen), bound)


@given(CASES)
@settings(max_examples=200, deadline=None)
def test_the_answer_is_that_of_the_plainest_words_until_the_instant_it_names(case) -> None:
    kind, sign, bound, length, events = case
    if kind == "since" and sign in ("=", "!="):
        sign = ">="
    text = {
        "count": f"count(Order, {length}h) {sign} {bound}",
        "sum": f'sum(Order, {length}h, currency = "EUR") {sign} {bound}',
        "amount": f'count(Order, {length}h, currency = "EUR", amount >= 1) {sign} {bound}',
        "since": f"hours_since_last(Order) {sign} {bound}",
        "all": f"count(Order) {sign} {bound}",
    }[kind]
    rule = rule_of(parse(text), money.check_currency)
    happenings = [bought(ago, 100 * amount) for ago, amount in events]
    now, turns = NOW, 0
    while True:
        someone = person(now, happenings)
        found = rule(someone)
        assert found is _plain(*case[:1], sign, *case[2:], now), (text, now - NOW)
        due = someone.due
        assert due is None or due > now
        for instant in {now, (due or now + 60 * HOUR) - 1, now + (due - now) // 2 if due else now + 45 * HOUR}:
            assert _plain(kind, sign, bound, length, events, instant) is found, (text, instant - NOW)
        if due is None:
            return
        now, turns = due, turns + 1
        assert turns < 50


@given(st.lists(st.tuples(st.integers(0, 399), st.sampled_from("ab"), st.integers(0, 9)), max_size=30), st.randoms())
@settings(max_examples=60, deadline=None)
def test_what_is_kept_of_events_knows_no_order_and_no_repeats(events, chance: random.Random) -> None:
    happenings = [
        Happening("Order", source, "EUR", NOW - day * DAY - number, number, number * 1000 + day)
        for day, source, number in events
    ]
    at_once = add([], happenings, NOW)
    again = happenings + chance.sample(happenings, len(happenings) // 2)
    chance.shuffle(again)
    known: list = []
    while again:
        part, again = again[:3], again[3:]
        known = add(known, part, NOW)
    assert sorted(known, key=lambda each: each["s"]) == sorted(at_once, key=lambda each: each["s"])


def test_what_is_kept_of_events_is_bounded() -> None:
    many = [Happening("Page", "shop", "", NOW - number, 0, number) for number in range(EVENTS_MAX + 200)]
    old = [Happening("Page", "shop", "", NOW - (KEPT_DAYS + 1) * DAY, 0, 10**9)]
    (series,) = add([], many + old, NOW)
    assert (len(series["t"]), series["n"], series["t"][-1]) == (EVENTS_MAX, EVENTS_MAX + 201, NOW)
    names = [Happening(f"E{number}", "", "", NOW - number, 0, number) for number in range(SERIES_MAX + 50)]
    assert {each["e"] for each in add([], names, NOW)} == {f"E{number}" for number in range(SERIES_MAX)}


def test_segments_are_judged_after_those_they_ask_for_and_only_if_something_of_theirs_is_new() -> None:
    book = rulebook(
        frozenset(
            {
                ("both", 'in_segment("payers") AND in_segment("readers")'),
                ("payers", "count(Order, 30d) >= 1"),
                ("readers", "count(Page, 30d) >= 1"),
                ("pro", "traits.plan = pro"),
            }
        )
    )
    assert set(book.affected(frozenset({"event:Order"}))) == {"payers", "both"}
    assert book.affected(frozenset({"trait"})) == ("pro",)
    assert book.affected(frozenset({"event:Other"})) == ()
    assert book.with_those_asking(["readers"]) == ("readers", "both")
    someone = person(happenings=[bought(1)], inside={"readers"})
    book.judge(someone, book.affected(frozenset({"event:Order"})))
    assert someone.inside == {"payers", "readers", "both"}
    book.judge(someone, book.rules)
    assert someone.inside == {"payers"}


def test_the_most_restrictive_statement_counts_unless_a_later_one_answers_it() -> None:
    def said(consent: str, state: str, answered: list[str] = []) -> dict:  # noqa: B006 - never changed
        told = {"consent": consent, "purpose": "purposes/news", "channel": "EMAIL", "state": state}
        return told | {"record": f"records/{consent}", "answered": answered, "sequence": [1, 0]}

    about = ("purposes/news", "EMAIL")
    assert standing([]) == {}
    assert standing([said("a", "GRANTED"), said("b", "NONE")]) == {about: "NONE"}
    assert standing([said("a", "GRANTED"), said("b", "REFUSED"), said("c", "NONE")]) == {about: "REFUSED"}
    assert standing([said("a", "GRANTED", ["records/b"]), said("b", "REFUSED")]) == {about: "GRANTED"}
    assert standing([said("a", "REFUSED", ["records/b"]), said("b", "REFUSED")]) == {about: "REFUSED"}
    someone = person(consents={about: "GRANTED"})
    assert met("consent(news, EMAIL) = GRANTED AND consent(news, SMS) = NONE", someone) is True


def test_bounds_between_two_units_of_a_currency_are_kept() -> None:
    someone = person(happenings=[bought(1, 1)])
    assert met('sum(Order, 1d, currency = "EUR") > 0.005', someone) is True
    assert met('sum(Order, 1d, currency = "EUR") = 0.01', someone) is True
