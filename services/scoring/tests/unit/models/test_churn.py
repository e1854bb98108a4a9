"""Rows that a model of churn learns from: who counts as of an instant, who left, and that nothing looks ahead."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from scoring.features.declared import PURCHASE
from scoring.features.table import DAY_US, Events
from scoring.models import churn
from scoring.models.churn import Customers
from scoring.models.classifier import Categories
from scoring.models.name_hashes import hashed
from scoring.models.past_customers import LooksAheadError, Tally

HORIZON = timedelta(weeks=4)
BEGIN = 1_700_000_000_000_000


def customers(*bought: Sequence[float], amounts: int = 1_000) -> Customers:
    """Each with purchases on some days since BEGIN."""
    code = np.repeat(np.arange(len(bought)), [len(days) for days in bought])
    time = np.array([BEGIN + round(day * DAY_US) for days in bought for day in days], dtype=np.int64)
    kind = np.full(len(code), PURCHASE, dtype=np.int8)
    names = hashed(f"customers/{place}" for place in range(len(bought)))
    return Customers(names, Events(code, kind, time, np.full(len(code), amounts)), digits=2)


def at(day: float) -> int:
    return BEGIN + round(day * DAY_US)


def test_instants_are_a_horizon_apart_and_end_with_what_is_known() -> None:
    shop = customers([0, 400], [7, 150])
    found = churn.instants(shop.events, at(900), HORIZON)
    assert found[0] == at(400 - 28) + 1, "until the last purchase, though the job looks from later"
    assert set(np.diff(found)) == {-28 * DAY_US}
    assert (len(found), found[-1] >= at(28)) == (8, True)
    assert churn.instants(shop.events, at(60), HORIZON) == [at(32)]
    assert churn.instants(customers([0, 50]).events, at(900), HORIZON) == []
    assert churn.instants(customers().events, at(900), HORIZON) == []


def test_who_bought_within_a_year_and_not_within_the_horizon_after_has_left() -> None:
    shop = customers(
        [10, 395],  # stays
        [390],  # leaves
        [34.9, 410],  # was silent for more than a year before
        [35, 428],  # comes back on the last day's end: too late
        [401],  # is not there yet
    )
    found = churn.labelled(shop, [at(400)], HORIZON)
    assert found.table.ids.tolist() == shop.names[[0, 1, 3]].tolist()
    assert found.labels.tolist() == [1, 1, 1]
    again = churn.labelled(customers([10, 395, 427.9], [390]), [at(400)], HORIZON)
    assert again.labels.tolist() == [0, 1]
    assert again.waited is not None
    assert np.array_equal(again.waited, [27, np.nan], equal_nan=True), "whole days until the first purchase"
    assert again.rival.tolist() == pytest.approx([5 / 365, 10 / 365])
    known = found.table.values
    assert not any(isinstance(column, Categories) for column in known.values())
    assert known["mean_order_value_365d"].tolist() == [10.0] * 3, "in units of the currency"


def test_the_order_of_events_changes_nothing() -> None:
    shop = customers([10, 395], [390, 399.5, 420], [35, 428])
    mixed = np.random.default_rng(1).permutation(len(shop.events))
    parts = (shop.events.customer, shop.events.kind, shop.events.time, shop.events.amount)
    shuffled = Customers(shop.names, Events(*(part[mixed] for part in parts)), shop.digits)
    one, other = (churn.labelled(each, [at(400), at(372)], HORIZON) for each in (shop, shuffled))
    assert one.labels.tolist() == other.labels.tolist()
    for name, column in one.table.values.items():
        np.testing.assert_array_equal(column, other.table.values[name], err_msg=name)


def test_a_refund_is_no_purchase() -> None:
    shop = customers([395, 405])
    refund = np.array([1_000, -1_000])
    events = Events(shop.events.customer, shop.events.kind, shop.events.time, refund)
    given_back = Customers(shop.names, events, digits=2)
    assert churn.labelled(shop, [at(400)], HORIZON).labels.tolist() == [0]
    assert churn.labelled(given_back, [at(400)], HORIZON).labels.tolist() == [1]


def test_what_is_bought_later_changes_no_feature() -> None:
    whole, known = customers([300, 399, 400, 420], [200]), customers([300, 399], [200])
    one, other = (shop.table(at(400), np.arange(2)) for shop in (whole, known))
    for name, column in one.values.items():
        np.testing.assert_array_equal(column, other.values[name], err_msg=name)
    whole.refuse_looking_ahead([at(400), at(372)])


def test_a_feature_that_looks_ahead_is_refused(monkeypatch) -> None:
    honest = churn.bulk.table

    def leaking(events: Events, number: int, instant: int) -> dict[str, np.ndarray]:
        """The last purchase is looked for a week too far."""
        found = honest(events, number, instant)
        return found | {churn.RECENCY: honest(events, number, instant + 7 * DAY_US)[churn.RECENCY]}

    monkeypatch.setattr(churn.bulk, "table", leaking)
    shop = customers([300, 399, 402], [200])
    with pytest.raises(
        LooksAheadError, match="days_since_last_purchase as of an instant changes with what comes after"
    ):
        shop.refuse_looking_ahead([at(400)])


def test_of_too_many_customers_some_are_chosen_whoever_the_others_are() -> None:
    many = customers(*([day, 380] for day in range(100)))
    moments = [at(390), at(362)]
    tally = churn.tally(many, moments, most=60)
    some = many.below(tally.bound)
    rows = churn.labelled(some, moments, HORIZON)
    assert 50 < len(rows) == tally.learned <= 60
    assert max(some.names) < min(set(many.names) - set(some.names))
    fewer = many.some(np.arange(100) < 90)
    of_fewer = fewer.below(churn.tally(fewer, moments, most=60).bound)
    assert set(of_fewer.names.tolist()) >= set(some.names.tolist()) & set(fewer.names.tolist())
    everybody = churn.tally(many, moments)
    assert (everybody.bound, everybody.after(100), many.below(None)) == (None, None, many)
    assert everybody.after(99) == max(many.names)


@pytest.mark.parametrize("most", [0, 1, 60, 1_000])
def test_the_same_are_chosen_however_customers_are_divided(most: int) -> None:
    many = customers(*([day, 380] for day in range(100)), [3], [])
    moments = [at(390), at(362)]
    whole = churn.tally(many, moments, most)
    for number in (2, 7):
        parts = [many.some(np.arange(102) % number == place) for place in range(number)]
        joined = Tally.joined((churn.tally(part, moments, most) for part in parts), most)
        assert (joined.bound, joined.learned) == (whole.bound, whole.learned)
        assert (joined.names.tolist(), joined.rows.tolist()) == (whole.names.tolist(), whole.rows.tolist())
    assert Tally.joined([], 10).bound is None
