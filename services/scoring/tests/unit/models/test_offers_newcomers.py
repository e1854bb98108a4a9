"""Products that came after a model had learned: who counts, by what they are offered, and that all else stays."""

import io
from dataclasses import replace

import numpy as np
import pytest

from scoring.models.offers import NEVER, Purchases, fit, listings
from scoring.models.offers.listing import NEWCOMERS
from scoring.models.offers.model import OfferModel
from scoring.models.offers.newcomers import Newcomers, joined, loaded, stored

END, NOW = 20_400, 20_460
NAMES = [*(f"item{number:02}" for number in range(40)), *(f"new{number}" for number in range(8)), "aaa", "few", "past"]
CAME = ["aaa", *(f"new{number}" for number in range(8))]


@pytest.fixture(scope="module")
def shop() -> Purchases:
    """Before END 40 products; then new ones, the first the most, `few` by four people, `past` by one long before."""
    random = np.random.default_rng(3)
    rows = [(299, 50, 20_000), *((who, 50, END + 30) for who in range(10)), *((who, 49, END + 30) for who in range(4))]
    for who in range(300):
        for _ in range(int(random.poisson(6)) + 2):
            item = int(random.integers(0, 10)) * 4 + who % 4
            rows.append((who, item, NOW - 1 - int(random.integers(0, 350))))
        came = [place for place in range(9) if random.random() < 0.25 / (1 + place)]
        rows += [(who, 40 + place, END + int(random.integers(0, NOW - END))) for place in came]
    customer, item, day = np.array(rows).T
    return Purchases.of(customer, item, day, NAMES, 300)


@pytest.fixture(scope="module")
def model(shop: Purchases) -> OfferModel:
    # `past` is no product of the model: of very many the least bought are left out.
    found = fit(shop.of_items(np.flatnonzero(shop.names != "past")).between(None, END), END)
    assert not found.fallback
    assert list(found.names) == NAMES[:40]
    return found


@pytest.fixture(scope="module")
def came(shop: Purchases, model: OfferModel) -> Newcomers:
    return Newcomers.of(model, shop, END, NOW)


def test_new_is_what_nobody_bought_before_and_more_than_a_few_do_now(came: Newcomers, model: OfferModel, shop) -> None:
    assert list(came.names) == CAME
    recent = shop.between(NOW - model.horizon_days, NOW)
    assert came.buyers[1] == recent.buyers[list(shop.names).index("new0")] / (recent.breadth > 0).sum()
    assert len(Newcomers.of(model, shop, END, END)) == 0, "nothing came yet"
    assert joined(model, Newcomers.of(model, shop, END, END)) is model


def test_their_weight_is_a_regression_on_all_that_customers_bought(
    came: Newcomers, model: OfferModel, shop: Purchases
) -> None:
    def lately(names: list[str]) -> np.ndarray:
        found = np.zeros((300, len(names)))
        for who, item, day in zip(shop.customer, shop.item, shop.day, strict=True):
            if shop.names[item] in names:
                place = names.index(shop.names[item])
                found[who, place] = max(found[who, place], 2.0 ** (-(NOW - day) / model.half_life_days))
        return found

    much, have = lately(NAMES[:40]).sum(axis=1), lately(CAME)
    np.testing.assert_allclose(came.weight, have.T @ much / (much @ much + model.strength), rtol=1e-5)


def test_what_the_model_learned_is_told_as_before_and_newcomers_by_how_much_was_bought(
    came: Newcomers, model: OfferModel, shop: Purchases
) -> None:
    both = joined(model, came)
    assert list(both.names) == sorted([*NAMES[:40], *CAME])
    assert both.newcomers is not None
    before = model.scores(shop.named(model.names), NOW)
    after = both.scores(shop.named(both.names), NOW)
    np.testing.assert_array_equal(after[:, ~both.newcomers], before)
    known = shop.named(model.names)
    much = known.last_bought(NOW, model.half_life_days).sum(axis=1)
    who = int(np.setdiff1d(np.arange(300), shop.customer[shop.names[shop.item] == "aaa"])[0])
    usual = model.prior * came.popularity
    np.testing.assert_allclose(after[who, both.newcomers][0], usual[0] + came.weight[0] * much[who], rtol=1e-5)


def test_they_are_kept_for_everybody_with_words_of_their_own(
    came: Newcomers, model: OfferModel, shop: Purchases
) -> None:
    both = joined(model, came)
    newcomers = both.newcomers
    assert newcomers is not None
    seen = shop.named(both.names)
    for listing in listings(both, seen, NOW, np.ones(len(both.names), dtype=np.bool_)):
        for place, codes in enumerate(listing.item):
            there = codes[codes >= 0]
            mine = newcomers[there] & (listing.days_ago[place, : len(there)] == NEVER)
            own = int((seen.owned()[[listing.first + place]].toarray()[0][newcomers] > 0).sum())
            assert mine.sum() >= min(NEWCOMERS, len(CAME) - own)
            for code, new, why in zip(there, mine, listing.reasons[place], strict=True):
                assert why.startswith("because it is new and many buy it: ") == bool(new), why
                assert why.startswith("because you bought it") or new or not newcomers[code], why


def test_they_come_back_from_a_file_of_arrays_and_from_the_model(came: Newcomers, model: OfferModel) -> None:
    file = io.BytesIO()
    np.savez(file, **stored(Newcomers.among(joined(model, came))))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        found = loaded(dict(arrays))
    assert found is not None
    for name, values in vars(came).items():
        np.testing.assert_array_equal(getattr(found, name), values)
    assert loaded({}) is None
    assert len(Newcomers.among(model)) == 0


def test_beside_what_is_popular_they_come_by_popularity(came: Newcomers, model: OfferModel, shop: Purchases) -> None:
    popular = joined(replace(model.by_popularity(), messages=()), came)
    scores = popular.scores(shop.named(popular.names), NOW)
    np.testing.assert_allclose(scores[0, popular.newcomers], model.prior * came.popularity, rtol=1e-5)
