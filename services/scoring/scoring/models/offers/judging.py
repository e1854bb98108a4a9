"""What a model would have offered by a day, held against what customers then bought: ten products new to each.

All products count, also those a model does not know: what it cannot offer it misses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.offers.history import Purchases, codes_of
from scoring.models.offers.model import OfferModel
from scoring.models.offers.ranking import TOP, top
from scoring.models.summary import Ints

MOST = 20_000
"""Customers that a model is measured on, at even distances."""
_CUSTOMERS = 500


@dataclass(frozen=True)
class Firsts:
    """What a model ranks first for some customers, of the products they never had; shapes are (customers, TOP)."""

    customer: Ints
    """Code of each, ascending."""
    item: Ints
    """Codes among all products; -1 where there are no more, or nobody has the product any more."""
    score: Floats
    probability: Floats
    """As told; not a number where there is none."""


@dataclass(frozen=True)
class Bought:
    """What was new to those who bought it from a day on and before another, of customers known before."""

    keys: Ints
    """Customer times products plus product, ascending."""
    products: int

    @classmethod
    def of(cls, purchases: Purchases, begin: int, end: int) -> "Bought":
        """From all that was bought."""
        products = max(len(purchases.names), 1)
        known, later = purchases.between(None, begin), purchases.between(begin, end)
        keys = np.unique(later.customer * products + later.item)
        new = ~np.isin(keys, known.customer * products + known.item) & (known.breadth[keys // products] > 0)
        return cls(keys[new], products)

    @property
    def customers(self) -> Ints:
        """Codes of those who bought something."""
        found: Ints = np.unique(self.keys // self.products)
        return found

    def had(self, firsts: Firsts) -> NDArray[np.bool_]:
        """Whether each of the products was bought; shape (customers, TOP)."""
        found: NDArray[np.bool_] = np.isin(firsts.customer[:, None] * self.products + firsts.item, self.keys)
        return found & (firsts.item >= 0)

    def hits(self, firsts: Firsts) -> Floats:
        """1 where any of the products was bought, of the customers who bought something, in their order."""
        bought = np.isin(firsts.customer, self.customers)
        found: Floats = np.asarray(self.had(firsts)[bought].max(axis=1, initial=False), dtype=np.float64)
        return found


def firsts(model: OfferModel, purchases: Purchases, day: int, customers: Ints) -> Firsts:
    """What the model would have offered these customers, by what was bought before the day."""
    known = purchases.between(None, day).of_customers(customers).named(model.names)
    item = np.full((len(customers), TOP), -1, dtype=np.int64)
    score, probability = np.full(item.shape, np.nan), np.full(item.shape, np.nan)
    codes, first = codes_of(purchases.names, model.names), 0
    for group in known.groups(_CUSTOMERS) if len(model.names) else ():
        here = slice(first, first + group.customers)
        scores = model.scores(group, day)
        best = top(scores, group.owned().toarray() > 0, TOP)
        there = np.maximum(best, 0)
        score[here] = np.where(best >= 0, np.take_along_axis(scores, there, axis=1), np.nan)
        if model.of_new is not None:
            probability[here] = np.where(best >= 0, model.of_new.at(score[here])[0], np.nan)
        item[here] = np.where(best >= 0, codes[there], -1)
        first += group.customers
    return Firsts(customers, item, score, probability)


def some(customers: Ints, most: int = MOST) -> Ints:
    """At most so many, at even distances."""
    return customers[:: max(1, -(-len(customers) // most))]
