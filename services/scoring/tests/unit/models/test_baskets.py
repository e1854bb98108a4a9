from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.models import baskets as module
from scoring.models.baskets import (
    Baskets,
    TooManyItemsets,
    derive,
    evaluate,
    fit,
    frequent,
    itemsets,
    least_count,
    suggest,
)
from scoring.models.baskets.rules import percent

NAMES = np.array(["a", "b", "c", "d", "e", "f", "g"])
SHARES = st.fractions(0, 1, max_denominator=12)


def encoded(rows: list[set[int]], names: np.ndarray = NAMES) -> Baskets:
    basket = np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int64)
    return Baskets.of(
        basket, np.array([item for row in rows for item in sorted(row)], dtype=np.int64), names, len(rows)
    )


def brute(rows: list[set[int]], least: int, longest: int) -> dict[tuple[int, ...], int]:
    """Every set of items, counted one by one."""
    counts = {
        chosen: sum(set(chosen) <= row for row in rows)
        for length in range(1, longest + 1)
        for chosen in combinations(range(len(NAMES)), length)
    }
    return {chosen: count for chosen, count in counts.items() if count >= least}


def told(found: module.Itemsets) -> dict[tuple[int, ...], int]:
    return {
        tuple(items): count
        for level, counts in zip(found.levels, found.counts, strict=True)
        for items, count in zip(level.tolist(), counts.tolist(), strict=True)
    }


ROWS = st.lists(st.sets(st.integers(0, len(NAMES) - 1)), max_size=40)


@settings(max_examples=80, deadline=None)
@given(ROWS, st.integers(1, 6), st.integers(1, 5))
def test_itemsets_are_those_of_counting_every_set(rows: list[set[int]], least: int, longest: int) -> None:
    found = frequent(encoded(rows), least, longest)
    assert told(found) == brute(rows, least, longest)
    for level in found.levels:
        assert level.tolist() == sorted(level.tolist())
        assert found.places(level).tolist() == list(range(len(level)))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 4), SHARES)
def test_rules_are_those_of_dividing_every_pair_of_counts(rows: list[set[int]], least: int, share: Fraction) -> None:
    counts = brute(rows, least, 5)
    expected = {
        (tuple(i for i in items if i != right), right): count
        for items, count in counts.items()
        for right in items
        if len(items) > 1 and Fraction(count, counts[tuple(i for i in items if i != right)]) >= share
    }
    rules = derive(frequent(encoded(rows), least, 5), NAMES, share)
    sides = [tuple(code for code in left if code >= 0) for left in rules.left.tolist()]
    keys = list(zip(sides, rules.right.tolist(), strict=True))
    assert dict(zip(keys, rules.both.tolist(), strict=True)) == expected
    assert keys == sorted(keys, key=lambda key: (len(key[0]), key))
    for (left, right), of, whole in zip(keys, rules.left_count, rules.right_count, strict=True):
        assert (of, whole) == (counts[left], counts[(right,)])
    singles = sum(len(items) == 1 for items in counts)
    assert rules.tested == sum(singles - len(items) for items in counts if len(items) < 5)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_order_of_rows_items_and_names_changes_nothing(rows: list[set[int]], random) -> None:
    pairs = [(100 - number, item) for number, row in enumerate(rows) for item in row]
    shuffled = random.sample(pairs, len(pairs)) + pairs[:3]
    names = random.sample(range(len(NAMES)), len(NAMES))
    basket = np.array([pair[0] for pair in shuffled], dtype=np.int64)
    item = np.array([names.index(pair[1]) for pair in shuffled], dtype=np.int64)
    other = Baskets.of(basket, item, NAMES[names], len(rows))
    first, second = (derive(frequent(one, 2), one.names, Fraction(1, 3)) for one in (encoded(rows), other))
    assert first.names.tolist() == second.names.tolist()
    for name in ("left", "right", "both", "left_count", "right_count", "p_value", "p_added", "confidence_without"):
        assert (getattr(first, name) == getattr(second, name)).all()


def test_bitsets_in_pieces_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    rows = [set(np.flatnonzero(rng.random(len(NAMES)) < 0.6).tolist()) for _ in range(700)]
    whole = told(frequent(encoded(rows), 5))
    monkeypatch.setattr(itemsets, "_WORDS", 16)
    monkeypatch.setattr(itemsets, "_CELLS", 300)
    assert told(frequent(encoded(rows), 5)) == whole == brute(rows, 5, len(NAMES))


@pytest.mark.parametrize(
    ("support", "baskets", "least"),
    [("0.006", 9835, 60), ("0.001", 9835, 10), ("0.01", 100, 1), ("0.07", 100, 7), ("0", 10, 1), ("1", 10, 10)],
)
def test_a_share_of_baskets_is_the_next_whole_number(support: str, baskets: int, least: int) -> None:
    assert least_count(Fraction(support), baskets) == least


