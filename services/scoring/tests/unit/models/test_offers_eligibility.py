from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.models.offers import NEVER, UNLIMITED, Terms, allocate, eligible, expected_margin, rank, top


def test_each_rule_takes_away_what_it_should() -> None:
    terms = Terms(
        sells=np.array([True, False, True, True, True, True, True]),
        margin_minor=np.array([10, 10, 4, 10, 10, 10, 10]),
        rest_days=np.array([NEVER, NEVER, NEVER, NEVER, 30, 30, NEVER]),
        cap=np.array([UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED, 0]),
    )
    ago = np.array([NEVER, NEVER, NEVER, 400, 30, 29, NEVER])
    #      free, does not sell, too little margin, owned, due again, not due yet, cap of none
    assert eligible(terms, ago, 5).tolist() == [True, False, False, False, True, False, False]
    assert eligible(terms, np.stack([ago, ago]), 4)[1].tolist() == [True, False, True, False, True, False, False]


def test_items_that_lose_money_are_not_offered_unless_asked_for() -> None:
    terms = replace(Terms.open(2), margin_minor=np.array([-1, 0]))
    never = np.full(2, NEVER)
    assert eligible(terms, never).tolist() == [False, True]
    assert eligible(terms, never, -1).tolist() == [True, True]


def test_expected_margin_is_probability_times_margin() -> None:
    assert expected_margin(np.array([0.25, 0.1]), np.array([400, -50])).tolist() == [100, -5]


def one_after_another(item: np.ndarray, value: np.ndarray, caps: list[int], per_customer: int) -> set[tuple[int, int]]:
    """The greatest value that is still possible, again and again."""
    made: set[tuple[int, int]] = set()
    places = sorted(
        (-value[who, at], who, int(item[who, at]))
        for who in range(len(item))
        for at in range(item.shape[1])
        if item[who, at] >= 0 and value[who, at] > 0
    )
    for _, who, code in places:
        taken = sum(other == code for _, other in made)
        if sum(other == who for other, _ in made) < per_customer and (caps[code] == UNLIMITED or taken < caps[code]):
            made.add((who, code))
    return made


@st.composite
def candidates(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int], int]:
    items, width = draw(st.integers(3, 6)), draw(st.integers(1, 3))
    rows = draw(st.lists(st.permutations(range(-1, items)).map(lambda codes: codes[:width]), min_size=1, max_size=12))
    value = [[draw(st.integers(-1, 4)) for _ in row] for row in rows]
    caps = draw(st.lists(st.integers(-1, 3), min_size=items, max_size=items))
    return np.array(rows), np.array(value, dtype=float), caps, draw(st.integers(1, 3))


@settings(max_examples=80, deadline=None)
@given(candidates())
def test_offers_under_caps_are_those_of_taking_the_best_again_and_again(given_) -> None:
    item, value, caps, per_customer = given_
    terms = replace(Terms.open(len(caps)), cap=np.array(caps))
    made = allocate(item, value, terms, per_customer)
    assert {(int(who), int(item[who, at])) for who, at in zip(*np.nonzero(made), strict=True)} == one_after_another(
        item, value, caps, per_customer
    )


def test_many_customers_share_the_few_there_are() -> None:
    rng = np.random.default_rng(2)
    item = np.argsort(rng.random((20_000, 50)), axis=1)[:, :8]
    value = rng.random(item.shape)
    made = allocate(item, value, replace(Terms.open(50), cap=np.full(50, 300)), 2)
    given_out = np.bincount(item[made], minlength=50)
    assert given_out.tolist() == [300] * 50
    assert made.sum(axis=1).max() == 2


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="value: shape"):
        allocate(np.zeros((2, 3), dtype=np.int64), np.zeros((2, 2)), Terms.open(3), 1)


def test_ranking_is_over_all_items_and_ties_go_by_id() -> None:
    scores = np.array([[3.0, 1, 1, 2], [0, 0, 0, 0], [1, 2, 3, 4]])
    bought = np.array([[False, False, True, False], [False, True, False, False], [False] * 4])
    barred = np.array([[True, False, False, False], [False] * 4, [False] * 4])
    found = rank(scores, bought, barred)
    assert found.customers == 2
    # Third of the three that are not barred; second of four that are equal.
    assert found.reciprocal.tolist() == [1 / 3, 1 / 2]
    assert found.gain.tolist() == pytest.approx([1 / np.log2(4), 1 / np.log2(3)])
    assert found.hit_rate == 1
    assert top(scores, barred, 2).tolist() == [[3, 1], [0, 1], [3, 2]]
    assert top(scores[:1], barred[:1], 5).tolist() == [[3, 1, 2, -1, -1]]
    assert top(scores[:1], ~barred[1:2], 2).tolist() == [[-1, -1]]


def test_gain_and_hits_are_of_the_first_ten() -> None:
    scores = -np.arange(30.0)[None, :]
    bought = np.zeros((1, 30), dtype=bool)
    bought[0, [10, 25]] = True
    none = np.zeros_like(bought)
    found = rank(scores, bought, none)
    assert (found.hit_rate, found.ndcg, found.mrr) == (0, 0, 1 / 11)
    bought[0, [0, 2]] = True
    ideal = sum(1 / np.log2(place + 1) for place in range(1, 5))
    assert rank(scores, bought, none).ndcg == pytest.approx((1 + 1 / np.log2(4)) / ideal)
    assert rank(scores, bought, bought).customers == 0


def test_one_ranking_beats_another_by_an_interval() -> None:
    scores = np.random.default_rng(0).random((400, 40))
    bought = scores > np.sort(scores, axis=1)[:, [20]]
    better, worse = rank(scores, bought, ~bought & False), rank(-scores, bought, ~bought & False)
    assert better.beats(worse) == (1.0, 1.0, 1.0)
    assert worse.beats(worse) == (0.0, 0.0, 0.0)
    assert rank(scores, ~bought & False, ~bought & False).beats(rank(scores, ~bought & False, bought)) == (0, 0, 0)
