"""What a model would have offered by a day, held against what was bought, counted by hand; and models as files."""

import io

import numpy as np
import pytest

from scoring.models.drift import Histogram
from scoring.models.offers import OfferModel, Purchases, artefact
from scoring.models.offers.artefact import StoredOffers
from scoring.models.offers.calibration import Calibration
from scoring.models.offers.history import codes_of
from scoring.models.offers.judging import Bought, firsts, some

NAMES = np.array([f"p{number:02}" for number in range(15)])


def model(names: np.ndarray = NAMES) -> OfferModel:
    """Whoever bought a product is offered the next one first; the others are the more popular the later."""
    size = len(names)
    numbers = np.arange(size, dtype=np.float64)
    curve = Calibration(np.array([0.0, 1.0]), np.array([0.1, 0.5]), np.array([0.0, 0.4]), np.array([0.2, 0.6]))
    return OfferModel(
        names=names,
        weights=np.eye(size, k=1, dtype=np.float32),
        strength=1 / 3,
        half_life_days=1e9,
        repeat=0.3,
        prior=0.01,
        popularity=numbers / size,
        rebuying=np.ones(size),
        buyers=np.zeros(size),
        horizon_days=90,
        of_new=curve,
        messages=("said",),
    )


def bought(*rows: tuple[int, int, int]) -> Purchases:
    customer, item, day = np.array(rows).T
    return Purchases.of(customer, item, day, NAMES, 4)


def test_hits_are_of_customers_known_before_who_bought_something_new_to_them() -> None:
    purchases = bought(
        *((0, 3, 10), (0, 4, 101)),  # the next one
        *((1, 3, 10), (1, 0, 101)),  # the least popular of all
        *((2, 3, 10), (2, 3, 101)),  # nothing new
        *((3, 4, 101), (3, 5, 110)),  # not known before
    )
    found = Bought.of(purchases, 100, 111)
    assert found.customers.tolist() == [0, 1]
    told = firsts(model(), purchases, 100, np.array([0, 1, 2]))
    assert told.item[0].tolist() == [4, 14, 13, 12, 11, 10, 9, 8, 7, 6]
    assert found.hits(told).tolist() == [1.0, 0.0]
    assert found.had(told).sum() == 1
    np.testing.assert_allclose(told.probability[0], 0.1 + 0.4 * np.minimum(told.score[0], 1))
    assert Bought.of(purchases, 100, 101).customers.tolist() == []
    assert firsts(model(), purchases, 10, np.array([0])).item[0].tolist() == list(range(14, 4, -1)), "by what was known"


def test_what_a_model_does_not_know_it_misses_and_what_nobody_has_it_cannot_hit() -> None:
    purchases = bought((0, 3, 10), (0, 4, 101), (1, 3, 10), (1, 14, 101))
    found = Bought.of(purchases, 100, 111)
    other = model(np.array(["a", *NAMES[3:14]]))
    told = firsts(other, purchases, 100, found.customers)
    assert told.item[0].tolist() == [4, 13, 12, 11, 10, 9, 8, 7, 6, 5]
    assert found.hits(told).tolist() == [1.0, 0.0]
    few = firsts(model(np.array(["a", "p03"])), purchases, 100, found.customers)
    assert set(few.item.ravel().tolist()) == {-1}
    assert few.probability[0, 0] == pytest.approx(0.1), "it was offered"
    assert np.isnan(few.probability[0, 1:]).all()
    none = firsts(model(NAMES[:0]), purchases, 100, found.customers)
    assert found.hits(none).tolist() == [0.0, 0.0]


def test_some_are_taken_at_even_distances() -> None:
    assert some(np.arange(10), 10).tolist() == list(range(10))
    assert some(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert codes_of(NAMES[2:4], NAMES[:5]).tolist() == [-1, -1, 0, 1, -1]


def test_a_stored_model_offers_to_the_bit_what_was_stored() -> None:
    stored = StoredOffers(model(), 100, {90: 0.5}, {"product": Histogram((), (3, 1), 0, ("p03",))})
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        artefact.dump(stored, file)
    assert files[0].getvalue() == files[1].getvalue()
    found = artefact.load(io.BytesIO(files[0].getvalue()))
    assert (found.end, found.promised, found.histograms) == (100, {90: 0.5}, stored.histograms)
    assert found.model.messages == ("said",)
    assert found.model.of_owned is None
    purchases = bought((0, 3, 10), (0, 4, 101), (1, 3, 10), (1, 14, 101))
    np.testing.assert_array_equal(found.model.scores(purchases, 200), stored.model.scores(purchases, 200))
    assert found.model.best(purchases.of_customers(np.array([0])), 200) == stored.model.best(
        purchases.of_customers(np.array([0])), 200
    )
    popular = io.BytesIO()
    artefact.dump(StoredOffers(model().by_popularity(), 100, {}, {}), popular)
    assert artefact.load(io.BytesIO(popular.getvalue())).model.fallback
    with pytest.raises(ValueError, match="cannot be read"):
        artefact.load(io.BytesIO(files[0].getvalue()[:-30]))