def test_a_rule_that_just_reaches_its_confidence_is_kept() -> None:
    # 16 of 20 and 0.8: as floats, shares of shares, some of these fall short.
    for baskets in range(21, 200):
        rows = [{0, 1}] * 16 + [{0}] * 4 + [{2}] * (baskets - 20)
        rules = derive(frequent(encoded(rows), 5), NAMES, Fraction("0.8"))
        assert (rules.left[:, 0].tolist(), rules.right.tolist()) == ([0, 1], [1, 0])


def test_no_baskets_one_basket_and_none_that_match() -> None:
    for rows in ([], [set()], [{0, 1}]):
        rules, messages = fit(encoded(rows), Fraction("0.01"), Fraction("0.5"))
        assert len(rules) == len(rules.significant()) == len(rules.productive()) == len(rules.strongest(3)) == 0
        assert messages == (f"{len(rows)} baskets are too few for rules; 10 are the least",)
        assert suggest(rules, np.array([0])) == ()
        assert evaluate(rules, encoded(rows)).holding == 0
    rules, messages = fit(encoded([{0}] * 20), Fraction("0.01"), Fraction("0.5"))
    assert len(rules) == 0
    assert messages[0].startswith("no items are together in 5 baskets")


def test_too_many_itemsets_are_refused_with_advice() -> None:
    rows = [set(range(len(NAMES)))] * 10
    with pytest.raises(TooManyItemsets, match=r"more than 50 sets .* at least 2 of 10 baskets: raise .* to 4 baskets"):
        frequent(encoded(rows), 2, most=50)
    assert len(frequent(encoded(rows), 2, most=127)) == 127


def test_baskets_too_long_to_count_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(itemsets, "MOST_PAIRS", 20)
    with pytest.raises(TooManyItemsets, match=r"up to 7\) that they make more than 20 pairs: leave out baskets"):
        frequent(encoded([set(range(len(NAMES)))]), 1)


@pytest.mark.parametrize(
    ("basket", "item", "names", "total", "reason"),
    [
        ([0], [0], ["a", "a"], None, "names: two items have the same name"),
        ([0], [2], ["a", "b"], None, "item: codes must be from 0 to 1"),
        ([0, 1], [0], ["a", "b"], None, "basket and item differ in length"),
        ([0, 1], [0, 1], ["a", "b"], 1, "total: 1 baskets, but the rows name 2"),
    ],
)
def test_wrong_input_is_named(basket, item, names, total, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Baskets.of(np.array(basket), np.array(item), names, total)


def test_baskets_are_told_apart_by_any_numbers() -> None:
    far = Baskets.of(np.array([2**62, -(2**62), 2**62, 5]), np.array([1, 0, 0, 1]), ["a", "b"], 4)
    near = Baskets.of(np.array([9, -3, 9, 5]), np.array([1, 0, 0, 1]), ["a", "b"], 4)
    for found in (far, near):
        assert found.starts.tolist() == [0, 1, 2, 4, 4]
        assert found.items.tolist() == [0, 1, 0, 1]


def test_rules_in_words_and_suggestions() -> None:
    rows = [{0, 1, 2}] * 41 + [{0, 1}] * 25 + [{2}] * 5 + [{3}] * 300
    rules, messages = fit(encoded(rows), Fraction("0.01"), Fraction("0.5"))
    assert messages == ()
    sentences = [rules.words(rule) for rule in range(len(rules))]
    assert "who buys a and b also buys c: 62 % against 12 % of all, 41 baskets" in sentences
    assert rules.words(0, np.array(["tea", "milk", *"xyzuv"])).startswith(
        "who buys tea also buys milk: 100 % against 18 %"
    )
    offered = suggest(rules, np.array([0, 1, 99, -1]))
    assert [one.item for one in offered] == ["c"]
    assert offered[0].low < offered[0].probability == 41 / 66 < offered[0].high
    assert suggest(rules, np.array([99, -1])) == ()


def test_suggestions_of_equal_worth_go_by_id() -> None:
    rules, _ = fit(encoded([{0, 3, 5}] * 20 + [{1}] * 20), Fraction("0.01"), Fraction("0.5"))
    assert [one.item for one in suggest(rules, np.array([0]))] == ["d", "f"]


def test_rules_are_counted_again_in_later_baskets() -> None:
    rules, _ = fit(encoded([{0, 1}] * 20 + [{2}] * 20), Fraction("0.01"), Fraction("0.5"))
    later = encoded([{0, 1}, {0}, {2}, set()], NAMES[:3])
    seen = evaluate(rules, later)
    # a -> b: of two baskets with a, one has b; b -> a: of one basket with b, one has a.
    assert (seen.left_count.tolist(), seen.both.tolist(), seen.right_count.tolist()) == ([2, 1], [1, 1], [1, 2])
    assert seen.holding == 1
    assert seen.kept == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(62, 100, "62 %"), (1, 8, "13 %"), (1, 40, "2.5 %"), (1, 9999, "under 0.1 %"), (0, 5, "0 %")],
)
def test_shares_are_told_shortly(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text
