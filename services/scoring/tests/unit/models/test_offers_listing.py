"""What is kept of each customer to choose from, and why: equal to what one customer is told by themselves."""

import numpy as np

from scoring.models.offers import NEVER, Purchases, days_ago, fit, listings
from scoring.models.offers.explaining import together
from scoring.models.offers.listing import BOUGHT, NEW

END = 20_400


def shop() -> Purchases:
    """Who buys tents buys pegs; everybody buys tea, again and again."""
    rng = np.random.default_rng(3)
    names = [f"item{number:02}" for number in range(40)]
    rows = []
    for who in range(300):
        kind = who % 4
        for _ in range(int(rng.poisson(6)) + 2):
            # Eight items of the customer's kind, and two that all buy.
            item = int(rng.integers(0, 8)) * 4 + kind if rng.random() < 0.8 else 36 + int(rng.integers(0, 2))
            rows.append((who, item, END - 1 - int(rng.integers(0, 300))))
    customer, item, day = np.array(rows).T
    return Purchases.of(customer, item, day, names, 300)


def test_the_best_new_and_the_best_bought_items_are_listed_with_reasons_that_count_exactly() -> None:
    given = shop()
    model = fit(given, END)
    assert not model.fallback
    known = given.of_items(np.searchsorted(given.names, model.names))
    owned = known.owned().toarray() > 0
    pairs = together(known)
    np.testing.assert_array_equal(pairs, owned.astype(int).T @ owned.astype(int))
    seen = shares = 0
    every = np.ones(len(known.names), dtype=np.bool_)
    for listing in listings(model, known, END, every):
        for place, codes in enumerate(listing.item):
            who = listing.first + place
            seen += 1
            alone = known.of_customers(np.array([who]))
            scores, ago = model.scores(alone, END)[0], days_ago(alone, END)[0]
            there = codes[codes >= 0]
            for mine, most in ((ago == NEVER, NEW), (ago != NEVER, BOUGHT)):
                best = np.lexsort((np.arange(len(ago)), -np.round(scores, 6)))
                assert set(best[mine[best]][:most]) == set(there[mine[there]])
            np.testing.assert_array_equal(listing.score[place, : len(there)], scores[there])
            np.testing.assert_array_equal(listing.days_ago[place, : len(there)], ago[there])
            assert (np.diff(np.round(listing.score[place, : len(there)], 6)) <= 0).all()
            assert len(listing.reasons[place]) == len(there)
            assert np.isnan(listing.score[place, len(there) :]).all()
            if who >= 40:
                continue
            for code, why in zip(there, listing.reasons[place], strict=True):
                told, _, share = why.partition(": ")
                if share.endswith("bought it, too"):
                    shares += 1
                    first = told.removeprefix("because you bought ").split(" and ")[0]
                    buyers = owned[:, list(model.names).index(first)]
                    exact = 100 * (buyers & owned[:, code]).sum() / buyers.sum()
                    assert abs(float(share.split(" %")[0]) - exact) <= 0.5
    assert seen == 300
    assert shares > 100


def test_where_popularity_stands_in_nothing_is_said_about_other_buyers() -> None:
    given = shop()
    model = fit(given, END).by_popularity()
    known = given.of_items(np.searchsorted(given.names, model.names))
    every = np.ones(len(known.names), dtype=np.bool_)
    whys = {why for listing in listings(model, known, END, every) for row in listing.reasons for why in row}
    assert not any("too" in why for why in whys)
    assert any(why.startswith("because many buy it: ") for why in whys)
    assert list(listings(fit(Purchases.of(*np.zeros((3, 0), dtype=int), [], 0), END), given, END, every[:0])) == []


def test_what_does_not_sell_is_listed_for_nobody() -> None:
    given = shop()
    model = fit(given, END)
    known = given.of_items(np.searchsorted(given.names, model.names))
    sells = np.arange(len(known.names)) % 3 > 0
    listed = np.concatenate([listing.item for listing in listings(model, known, END, sells)])
    assert set(np.unique(listed).tolist()) - {-1} == set(np.flatnonzero(sells).tolist())


def test_what_is_blocked_for_now_is_listed_and_takes_no_place_from_others() -> None:
    given = shop()
    model = fit(given, END)
    known = given.of_items(np.searchsorted(given.names, model.names))
    every = np.ones(len(known.names), dtype=np.bool_)
    blocked = np.arange(len(known.names)) % 2 > 0

    def codes(sells, blocked=None) -> list[set[int]]:
        found = np.concatenate([listing.item for listing in listings(model, known, END, sells, blocked)])
        return [set(row.tolist()) - {-1} for row in found]

    both = [free | all_of for free, all_of in zip(codes(~blocked), codes(every), strict=True)]
    assert codes(every, blocked) == both
    assert max(map(len, both)) > NEW + BOUGHT
    assert codes(every, blocked & False) == codes(every)


def test_shares_of_fewer_than_five_buyers_are_told_nobody() -> None:
    """Six customers: each bought something that nobody else did, and five of them tea."""
    who, item = np.array([*((who, who) for who in range(6)), *((who, 6) for who in range(5))]).T
    names = [*(f"item{number}" for number in range(6)), "tea"]
    given = Purchases.of(who, item, np.full(len(who), END - 1), names, 6)
    model = fit(given, END)
    every = np.ones(len(names), dtype=np.bool_)
    (listing,) = listings(model, given, END, every)
    told = {
        (model.names[code], why)
        for codes, whys in zip(listing.item, listing.reasons, strict=True)
        for code, why in zip(codes, whys, strict=False)
        if "bought" not in why
    }
    others = {(name, "because others buy it") for name in names[:6]}
    assert told == {*others, ("tea", "because many buy it: 83 % of customers lately")}
