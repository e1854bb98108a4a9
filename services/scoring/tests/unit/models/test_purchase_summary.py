import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scoring.models.summary import PurchaseDays, Summary, grouped

purchases = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-400, 30_000), st.integers(0, 10**12)), min_size=1, max_size=80
)
CUT, INNER_CUT = 10_000, 7_000


def columns(rows):
    return tuple(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))


@given(purchases)
def test_summary_equals_plain_counting(rows):
    found = Summary.of(PurchaseDays.of(*columns(rows)), CUT, INNER_CUT)
    for place, customer in enumerate(found.customer.tolist()):
        mine = [(day, amount) for who, day, amount in rows if who == customer]
        days = sorted({day for day, _ in mine})
        early = [day for day in days if day <= CUT]
        assert found.first_day[place] == days[0]
        assert found.last_day[place] == days[-1]
        assert found.days[place] == len(days)
        assert found.purchases[place] == len(mine)
        assert found.revenue[place] == sum(amount for _, amount in mine)
        assert found.repeat_revenue[place] == sum(amount for day, amount in mine if day > days[0])
        assert found.early_days[place] == len(early)
        assert found.early_last_day[place] == (early[-1] if early else days[0])
        inner = [day for day in days if day <= INNER_CUT]
        assert found.inner_days[place] == len(inner)
        assert found.inner_last_day[place] == (inner[-1] if inner else days[0])
    assert found.customer.tolist() == sorted({who for who, _, _ in rows})


@given(purchases, st.randoms(use_true_random=False))
def test_order_and_division_of_rows_change_nothing(rows, random):
    whole = PurchaseDays.of(*columns(rows))
    shuffled = random.sample(rows, len(rows))
    cut = random.randint(0, len(rows))
    parts = [PurchaseDays.of(*columns(part)) for part in (shuffled[:cut], shuffled[cut:]) if part]
    joined = PurchaseDays.of(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("customer", "day", "amount", "purchases")
        )
    )
    for name in ("customer", "day", "amount", "purchases"):
        assert (getattr(joined, name) == getattr(whole, name)).all()


small, large = st.integers(-1, 2), st.sampled_from([-(2**62), 0, 5, 2**62])


@given(st.one_of(*(st.lists(st.tuples(small, right), min_size=1, max_size=60) for right in (small, large))))
def test_groups_are_sorted_and_counted(rows):
    left, right = (np.array(column) for column in zip(*rows, strict=True))
    (a, b), counts = grouped(left, right)
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    assert pairs == sorted(set(rows))
    assert counts.tolist() == [rows.count(pair) for pair in pairs]
    assert grouped(a, b, weights=counts)[1].tolist() == counts.tolist()


def test_nobody_bought_anything():
    none = np.zeros(0, dtype=np.int64)
    assert len(Summary.of(PurchaseDays.of(none, none, none), CUT)) == 0
