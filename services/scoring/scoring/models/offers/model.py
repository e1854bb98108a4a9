"""The next best offer: what a customer would buy next, by what they and others bought (EASE), with reasons.

score = sum over bought items j of 2^(-days since j / half-life) * B[j, i]     others who have j also have i
      + repeat * sum over purchase days of i of 2^(-days since / half-life)     they buy i again and again,
               * how often buyers of i buy it again                             as others do
      + prior * popularity of i                                                 everybody buys i

A customer without purchases, or a tenant with too few, is left with the last line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.offers.calibration import Calibration
from scoring.models.offers.ease import Weights
from scoring.models.offers.eligibility import NEVER, Terms, eligible, expected_margin
from scoring.models.offers.explaining import reasons
from scoring.models.offers.history import Purchases, codes_of
from scoring.models.offers.ranking import Bools, Ranking, joined, rank, top
from scoring.models.summary import Ints

_CUSTOMERS = 500
"""Customers scored at a time: 40 MB for 10,000 items."""

_WITHIN_STEPS = 1e-6

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """The best items of each customer, best first; all of shape (customers, most), not a number where there is none."""

    item: Ints
    """Code of the item; -1 where there are no more."""
    score: Floats
    probability: Floats
    low: Floats
    high: Floats
    worth: Floats
    """What they are ranked by: the score, or the expected margin in minor units."""


@dataclass(frozen=True)
class Offer:
    """One item offered. Probabilities are None where there is nothing to tell them from."""

    item: str
    score: float
    probability: float | None
    """Of buying it within the model's horizon, with its interval of 95 %."""
    low: float | None
    high: float | None
    expected_margin_minor: float | None
    reason: str


