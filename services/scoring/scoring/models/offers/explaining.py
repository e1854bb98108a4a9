"""Why items are offered: what each score is made of, for many customers at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoring.models.offers.history import Purchases
from scoring.models.offers.wording import NAMED, Parts, reason
from scoring.models.summary import Ints

if TYPE_CHECKING:
    from scoring.models.offers.model import OfferModel

_BLOCK = 512

Counts = NDArray[np.int32]
Also = Callable[[int, int], tuple[int, int]]
"""From the codes of an item that is offered and of one that was bought to how many customers have both, and how many
the one that was bought.
"""


@dataclass(frozen=True)
class Together:
    """How many customers bought both of two items, of the counts `together` made; remembers what it was asked."""

    pairs: Counts
    asked: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def __call__(self, offered: int, bought: int) -> tuple[int, int]:
        """See `Also`."""
        key = (offered, bought)
        if key not in self.asked:
            self.asked[key] = int(self.pairs[bought, offered]), int(self.pairs[bought, bought])
        return self.asked[key]


def together(purchases: Purchases) -> Counts:
    """How many customers bought both of each two items; of an item and itself, how many bought it. (items, items)."""
    owned = purchases.owned()
    columns = owned.T.tocsr()
    items = len(purchases.names)
    found = np.empty((items, items), dtype=np.int32)
    for low in range(0, items, _BLOCK):
        found[low : low + _BLOCK] = (columns[low : low + _BLOCK] @ owned).toarray()
    return found


def reasons(
    model: "OfferModel",
    purchases: Purchases,
    item: Ints,
    as_of: int,
    titles: NDArray[np.str_],
    also: Also | None = None,
) -> list[list[str]]:
    """Why each customer is offered each item, in words.

    item: codes, the rest of a row -1, shape (customers, items). also: without it no share of others' buyers is told.
    """
    found = []
    for codes, parts in zip(item, _parts(model, purchases, item, as_of), strict=True):
        whys = []
        for code, made_of in zip(codes.tolist(), parts, strict=False):
            told = partial(also, code) if also is not None else None
            newcomer = model.newcomers is not None and bool(model.newcomers[code])
            whys.append(reason(made_of, titles, float(model.buyers[code]), told, newcomer=newcomer))
        found.append(whys)
    return found


def _parts(model: "OfferModel", purchases: Purchases, item: Ints, as_of: int) -> Iterator[list[Parts]]:
    """What the scores of each customer's items are made of."""
    last = purchases.last_bought(as_of, model.half_life_days)
    often = purchases.often_bought(as_of, model.half_life_days)
    starts = np.searchsorted(purchases.customer, np.arange(purchases.customers + 1))
    none = np.zeros(0, dtype=np.int64)
    for who, row in enumerate(item):
        codes = row[row >= 0]
        others, shares = none, np.zeros((0, len(codes)))
        if model.weights is not None:
            here = slice(last.indptr[who], last.indptr[who + 1])
            others = last.indices[here].astype(np.int64)
            shares = last.data[here].astype(np.float64)[:, None] * model.weights[np.ix_(others, codes)]
        here = slice(often.indptr[who], often.indptr[who + 1])
        again = dict(zip(often.indices[here].tolist(), often.data[here].tolist(), strict=True))
        bought, ago = (column[starts[who] : starts[who + 1]] for column in (purchases.item, as_of - purchases.day))
        best = np.argsort(-np.round(shares, 9), axis=0, kind="stable")[:NAMED]
        added = np.where(shares > 0, shares, 0).sum(axis=0).tolist()
        firsts, their_shares = others[best].T.tolist(), np.take_along_axis(shares, best, axis=0).T.tolist()
        parts = []
        for place, code in enumerate(codes.tolist()):
            repeat = model.repeat * float(model.rebuying[code]) * again.get(code, 0.0)
            days = tuple(ago[bought == code].tolist()) if code in again else ()
            of = tuple(firsts[place]), tuple(their_shares[place])
            parts.append(Parts(repeat, model.usual(code), added[place], *of, days))
        yield parts
