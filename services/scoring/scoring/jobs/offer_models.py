"""Models of offers of earlier jobs: read when they are needed, as each may hold a number for every two products."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoring.domain.gates import Interval
from scoring.jobs import known_models
from scoring.jobs.spec import KnownModel
from scoring.jobs.tasks import UnusableInputError
from scoring.models.baskets.significance import share
from scoring.models.drift import Histogram
from scoring.models.fitting import Floats
from scoring.models.offers import OfferModel, Purchases, artefact
from scoring.models.offers.artefact import StoredOffers
from scoring.models.offers.newcomers import Newcomers, joined
from scoring.models.rounding import shortened


@dataclass(frozen=True)
class Known:
    """A model of an earlier job without its numbers. role: see `jobs.spec.KnownModel`."""

    told: KnownModel
    end: int
    horizon_days: int
    fallback: bool
    promised: Mapping[int, float]
    histograms: Mapping[str, Histogram]

    @property
    def name(self) -> str:
        """Its resource name."""
        return self.told.name

    @property
    def role(self) -> str:
        """What it is to the job."""
        return self.told.role


def known(told: KnownModel) -> Known:
    """What is to be known of a model beforehand. Raises UnusableInputError when it is not what was stored."""
    found = load(told)
    model = found.model
    return Known(told, found.end, model.horizon_days, model.fallback, found.promised, found.histograms)


def load(told: KnownModel) -> StoredOffers:
    """The model whole. Raises UnusableInputError when it is not what was stored."""
    try:
        return artefact.load(io.BytesIO(known_models.body(told)))
    except ValueError as error:
        raise UnusableInputError(f"{told.name}: {error}") from error


def offering(told: KnownModel, purchases: Purchases, day: int) -> OfferModel:
    """What it offers by on a day: beside all that it learned, products that came into the shop since (`newcomers`).

    Raises UnusableInputError when it is not what was stored.
    """
    stored = load(told)
    return joined(stored.model, Newcomers.of(stored.model, purchases, stored.end, day))


def rate(hits: Floats) -> Interval:
    """The share of customers with a hit, with its interval of 95 %."""
    part, whole = np.array([int(hits.sum())], dtype=np.int64), np.array([len(hits)], dtype=np.int64)
    if not len(hits):
        return Interval(0.0, 0.0, 0.0)
    low, high = share(part, whole)
    return Interval(*(shortened(float(value)) for value in (hits.mean(), low[0], high[0])))