@dataclass(frozen=True)
class OfferModel:
    """A fitted model; pure arrays."""

    names: NDArray[np.str_]
    """Id of each item by code, ascending."""
    weights: Weights | None
    """B of EASE; None where popularity stands in."""
    strength: float
    half_life_days: float
    repeat: float
    prior: float
    popularity: Floats
    """By item; the most popular one has 1."""
    rebuying: Floats
    """How often buyers of the item buy it again, compared with the usual item."""
    buyers: Floats
    """Share of recent customers who bought the item; 0 where these are fewer than `wording.LEAST_BUYERS`."""
    horizon_days: int
    """How far ahead probabilities look."""
    of_new: Calibration | None = None
    """Probability of an item not bought before, by its score."""
    of_owned: Calibration | None = None
    """Probability of an item bought before."""
    newcomers: Bools | None = None
    """By item, whether it came after the model had learned (`newcomers`); None where none did."""
    messages: tuple[str, ...] = ()
    """Why popularity stands in, which items are left out, and what else to know; empty if all is well."""

    @property
    def fallback(self) -> bool:
        """Whether popularity stands in for EASE."""
        return self.weights is None

    def history(self, items: Sequence[str] | NDArray[np.str_], days: Sequence[int] | Ints) -> Purchases:
        """The purchases of one customer by item ids and days since 1970-01-01; items not in the model are left out."""
        wanted = np.asarray(items, dtype=np.str_)
        code = codes_of(self.names, wanted)
        known = code >= 0
        day = np.asarray(days, dtype=np.int64)[known]
        return Purchases.sorted(np.zeros(len(day), dtype=np.int64), code[known], day, self.names, 1)

    def scores(self, purchases: Purchases, as_of: int) -> Scores:
        """Score of each item for each customer, shape (customers, items); purchases in the model's codes.

        One customer's scores do not depend on who is scored with them: sums run over their own items in one order.
        """
        found = np.broadcast_to(self._usual, (purchases.customers, len(self.names))).copy()
        if self.weights is not None:
            found += purchases.last_bought(as_of, self.half_life_days) @ self.weights
        often = purchases.often_bought(as_of, self.half_life_days).tocoo()
        found[often.coords] += (self.repeat * self.rebuying[often.coords[1]] * often.data).astype(np.float32)
        return found

    def best(
        self,
        history: Purchases,
        as_of: int,
        terms: Terms | None = None,
        least_margin_minor: int = 0,
        most: int = 5,
        titles: NDArray[np.str_] | None = None,
    ) -> tuple[Offer, ...]:
        """The best offers for one customer; see `candidates`. Where nothing is eligible there are none.

        history: of one customer, from `history`. titles: what reasons call each item, instead of its id.
        """
        found = self.candidates(history, as_of, terms, least_margin_minor, most)
        (whys,) = reasons(self, history, found.item, as_of, self.names if titles is None else titles)
        offers = []
        for place, item in enumerate(found.item[0].tolist()):
            if item >= 0:
                numbers = (found.probability, found.low, found.high)
                likely, low, high = (float(one[0, place]) if self.of_new else None for one in numbers)
                margin = likely * int(terms.margin_minor[item]) if terms and likely is not None else None
                why = whys[place]
                score = float(found.score[0, place])
                offers.append(Offer(str(self.names[item]), score, likely, low, high, margin, why))
        return tuple(offers)

    def candidates(
        self, purchases: Purchases, as_of: int, terms: Terms | None = None, least_margin_minor: int = 0, most: int = 5
    ) -> Candidates:
        """The best eligible items of each customer, by score or, with terms, by expected margin; ties go by item id.

        terms: by the model's codes; without them, what the customer does not have yet. Where probabilities are not
        known, score times margin ranks. `allocate` shares out what has a cap.
        """
        rules = terms or Terms.open(len(self.names))
        parts = [
            self._candidates(some, as_of, rules, terms is not None, least_margin_minor, most)
            for some in purchases.groups(_CUSTOMERS)
        ]
        if not parts:
            none = np.zeros((0, most))
            return Candidates(none.astype(np.int64), none, none, none, none, none)
        return Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _candidates(
        self, purchases: Purchases, as_of: int, terms: Terms, by_margin: bool, least: int, most: int
    ) -> tuple[Ints, Floats, Floats, Floats, Floats, Floats]:
        scores, ago = self.scores(purchases, as_of), days_ago(purchases, as_of)
        likely, low, high = self.probabilities(scores, ago != NEVER)
        worth = scores.astype(np.float64)
        if by_margin:
            # Probabilities have steps; scores decide within them.
            worth = expected_margin(
                worth if self.of_new is None else likely + _WITHIN_STEPS * worth, terms.margin_minor
            )
        item = top(worth, ~eligible(terms, ago, least), most)
        there = np.maximum(item, 0)

        def of_items(values: NDArray[np.floating]) -> Floats:
            if not len(self.names):
                return np.full(item.shape, np.nan)
            return np.where(item >= 0, np.take_along_axis(values, there, axis=1), np.nan).astype(np.float64)

        return item, of_items(scores), of_items(likely), of_items(low), of_items(high), of_items(worth)

    def evaluate(self, known: Purchases, later: Purchases, as_of: int) -> tuple[Ranking, Ranking]:
        """How well all items are ranked for what was bought later: items new to the customer, and any item.

        Customers without earlier purchases are left out: nothing is known of them. Both in the model's codes.
        """
        new, whole = [], []
        for scores, owned, bought in self.scored(known, later, as_of):
            new.append(rank(scores, bought, owned))
            whole.append(rank(scores, bought, np.zeros_like(owned)))
        return joined(new), joined(whole)

    def scored(self, known: Purchases, later: Purchases, as_of: int) -> Iterator[tuple[Scores, Bools, Bools]]:
        """Scores, what was bought before and what later, of some customers with earlier purchases at a time."""
        for before, after in zip(known.groups(_CUSTOMERS), later.groups(_CUSTOMERS), strict=True):
            seen = before.breadth > 0
            if seen.any():
                owned, bought = (group.owned().toarray()[seen] > 0 for group in (before, after))
                yield self.scores(before, as_of)[seen], owned, bought

    def by_popularity(self) -> "OfferModel":
        """The model that ranks by popularity alone."""
        return replace(self, weights=None, repeat=0.0, of_new=None, of_owned=None)

    def without_probabilities(self) -> "OfferModel":
        """The model that tells scores alone."""
        return replace(self, of_new=None, of_owned=None)

    @cached_property
    def _usual(self) -> NDArray[np.float32]:
        return (self.prior * self.popularity).astype(np.float32)

    def usual(self, item: int) -> float:
        """What popularity adds to everybody's score of the item."""
        return float(self._usual[item])

    def probabilities(self, scores: Scores, owned: Bools) -> tuple[Floats, Floats, Floats]:
        """Probability and its interval for each item; not a number where there is nothing to tell them from."""
        if self.of_new is None:
            unknown = np.full(scores.shape, np.nan)
            return unknown, unknown, unknown
        found = self.of_new.at(scores)
        if self.of_owned is not None:
            for all_of_them, of_owned in zip(found, self.of_owned.at(scores[owned]), strict=True):
                all_of_them[owned] = of_owned
        return found


def days_ago(purchases: Purchases, as_of: int) -> Ints:
    """Days since each customer last bought each item, NEVER if they did not; shape (customers, items)."""
    found = np.full((purchases.customers, len(purchases.names)), NEVER, dtype=np.int64)
    # Days ascend within a customer and item: the last one stays.
    found[purchases.customer, purchases.item] = as_of - purchases.day
    return found
