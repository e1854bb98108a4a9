"""Products that came after a model had learned: offered by how many buy them, until a model that has learned them does.

What goes together with them is not known: all that a customer bought speaks for them alike. The one weight of it is the
regression of who has them on how much each customer bought lately (ridge, as EASE, with one regressor in place of one
for each item), so that their scores compare with those of others. They came a short while ago, which holds them back:
where they are among the first ten they are bought more often than what stands beside them. Online Retail, a model of
180 days ago: 120 days on 12.5 % against 6.9 %, and HR@10 rises from .407 to .418; 150 days on 8.7 % against 5.3 %, and
from .327 to .348; after 60 and 90 days it stays what it is.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.offers.ease import Weights
from scoring.models.offers.history import Purchases, codes_of
from scoring.models.offers.model import OfferModel
from scoring.models.offers.wording import LEAST_BUYERS
from scoring.models.summary import Ints

MOST = 1_000
"""Those that most buy: of more, hardly any would be among the best of anybody."""


@dataclass(frozen=True)
class Newcomers:
    """By name, ascending, what `OfferModel` has of each product. weight: of all that a customer bought."""

    names: NDArray[np.str_]
    weight: Weights
    popularity: Floats
    rebuying: Floats
    buyers: Floats

    @classmethod
    def of(cls, model: OfferModel, purchases: Purchases, end: int, as_of: int) -> "Newcomers":
        """Of what was bought before the day `as_of`, the products that nobody had bought before the day `end`, until
        which the model learned. Those that fewer than LEAST_BUYERS bought lately wait: they are chance, or somebody.
        """
        known = purchases.between(None, as_of)
        first = np.full(len(known.names), as_of)
        np.minimum.at(first, known.item, known.day)
        recent = known.between(as_of - model.horizon_days, as_of)
        new = np.flatnonzero(
            (first >= end) & (recent.buyers >= LEAST_BUYERS) & (codes_of(model.names, known.names) < 0)
        )
        new = np.sort(new[np.lexsort((new, -recent.buyers[new]))[:MOST]])
        share = recent.buyers / max(int((recent.breadth > 0).sum()), 1)
        return cls(
            known.names[new],
            _weights(model, known, new, as_of),
            known.popularity(as_of, model.horizon_days)[new],
            known.rebuying()[new],
            share[new],
        )

    @classmethod
    def among(cls, model: OfferModel) -> "Newcomers":
        """Those that were `joined` to the model."""
        there = np.zeros(len(model.names), dtype=np.bool_) if model.newcomers is None else model.newcomers
        weight = np.zeros(int(there.sum()), dtype=np.float32)
        if model.weights is not None and there.any() and not there.all():
            # All that the model learned has the same one.
            weight = model.weights[int(np.argmin(there)), there]
        return cls(model.names[there], weight, model.popularity[there], model.rebuying[there], model.buyers[there])

    def __len__(self) -> int:
        return len(self.names)


def _weights(model: OfferModel, known: Purchases, new: Ints, as_of: int) -> Weights:
    own = known.named(model.names).last_bought(as_of, model.half_life_days)
    theirs = known.of_items(new).last_bought(as_of, model.half_life_days)
    much = np.asarray(own.sum(axis=1), dtype=np.float64).ravel()
    squares = float(np.add.reduce(much**2)) + model.strength
    # Not by a product of matrices: their last bits depend on threads and processor.
    both = theirs.tocoo()
    sums = np.bincount(both.col, weights=both.data * much[both.row], minlength=len(new))
    return (sums / squares).astype(np.float32)


def joined(model: OfferModel, newcomers: Newcomers) -> OfferModel:
    """The model with these products beside its own."""
    if not len(newcomers):
        return model
    names = np.sort(np.concatenate([model.names, newcomers.names]))
    own, new = codes_of(names, model.names), codes_of(names, newcomers.names)
    values: dict[str, Any] = {}
    for name in ("popularity", "rebuying", "buyers"):
        values[name] = np.empty(len(names))
        values[name][own], values[name][new] = getattr(model, name), getattr(newcomers, name)
    if model.weights is not None:
        values["weights"] = np.zeros((len(names), len(names)), dtype=np.float32)
        values["weights"][np.ix_(own, own)] = model.weights
        values["weights"][np.ix_(own, new)] = newcomers.weight
    return replace(model, names=names, newcomers=np.isin(np.arange(len(names)), new), **values)


def stored(newcomers: Newcomers) -> dict[str, NDArray[Any]]:
    """As a file of arrays holds them."""
    return {f"newcomers.{field.name}": getattr(newcomers, field.name) for field in fields(Newcomers)}


def loaded(arrays: dict[str, NDArray[Any]]) -> Newcomers | None:
    """Those of the file; None of one that was made before there were any."""
    names = [f"newcomers.{field.name}" for field in fields(Newcomers)]
    return Newcomers(*(arrays[name] for name in names)) if names[0] in arrays else None
