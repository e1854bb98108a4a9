"""The offer model on a generated shop: customers have tastes, items belong to kinds, and some are bought again."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import sparse

from scoring.models.offers import (
    NEVER,
    UNLIMITED,
    OfferModel,
    Purchases,
    Terms,
    allocate,
    choosing,
    days_ago,
    ease,
    fit,
    history,
)
from scoring.models.offers.calibration import calibrate

END = 20_400
ITEMS = 60
KINDS = 6


def names(count: int = ITEMS) -> list[str]:
    return [f"item{number:03}" for number in range(count)]


@cache
def shop(customers: int = 500, days: int = 360, seed: int = 4) -> Purchases:
    """Each customer buys of two kinds of items mostly; items of low number are bought more."""
    rng = np.random.default_rng(seed)
    taste = np.full((customers, KINDS), 0.02)
    for _ in range(2):
        taste[np.arange(customers), rng.integers(0, KINDS, customers)] += 0.5
    chance = taste[:, np.arange(ITEMS) % KINDS] / (3 + np.arange(ITEMS) // KINDS)
    chance /= chance.sum(axis=1, keepdims=True)
    count = rng.poisson(12, customers)
    customer = np.repeat(np.arange(customers), count)
    item = np.concatenate([rng.choice(ITEMS, number, p=chance[who]) for who, number in enumerate(count)])
    return Purchases.of(customer, item, END - 1 - rng.integers(0, days, len(customer)), names(), customers)


@cache
def model() -> OfferModel:
    """Knows what came before the last 90 days."""
    return fit(shop(), END - 90, 60)


def later() -> tuple[Purchases, Purchases]:
    return shop().between(None, END - 90), shop().between(END - 90, END)


def test_ease_is_the_inverse_it_is_defined_by() -> None:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((90, 700)) < 0.05, rng.random((90, 700)), 0)
    found = ease.weights(sparse.csr_array(dense.astype(np.float32)), 20.0)
    x = dense.astype(np.float32).astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 20 * (x[x > 0] ** 2).mean() * np.eye(700))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_it_ranks_better_than_popularity_what_is_bought_later() -> None:
    assert not model().fallback
    assert model().messages == ()
    known, after = later()
    for ours, popular in zip(
        model().evaluate(known, after, END - 90), model().by_popularity().evaluate(known, after, END - 90), strict=True
    ):
        gain, low, high = ours.beats(popular)
        assert low < gain < high
        assert low > 0.1
        assert ours.ndcg > popular.ndcg
        assert ours.mrr > popular.mrr


def test_what_comes_later_plays_no_part() -> None:
    assert_same(fit(shop(), END - 90, 60), fit(shop().between(None, END - 90), END - 90, 60))


def assert_same(one: OfferModel, other: OfferModel) -> None:
    for name, value in vars(one).items():
        if name in ("of_new", "of_owned"):
            for column, curve in vars(value).items():
                assert (curve == getattr(getattr(other, name), column)).all(), column
        elif name != "_usual":
            assert np.array_equal(value, getattr(other, name)), name


def test_order_and_repetition_of_rows_and_names_change_nothing() -> None:
    given = shop()
    rng = np.random.default_rng(9)
    rows = np.concatenate([rng.permutation(len(given)), np.arange(50)])
    shuffled = rng.permutation(ITEMS)
    place = np.argsort(shuffled)
    other = Purchases.of(
        given.customer[rows], place[given.item[rows]], given.day[rows], given.names[shuffled], given.customers
    )
    assert_same(fit(other, END - 90, 60), model())


def test_one_customer_is_scored_as_among_others_and_by_ids() -> None:
    known, _ = later()
    together = model().scores(known, END - 90)
    for who in (0, 3, 117):
        rows = known.customer == who
        alone = model().history([*known.names[known.item[rows]].tolist(), "unknown"], [*known.day[rows].tolist(), 5])
        assert (model().scores(alone, END - 90)[0] == together[who]).all()


def test_reasons_tell_what_the_score_comes_from() -> None:
    offers = model().best(model().history(["item000", "item006"], [END - 95, END - 93]), END - 90)
    assert [int(offer.item[4:]) % KINDS for offer in offers] == [0] * 5
    assert {offer.reason for offer in offers} <= {
        f"because you bought {told}" for told in ("item000", "item006", "item000 and item006", "item006 and item000")
    }
    assert not {"item000", "item006"} & {offer.item for offer in offers}
    titles = np.array([f"No. {number}" for number in range(ITEMS)])
    called = model().best(model().history(["item000"], [END - 95]), END - 90, titles=titles)
    assert called[0].reason == "because you bought No. 0"
    often = model().best(
        model().history(["item007"] * 4, [END - 150, END - 120, END - 95, END - 93]), END - 90, again()
    )
    assert (often[0].item, often[0].reason) == ("item007", "because you bought it 4 times, last 3 days ago")


def again() -> Terms:
    return replace(Terms.open(ITEMS), rest_days=np.zeros(ITEMS, dtype=np.int64))


def test_a_new_customer_is_offered_what_is_popular() -> None:
    offers = model().best(model().history([], []), END - 90, most=ITEMS + 5)
    order = np.argsort(-np.round(model().prior * model().popularity.astype(np.float32), 6), kind="stable")
    assert [offer.item for offer in offers] == [names()[item] for item in order]
    assert offers[0].reason.startswith("because many buy it: ")


def test_probabilities_are_about_what_happened_to_customers_the_model_never_saw() -> None:
    whole = shop(1000)
    found = fit(whole.of_customers(np.arange(0, 1000, 2)), END, 90)
    others = whole.of_customers(np.arange(1, 1000, 2))
    told, came = [], []
    for scores, owned, bought in found.scored(others.between(None, END - 90), others.between(END - 90, END), END - 90):
        told.append(found.of_new.at(scores[~owned])[0])
        came.append(bought[~owned])
    expected, seen = np.concatenate(told), np.concatenate(came)
    assert expected.mean() == pytest.approx(seen.mean(), rel=0.3)
    quarters = np.array_split(np.argsort(expected, kind="stable"), 4)
    for part in quarters:
        assert expected[part].mean() == pytest.approx(seen[part].mean(), rel=0.3, abs=0.007)
    assert seen[quarters[3]].mean() > 3 * seen[quarters[2]].mean()
    offer = model().best(model().history(["item000"], [END - 95]), END - 90)[0]
    assert 0 < offer.low < offer.probability < offer.high < 1


def test_calibration_finds_the_probabilities_of_a_known_curve() -> None:
    rng = np.random.default_rng(6)
    scores = rng.random((800, 100))
    bought = rng.random(scores.shape) < 0.3 * scores**2
    curve = calibrate(
        [(scores[:500], bought[:500], scores >= 0), (scores[500:], bought[500:], np.ones((300, 100), bool))][1:]
    )
    at = np.array([0.2, 0.5, 0.9])
    value, low, high = curve.at(at)
    np.testing.assert_allclose(value, 0.3 * at**2, atol=0.02)
    assert (low <= 0.3 * at**2).all()
    assert (high >= 0.3 * at**2).all()
    assert (np.diff(curve.probability) >= 0).all()
    assert calibrate([(scores, np.zeros_like(bought), np.ones_like(bought))]) is None
    assert calibrate([]) is None


def test_items_without_purchases_are_forgotten_and_ties_go_by_id() -> None:
    purchases = Purchases.of(np.arange(4), np.array([2, 2, 0, 0]), np.full(4, END - 5), ["b", "never", "a"], 4)
    found = fit(purchases, END)
    assert found.names.tolist() == ["a", "b"]
    assert [offer.item for offer in found.best(found.history([], []), END)] == ["a", "b"]


def test_too_few_data_fall_back_with_a_message() -> None:
    few = shop(20)
    found = fit(few, END)
    assert found.fallback
    assert found.messages[0].startswith("20 customers bought two different items; 50 are needed")
    offer = found.best(found.history(["item000"], [END - 5]), END)[0]
    assert (offer.probability, offer.low, offer.high, offer.expected_margin_minor) == (None, None, None, None)
    assert "buy it" in offer.reason


def test_nobody_and_nothing_at_all() -> None:
    none = np.zeros(0, dtype=np.int64)
    for purchases in (Purchases.of(none, none, none, [], 0), Purchases.of(none, none, none, ["a"], 3)):
        found = fit(purchases, END)
        assert found.fallback
        assert found.best(found.history(["a"], [END - 1]), END) == ()
        assert [
            ranking.customers for ranking in found.evaluate(purchases.of_items(none), purchases.of_items(none), END)
        ] == [0, 0]


def test_purchases_without_any_pattern_leave_popularity() -> None:
    rng = np.random.default_rng(1)
    customer = np.repeat(np.arange(150), 6)
    chance = 1 / np.arange(1, ITEMS + 1)
    item = rng.choice(ITEMS, len(customer), p=chance / chance.sum())
    purchases = Purchases.of(customer, item, END - 1 - rng.integers(0, 360, len(customer)), names(), 150)
    found = fit(purchases, END)
    assert found.fallback
    assert found.messages == ("what customers bought does not surely tell better than popularity what they buy next",)
    assert found.of_new is not None


def test_a_short_time_looks_less_far_ahead() -> None:
    found = fit(shop(500, 90), END)
    assert found.horizon_days == 30
    assert found.messages == ("purchases of 90 days tell of 30 days ahead, not of 90",)


def test_the_most_bought_items_are_kept_and_it_is_said() -> None:
    found = fit(shop(), END, most_items=40)
    assert len(found.names) == 40
    assert found.messages[0].startswith("60 items were bought; the 40 bought by the most customers")
    left_out = set(names()) - set(found.names.tolist())
    fewest = min(shop().buyers[names().index(name)] for name in found.names.tolist())
    assert max(shop().buyers[names().index(name)] for name in left_out) <= fewest
    assert len(found.best(found.history([left_out.pop()], [END - 1]), END, most=99)) == 40


def test_only_the_latest_items_of_a_long_history_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_HISTORY", 3)
    days = [END - 9, END - 2, END - 5, END - 5, END - 5]
    one = Purchases.of(np.zeros(5, np.int64), np.arange(5), np.array(days), names(5), 1)
    # Of equally late ones, those of lower id.
    assert one.last_bought(END, 10).indices.tolist() == [1, 2, 3]


def test_weights_halve_with_the_half_life_and_add_up() -> None:
    one = Purchases.of(np.zeros(3, np.int64), np.array([0, 0, 1]), END - np.array([10, 20, 30]), names(2), 1)
    assert one.last_bought(END, 10).toarray().tolist() == [[0.5, 0.125]]
    assert one.often_bought(END, 10).toarray().tolist() == [[0.75, 0.125]]
    assert days_ago(one, END).tolist() == [[10, 30]]
    assert one.between(END - 20, END - 10).day.tolist() == [END - 20]


def test_what_others_buy_again_counts_more() -> None:
    purchases = Purchases.of(
        np.repeat(np.arange(50), 3), np.tile([0, 0, 1], 50), np.tile([END - 9, END - 5, END - 5], 50), names(2), 50
    )
    rate = purchases.rebuying()
    assert rate[0] == pytest.approx((50 + 20 * 0.5) / 70 / 0.5)
    assert rate[1] == pytest.approx(20 * 0.5 / 70 / 0.5)


def test_expected_margin_ranks_within_the_rules() -> None:
    who = model().history(["item000", "item006"], [END - 95, END - 93])
    margin = np.full(ITEMS, 100)
    margin[12], margin[18], margin[24] = 100_000, -5, 40
    sells = np.ones(ITEMS, dtype=bool)
    sells[30] = False
    terms = Terms(sells, margin, np.full(ITEMS, NEVER), np.full(ITEMS, UNLIMITED))
    offers = model().best(who, END - 90, terms, least_margin_minor=50, most=ITEMS)
    found = [offer.item for offer in offers]
    assert found[0] == "item012"
    assert offers[0].expected_margin_minor == pytest.approx(offers[0].probability * 100_000)
    assert not {"item000", "item006", "item018", "item024", "item030"} & set(found)
    values = [round(offer.expected_margin_minor, 9) for offer in offers]
    assert values == sorted(values, reverse=True)


def test_candidates_of_all_are_those_of_each_and_caps_share_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    known, _ = later()
    monkeypatch.setattr("scoring.models.offers.model._CUSTOMERS", 70)
    terms = replace(again(), cap=np.full(ITEMS, 20), margin_minor=np.arange(ITEMS) % 7 + 1)
    found = model().candidates(known, END - 90, terms, least_margin_minor=2, most=4)
    for who in (0, 69, 70, 311):
        rows = known.customer == who
        mine = model().history(known.names[known.item[rows]], known.day[rows])
        offers = model().best(mine, END - 90, terms, 2, 4)
        assert [offer.item for offer in offers] == [names()[item] for item in found.item[who]]
        assert [offer.probability for offer in offers] == found.probability[who].tolist()
        assert [offer.expected_margin_minor for offer in offers] == pytest.approx(found.worth[who].tolist(), abs=1e-4)
    made = allocate(found.item, found.worth, terms, 1)
    assert np.bincount(found.item[made]).max() == 20
    assert made.sum(axis=1).max() == 1


@pytest.mark.parametrize(
    ("customer", "item", "known", "reason"),
    [
        ([0], [0], ["a", "a"], "names: two items"),
        ([0], [1], ["a"], "item: codes must be from 0 to 0"),
        ([1], [0], ["a"], "customer: codes must be from 0 to 0"),
        ([0, 0], [0], ["a"], "differ in length"),
    ],
)
def test_wrong_input_is_named(customer, item, known, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Purchases.of(np.array(customer), np.array(item), np.full(len(item), END), known, 1)


def test_the_end_of_a_list_of_values_is_no_bound() -> None:
    """Where each purchase tells the next one, older history misleads: 20 days is the shortest half-life of the list."""
    days, items, people = 24, 60, 150
    rng = np.random.default_rng(5)
    first, after = rng.integers(0, items, people), rng.permutation(items)
    bought = [first]
    for _ in range(days - 1):
        bought.append(np.where(rng.random(people) < 0.8, after[bought[-1]], rng.integers(0, items, people)))
    customer, day = np.tile(np.arange(people), days), np.repeat(np.arange(END - days, END), people)
    purchases = Purchases.of(customer, np.concatenate(bought), day, [f"item-{n:02d}" for n in range(items)], people)
    found = fit(purchases, END, 1)
    assert not found.fallback
    assert found.half_life_days < min(choosing.HALF_LIVES)


def test_settings_are_compared_on_some_customers_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "MOST_VALIDATED", 200)
    found = fit(shop(), END - 90, 60)
    assert not found.fallback
    assert found.of_new is not None
