"""Chooses and fits the offer model on a tenant's purchases, all by what was bought in windows kept back in time."""

from dataclasses import replace

import numpy as np

from scoring.models.offers import choosing
from scoring.models.offers.choosing import Settings, fitted
from scoring.models.offers.history import Purchases
from scoring.models.offers.model import OfferModel

MOST_ITEMS = 10_000
"""EASE keeps a number for each pair of items (400 MB here); above, the most bought items are kept."""
LEAST_CUSTOMERS = 50
"""Fewer customers with two different items than this say nothing about which items go together."""
LEAST_RETURNING = 30
"""Fewer customers who came back in the window than this cannot choose between settings."""
HORIZON_DAYS = 90


def fit(purchases: Purchases, as_of: int, horizon_days: int = HORIZON_DAYS, most_items: int = MOST_ITEMS) -> OfferModel:
    """The model of the purchases before the day `as_of`; those on it or later play no part.

    Half-lives, strength of regularisation and the weights of the parts are chosen (`choosing.chosen`) by NDCG@10 over
    all items in the last `horizon_days` before `as_of`, given what was known before these, and in earlier windows where
    that costs little; in the last one probabilities are told from, too. Then all is fitted to everything. EASE must
    surely beat popularity there (interval of 95 %, bootstrap), or popularity stands in.
    """
    purchases, messages = _kept(purchases.between(None, as_of), most_items)
    span = as_of - int(purchases.day.min()) if len(purchases) else 0
    horizon = max(min(horizon_days, span // 3), 1)
    known, later = purchases.between(None, as_of - horizon), purchases.between(as_of - horizon, as_of)
    returning = int(((known.breadth > 0) & (later.breadth > 0)).sum())
    enough = int((purchases.breadth > 1).sum()) >= LEAST_CUSTOMERS
    if not enough:
        messages.append(
            f"{int((purchases.breadth > 1).sum())} customers bought two different items; {LEAST_CUSTOMERS} are needed "
            "to tell which go together: what is popular is offered until there are more"
        )
    if returning < LEAST_RETURNING:
        messages.append(
            f"{returning} customers came back within {horizon} days; {LEAST_RETURNING} are needed to compare settings "
            "and to tell probabilities: usual settings hold, and offers have scores only"
        )
        return replace(fitted(purchases, as_of, horizon, Settings(ease=enough)), messages=tuple(messages))
    if horizon < horizon_days:
        messages.append(f"purchases of {span} days tell of {horizon} days ahead, not of {horizon_days}")
    settings, earlier = choosing.chosen(purchases, as_of, horizon, ease=enough)
    if enough and not settings.ease:
        messages.append("what customers bought does not surely tell better than popularity what they buy next")
    if earlier.of_new is None:
        messages.append("too few items were bought by new buyers to tell probabilities: offers have scores only")
    # As much stronger as there is more to learn from: weights keep their scale, and with it what a score means.
    growth = int(purchases.buyers.sum()) / int(known.buyers.sum())
    model = fitted(purchases, as_of, horizon, replace(settings, strength=settings.strength * growth))
    return replace(model, of_new=earlier.of_new, of_owned=earlier.of_owned, messages=tuple(messages))


def _kept(purchases: Purchases, most: int) -> tuple[Purchases, list[str]]:
    """Purchases of the items the model takes, and what to say about the others."""
    sold = int((purchases.buyers > 0).sum())
    kept = np.sort(np.lexsort((np.arange(len(purchases.names)), -purchases.buyers))[: min(most, sold)])
    if sold <= most:
        return purchases.of_items(kept), []
    share = purchases.buyers[kept].sum() / purchases.buyers.sum()
    return purchases.of_items(kept), [
        f"{sold:,} items were bought; the {most:,} bought by the most customers are offered and count as history: "
        f"{100 * share:.1f} % of all that was bought"
    ]
