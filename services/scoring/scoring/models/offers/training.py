"""Chooses and fits the offer model on a tenant's purchases, all by what was bought in a window kept back in time."""

from dataclasses import dataclass, replace

import numpy as np

from scoring.models.offers import ease
from scoring.models.offers.calibration import calibrate
from scoring.models.offers.history import Purchases
from scoring.models.offers.model import OfferModel
from scoring.models.offers.ranking import Ranking
from scoring.models.offers.wording import LEAST_BUYERS

MOST_ITEMS = 10_000
"""EASE keeps a number for each pair of items (400 MB here); above, the most bought items are kept."""
LEAST_CUSTOMERS = 50
"""Fewer customers with two different items than this say nothing about which items go together."""
LEAST_RETURNING = 30
"""Fewer customers who came back in the window than this cannot choose between settings."""
HORIZON_DAYS = 90
MOST_VALIDATED = 2_000
"""Customers that settings are compared on; above, every k-th."""

HALF_LIVES = (180.0, 60.0, 20.0, 540.0)
POPULAR_HALF_LIVES = (90.0, 30.0, 365.0)
STRENGTHS = (300.0, 100.0, 1000.0)
PRIORS = (0.03, 0.01, 0.1)
REPEATS = (0.3, 0.0, 0.1, 1.0)
"""Tried one after another in this order, the first being what is taken where nothing can be compared."""


def fit(purchases: Purchases, as_of: int, horizon_days: int = HORIZON_DAYS, most_items: int = MOST_ITEMS) -> OfferModel:
    """The model of the purchases before the day `as_of`; those on it or later play no part.

    Half-lives, strength of regularisation and the weights of the parts are chosen by NDCG@10 over all items in the
    last `horizon_days` before `as_of`, given what was known before these; there probabilities are told from, too.
    Then all is fitted to everything. EASE must surely beat popularity there (interval of 95 %, bootstrap), or
    popularity stands in.
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
        return replace(_fitted(purchases, as_of, horizon, _Settings(ease=enough)), messages=tuple(messages))
    if horizon < horizon_days:
        messages.append(f"purchases of {span} days tell of {horizon} days ahead, not of {horizon_days}")
    settings, earlier = _chosen(known, later, as_of - horizon, horizon, enough)
    if enough and not settings.ease:
        messages.append("what customers bought does not surely tell better than popularity what they buy next")
    if earlier.of_new is None:
        messages.append("too few items were bought by new buyers to tell probabilities: offers have scores only")
    # As much stronger as there is more to learn from: weights keep their scale, and with it what a score means.
    growth = int(purchases.buyers.sum()) / int(known.buyers.sum())
    model = _fitted(purchases, as_of, horizon, replace(settings, strength=settings.strength * growth))
    return replace(model, of_new=earlier.of_new, of_owned=earlier.of_owned, messages=tuple(messages))


@dataclass(frozen=True)
class _Settings:
    """What is chosen; the defaults hold where nothing can be compared."""

    ease: bool
    half_life: float = HALF_LIVES[0]
    popular_half_life: float = POPULAR_HALF_LIVES[0]
    strength: float = STRENGTHS[0]
    prior: float = PRIORS[0]
    repeat: float = REPEATS[0]


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


def _chosen(known: Purchases, later: Purchases, as_of: int, horizon: int, enough: bool) -> tuple[_Settings, OfferModel]:
    """The best settings, one after another, and the model of the purchases known then."""
    settings = _Settings(ease=False)
    step = -(-int((known.breadth > 0).sum()) // MOST_VALIDATED)
    some = np.flatnonzero(known.breadth > 0)[:: max(step, 1)]
    seen, bought = known.of_customers(some), later.of_customers(some)
    fitted = _fitted(known, as_of, horizon, settings)

    def best(name: str, values: tuple[float, ...], new: bool = True) -> tuple[Ranking, OfferModel]:
        """Sets the value of greatest NDCG@10, the first of equal ones."""
        nonlocal settings
        found: list[tuple[Ranking, _Settings, OfferModel]] = []
        for value in values:
            tried = replace(settings, **{name: value})  # type: ignore[arg-type]  # names of numbers
            # EASE depends on these two alone.
            same = tried.half_life == fitted.half_life_days and tried.strength == fitted.strength
            model = _fitted(known, as_of, horizon, tried, fitted.weights if same else None)
            found.append((model.evaluate(seen, bought, as_of)[0 if new else 1], tried, model))
        ranking, settings, model = max(found, key=lambda one: round(one[0].ndcg, 6))
        return ranking, model

    popular, fitted = best("popular_half_life", POPULAR_HALF_LIVES)
    if enough:
        without = settings, fitted
        settings = replace(settings, ease=True)
        for name, values in (("half_life", HALF_LIVES), ("strength", STRENGTHS), ("prior", PRIORS)):
            ranking, fitted = best(name, values)
        _, sure, _ = ranking.beats(popular, by="gain")
        if sure <= 0:
            settings, fitted = without
    _, fitted = best("repeat", REPEATS, new=False)
    return settings, _calibrated(fitted, seen, bought, as_of)


def _fitted(
    purchases: Purchases, as_of: int, horizon: int, settings: _Settings, weights: ease.Weights | None = None
) -> OfferModel:
    if settings.ease and weights is None:
        weights = ease.weights(purchases.last_bought(as_of, settings.half_life), settings.strength)
    recent = purchases.between(as_of - horizon, as_of)
    share = recent.buyers / max(int((recent.breadth > 0).sum()), 1)
    return OfferModel(
        names=purchases.names,
        weights=weights,
        strength=settings.strength,
        half_life_days=settings.half_life,
        repeat=settings.repeat,
        prior=settings.prior,
        popularity=purchases.popularity(as_of, settings.popular_half_life),
        rebuying=purchases.rebuying(),
        buyers=np.where(recent.buyers >= LEAST_BUYERS, share, 0.0),
        horizon_days=horizon,
    )


def _calibrated(model: OfferModel, known: Purchases, later: Purchases, as_of: int) -> OfferModel:
    """With probabilities as they were after `as_of`, for all customers known then, whether they came back or not."""
    of_new = calibrate((scores, bought, ~owned) for scores, owned, bought in model.scored(known, later, as_of))
    of_owned = calibrate((scores, bought, owned) for scores, owned, bought in model.scored(known, later, as_of))
    return replace(model, of_new=of_new, of_owned=of_owned)
