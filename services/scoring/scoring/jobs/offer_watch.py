"""What became of models of offers since they learned: how many bought what each would have offered, whether they
bought as often as was told, and how far customers have moved. Purchases that a model has learned from do not count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from scoring.domain import offer_gates
from scoring.domain.offer_gates import LEAST_TESTED
from scoring.jobs import offer_models
from scoring.jobs.description import Watched
from scoring.jobs.offer_models import Known, rate
from scoring.models import comparison, drift
from scoring.models.comparison import Rows
from scoring.models.drift import Histogram
from scoring.models.fitting import Floats
from scoring.models.offers import OfferModel, Purchases
from scoring.models.offers.judging import Bought, Firsts, firsts, some
from scoring.models.rounding import shortened
from scoring.models.summary import DAYS_PER_WEEK, Ints

HORIZONS = (90, 56, 28)
"""Days after which a model is held against what was bought; what it promised is kept for each."""
CURRENT_DAYS = 90
"""Customers who bought within so many days tell what has moved."""
PROBABILITY, SCORE = "probability", "score"
"""Columns of what is told of each customer's first offer: the latter where no probabilities are told."""
_CALIBRATED = 5_000
"""Customers whose offers tell whether probabilities hold, at even distances."""


def watch(purchases: Purchases, end: int, known: Sequence[Known]) -> Watched[Known]:
    """Measures each model on what was bought before the day `end`, and whether the one before the champion comes back.

    Raises UnusableInputError when a stored model is not what it was.
    """
    of_role = {each.role: each for each in reversed(known)}
    champion, previous = of_role.get("champion"), of_role.get("previous")
    outcomes = [_outcome(each, purchases, end) for each in known]
    falls, message = _fall(champion, previous, purchases, end) if champion else (False, "")
    standing = previous if falls else champion
    drifts = _drifts(standing, purchases, end) if standing else []
    return Watched(tuple(each for each in outcomes if each), tuple(drifts), falls, message, champion, standing)


def tenths(model: OfferModel, purchases: Purchases, day: int) -> tuple[Rows, Floats] | None:
    """Offers of customers known before a day, whether they came back or not: which were bought within the model's
    horizon, and how probable that was told to be. None where no probabilities are told.
    """
    customers = np.flatnonzero(purchases.between(None, day).breadth > 0)
    if model.of_new is None or not len(customers):
        return None
    told = firsts(model, purchases, day, some(customers, _CALIBRATED))
    made = told.item >= 0
    had = Bought.of(purchases, day, day + model.horizon_days).had(told)[made].astype(np.int64)
    none, owner = np.zeros(len(had), dtype=np.int64), np.nonzero(made)[0]
    weeks = model.horizon_days / DAYS_PER_WEEK
    return Rows(none, none, none, had, none + 1, weeks, owner=owner), told.probability[made]


def deciles(found: tuple[Rows, Floats] | None) -> list[dict[str, Any]]:
    """What `tenths` gives, by tenths of what was told."""
    return [asdict(tenth) for tenth in comparison.tenths(*found)] if found else []


def histograms(model: OfferModel, purchases: Purchases, end: int) -> dict[str, Histogram]:
    """How current customers lie in each column, and what the model tells of them."""
    return _histograms(model, purchases, end, {})


def _passed(known: Known, begin: int, end: int) -> int:
    """The longest time a model promised something for that has passed since a day; 0 for none."""
    return max((days for days in known.promised or HORIZONS if begin + days <= end), default=0)


def _told(known: Known, purchases: Purchases, begin: int, days: int) -> tuple[Firsts, Bought]:
    bought = Bought.of(purchases, begin, begin + days)
    model = offer_models.offering(known.told, purchases, begin)
    return firsts(model, purchases, begin, some(bought.customers)), bought


def _outcome(known: Known, purchases: Purchases, end: int) -> dict[str, Any] | None:
    days = _passed(known, known.end, end)
    if not days:
        return None
    told, bought = _told(known, purchases, known.end, days)
    hits = bought.hits(told)
    if len(hits) < LEAST_TESTED:
        return None
    found, promised = rate(hits), known.promised.get(days)
    over = known.end + known.horizon_days <= end
    return {
        "model": known.name,
        "weeks": shortened(days / DAYS_PER_WEEK),
        "customers": len(hits),
        "expected": None if promised is None else shortened(promised * len(hits)),
        "actual": int(hits.sum()),
        "error": None,
        "hit_rate": asdict(found),
        "promised": promised,
        "degraded": promised is not None and offer_gates.degraded(found, promised),
        "deciles": deciles(tenths(offer_models.load(known.told).model, purchases, known.end)) if over else [],
    }


def _fall(champion: Known, previous: Known | None, purchases: Purchases, end: int) -> tuple[bool, str]:
    """Whether the champion goes, and why. Purchases that one of the two has learned from would flatter it."""
    begin = max(champion.end, previous.end if previous else champion.end)
    days = _passed(champion, begin, end)
    promised = champion.promised.get(days)
    if promised is None:
        return False, ""
    told, bought = _told(champion, purchases, begin, days)
    hits = bought.hits(told)
    if len(hits) < LEAST_TESTED:
        return False, ""
    before = rate(bought.hits(_told(previous, purchases, begin, days)[0])).value if previous else None
    falls, message = offer_gates.roll_back(rate(hits), promised, before)
    return falls, message if offer_gates.degraded(rate(hits), promised) else ""


def _drifts(known: Known, purchases: Purchases, end: int) -> list[dict[str, Any]]:
    """Customers of before it learned are those it learned from: there is nothing to tell."""
    if end <= known.end or not len(purchases.between(known.end, end)):
        return []
    model = offer_models.load(known.told).model
    return drift.told(known.histograms, _histograms(model, purchases, end, known.histograms), {PROBABILITY, SCORE})


def _histograms(
    model: OfferModel, purchases: Purchases, end: int, old: Mapping[str, Histogram]
) -> dict[str, Histogram]:
    """old: in whose bins they are counted, where there is one of the column."""
    recent = purchases.between(end - CURRENT_DAYS, end)
    customers = some(np.flatnonzero(recent.breadth > 0))
    theirs = recent.of_customers(customers)
    last = np.zeros(theirs.customers, dtype=np.int64)
    np.maximum.at(last, theirs.customer, theirs.day)
    numbers: dict[str, Floats | Ints] = {
        "products_bought": np.bincount(theirs.customer, minlength=theirs.customers).astype(np.int64),
        "days_since_bought": end - last,
    }
    told = firsts(model, purchases, end, customers)
    first, name = (told.score, SCORE) if model.of_new is None else (told.probability, PROBABILITY)
    numbers[name] = first[:, 0]
    found = {name: _counted(values, old.get(name)) for name, values in numbers.items()}
    names = purchases.names.tolist()
    of_products = old.get("product")
    found["product"] = (
        of_products.counted_texts(theirs.item, names) if of_products else Histogram.of_texts(theirs.item, names)
    )
    return found


def _counted(values: Floats | Ints, old: Histogram | None) -> Histogram:
    ones = np.ones(len(values), dtype=np.int64)
    return old.counted(values, ones) if old else Histogram.of(values, ones)
