"""What is kept of each customer for a shop to choose from: the best items, new ones and ones bought before."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scoring.models.fitting import Floats
from scoring.models.offers.eligibility import NEVER
from scoring.models.offers.explaining import Also, Together, reasons, together
from scoring.models.offers.history import Purchases
from scoring.models.offers.model import OfferModel, days_ago
from scoring.models.offers.ranking import Bools, top
from scoring.models.summary import Ints

NEW, BOUGHT, NEWCOMERS = 20, 10, 5
"""Items that are kept of a customer, at most: ones never bought, and ones bought before; of those that came after the
model had learned so many beside these; of what is blocked, too.
"""
_CUSTOMERS = 500


@dataclass(frozen=True)
class Listing:
    """Items of some customers, best first by score, ties by id; of shape (customers, places)."""

    first: int
    """Code of the first customer; the others follow."""
    item: Ints
    """Codes; -1 where there are no more."""
    score: Floats
    probability: Floats
    """With its interval of 95 %; not a number where there is nothing to tell it from."""
    low: Floats
    high: Floats
    days_ago: Ints
    """Since the item was last bought; NEVER if it was not."""
    reasons: list[list[str]]


def listings(
    model: OfferModel,
    purchases: Purchases,
    as_of: int,
    sells: Bools,
    blocked: Bools | None = None,
    also: Also | None = None,
) -> Iterator[Listing]:
    """All customers with purchases in the model's codes, 500 at a time.

    sells: by code, whether the item may be listed. blocked: what is offered to nobody for now; it is listed where it
    would be if it were not blocked, and takes no place from others. Listings have twice the width then. also: what
    reasons tell of others; from these purchases unless given.
    """
    if not len(model.names):
        return
    rounds = [~sells] if blocked is None or not blocked.any() else [~sells, ~sells | blocked]
    newcomers = model.newcomers
    width = len(rounds) * (NEW + BOUGHT + (NEWCOMERS if newcomers is not None else 0))
    if also is None and not model.fallback:
        also = Together(together(purchases))
    first = 0
    for group in purchases.groups(_CUSTOMERS):
        scores, ago = model.scores(group, as_of), days_ago(group, as_of)
        owned = ago != NEVER
        chosen = np.zeros((group.customers, len(model.names) + 1), dtype=np.bool_)
        for unlisted in rounds:
            for barred, most in ((owned | unlisted, NEW), (~owned | unlisted, BOUGHT)):
                # -1: the column beyond all items
                np.put_along_axis(chosen, top(scores, barred, most), values=True, axis=1)
            if newcomers is not None:
                np.put_along_axis(chosen, top(scores, owned | unlisted | ~newcomers, NEWCOMERS), values=True, axis=1)
        item = top(scores, ~chosen[:, :-1], width)
        there = np.maximum(item, 0)
        score, probability, low, high = (
            np.where(item >= 0, np.take_along_axis(values, there, axis=1), np.nan).astype(np.float64)
            for values in (scores, *model.probabilities(scores, owned))
        )
        days = np.take_along_axis(ago, there, axis=1)
        whys = reasons(model, group, item, as_of, model.names, also)
        yield Listing(first, item, score, probability, low, high, days, whys)
        first += group.customers
