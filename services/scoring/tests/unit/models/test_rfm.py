from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scoring.models import rfm
from scoring.models.rfm import Bounds, Standing
from scoring.models.summary import PurchaseDays

numbers = st.lists(st.integers(-1_000, 1_000), min_size=1, max_size=200)


def bounds(values):
    return Bounds.of(*np.unique(values, return_counts=True))


def test_bounds_are_observed_quintiles():
    assert bounds(np.arange(1, 11)).upper == (2, 4, 6, 8)
    assert bounds(np.arange(1, 11)).scores(np.arange(1, 11)).tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_equal_values_score_equally_even_if_classes_become_unequal():
    values = np.array([1] * 7 + [2, 3, 4])
    assert bounds(values).scores(values).tolist() == [1] * 7 + [4, 5, 5]


@given(numbers)
def test_scores_follow_values_alone(values):
    column = np.array(values)
    scores = bounds(column).scores(column)
    order = np.random.default_rng(0).permutation(len(column))
    assert (bounds(column[order]).scores(column[order]) == scores[order]).all()
    assert set(scores.tolist()) <= {1, 2, 3, 4, 5}
    by_value = sorted(zip(column.tolist(), scores.tolist(), strict=True))
    assert [score for _, score in by_value] == sorted(score for _, score in by_value)
    assert len(set(by_value)) == len(set(values))


@given(numbers)
def test_the_least_is_in_the_lowest_class_it_reaches_the_greatest_in_5_and_others_in_the_middle(values):
    column = np.array(values)
    for value, score in zip(values, bounds(column).scores(column).tolist(), strict=True):
        below, until = int((column < value).sum()), int((column <= value).sum())
        lowest = 1 + 5 * below // len(column)
        quintiles = sum(5 * below < k * len(column) <= 5 * until for k in range(1, 5))
        if until == len(column):
            assert score == (3 if below == 0 else 5)
        else:
            assert score == lowest + (quintiles // 2 if below else 0)


def test_nobody_is_lost_because_many_are_alike():
    # Who pays on the first of the month bought last when nearly all did.
    column = np.array([-60] + [-5] * 19)
    assert bounds(column).scores(column).tolist() == [1] + [5] * 19
    # Nor because one of them bought later.
    column = np.array([-60] + [-5] * 18 + [-1])
    assert bounds(column).scores(column).tolist() == [1] + [3] * 18 + [5]
    alike = np.array([7])
    assert bounds(alike).scores(np.array([6, 7, 8])).tolist() == [1, 3, 5]
    alone = Standing.of(bought([(0, day, 900) for day in range(30)])).scored()
    assert rfm.SEGMENT_NAMES[alone.segment[0]] == "Need attention"


def test_every_combination_has_a_segment():
    r, f, m = (axis.ravel().astype(np.int8) for axis in np.meshgrid(*[np.arange(1, 6)] * 3))
    found = rfm.segments(r, f, m)
    assert (found >= 0).all()
    named = {tuple(scores): rfm.SEGMENT_NAMES[index] for *scores, index in zip(r, f, m, found.tolist(), strict=True)}
    assert named[5, 5, 5] == "Champions"
    assert named[5, 1, 1] == "New"
    assert named[1, 5, 5] == "Cannot lose"
    assert named[1, 1, 1] == "Lost"
    assert set(named.values()) == set(rfm.SEGMENT_NAMES)


def test_without_customers_there_are_no_bounds():
    assert bounds(np.zeros(0, dtype=np.int64)).upper == ()


purchases = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 30), st.integers(0, 500)),  # customer, day, amount
    max_size=60,
)


def bought(rows):
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return PurchaseDays.of(columns[0], columns[1], columns[2])


@given(purchases, st.lists(st.integers(0, 60), max_size=4), st.randoms())
def test_kept_up_to_date_it_equals_summing_up_all_anew(rows, cuts, random):
    whole = Standing.of(bought(rows))
    late = rows[:]
    random.shuffle(late)
    begins = [0, *sorted(min(cut, len(late)) for cut in cuts), len(late)]
    standing = Standing.of(bought([]))
    for begin, end in pairwise(begins):
        touched = {customer for customer, _, _ in late[begin:end]}
        standing = standing.updated(bought([row for row in late[:end] if row[0] in touched]))
    assert standing.customer.tolist() == whole.customer.tolist()
    assert standing.scales == whole.scales
    for name in ("r", "f", "m", "segment"):
        assert getattr(standing.scored(), name).tolist() == getattr(whole.scored(), name).tolist()


def test_a_late_purchase_moves_who_it_should():
    rows = [(customer, 10 + customer, 100) for customer in range(10)]
    before = Standing.of(bought(rows))
    after = before.updated(bought([(0, 10, 100), (0, 99, 5_000)]))
    assert before.scored().r[0] == 1
    assert after.scored().r[0] == 5
    assert after.scored().m[0] == 5
    assert after.measures[2].sum() == before.measures[2].sum() + 5_000
