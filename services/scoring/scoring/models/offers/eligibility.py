"""Who may be offered what, what an offer is worth, and who gets the few there are: rules on top of any score."""

from dataclasses import dataclass

import numpy as np

from scoring.models.fitting import Floats
from scoring.models.offers.ranking import Bools
from scoring.models.summary import Ints

NEVER = -1
UNLIMITED = -1


@dataclass(frozen=True)
class Terms:
    """What holds for each item, by code."""

    sells: Bools
    """Whether it may be offered at all: in stock, in season, not blocked."""
    margin_minor: Ints
    """Margin of one sale, in minor units of one currency; negative when it loses money."""
    rest_days: Ints
    """Days after a purchase before it may be offered again; NEVER for what nobody buys twice."""
    cap: Ints
    """Most customers it may be offered to; UNLIMITED for no cap."""

    @classmethod
    def open(cls, items: int) -> "Terms":
        """Everything may be offered to those who do not have it, without caps; margins count alike."""
        whole = np.ones(items, dtype=np.int64)
        return cls(np.ones(items, dtype=np.bool_), whole, whole * NEVER, whole * UNLIMITED)


def eligible(terms: Terms, bought_days_ago: Ints, least_margin_minor: int = 0) -> Bools:
    """Which items one may be offered, given how long ago they were bought (NEVER if never); shapes are kept.

    An item sells, its margin is at least `least_margin_minor`, and it was never bought or is due again.
    """
    new = bought_days_ago == NEVER
    due = (terms.rest_days != NEVER) & (bought_days_ago >= terms.rest_days)
    allowed: Bools = terms.sells & (terms.margin_minor >= least_margin_minor) & (terms.cap != 0) & (new | due)
    return allowed


def expected_margin(probability: Floats, margin_minor: Ints) -> Floats:
    """Probability times margin: what making the offer brings on average, in minor units."""
    value: Floats = probability * margin_minor
    return value


def allocate(item: Ints, value: Floats, terms: Terms, per_customer: int) -> Bools:
    """Which offers are made, so that no item goes to more customers than its cap.

    item: candidates of each customer, code or -1 for none, shape (customers, candidates), a code at most once a
    customer. value: what each is worth. The offers of greatest value are made first; ties go to the customer, then to
    the item, that comes first. The sum is at least half of the best one possible.
    """
    customers, candidates = item.shape
    if value.shape != item.shape:
        raise ValueError(f"value: shape {value.shape} instead of {item.shape}, that of item")
    owner = np.repeat(np.arange(customers), candidates)
    code, worth = item.ravel(), value.ravel()
    order = np.lexsort((code, owner, -worth))
    order = order[(code[order] >= 0) & (worth[order] > 0)]
    # Customers ask for their best, items keep their best (Gale and Shapley 1962). As both rank by the same values, this
    # is what taking the greatest value again and again gives, in a few rounds over all.
    caps = np.where(terms.cap == UNLIMITED, customers, terms.cap)
    while True:
        asked = order[_place_within(owner[order]) < per_customer]
        refused = asked[_place_within(code[asked]) >= caps[code[asked]]]
        if len(refused) == 0:
            made = np.zeros(item.size, dtype=np.bool_)
            made[asked] = True
            return made.reshape(item.shape)
        order = order[~np.isin(order, refused)]


def _place_within(group: Ints) -> Ints:
    """How many elements of the same group stand before each one."""
    order = np.argsort(group, kind="stable")
    grouped = group[order]
    place = np.empty(len(group), dtype=np.int64)
    place[order] = np.arange(len(group)) - np.searchsorted(grouped, grouped)
    return place
