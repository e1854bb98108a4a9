"""The test of a model of offers: fitted to what came before the last days, it is held against what was then bought,
beside what is popular and beside the champion.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scoring.domain.gates import Interval
from scoring.domain.offer_gates import LEAST_TESTED, Beside, Trial
from scoring.jobs import offer_models
from scoring.jobs.offer_models import Known, rate
from scoring.jobs.offer_watch import HORIZONS, deciles, tenths
from scoring.models import comparison, offers
from scoring.models.fitting import Floats
from scoring.models.offers import OfferModel, Purchases
from scoring.models.offers.judging import Bought, Firsts, firsts, some
from scoring.models.offers.ranking import difference
from scoring.models.offers.training import HORIZON_DAYS
from scoring.models.rounding import shortened


@dataclass(frozen=True)
class Tried:
    """What was measured. promised: hit rates within so many days, of the model and of what is popular."""

    trial: Trial
    promised: dict[int, float]
    popular_promised: dict[int, float]
    deciles: list[dict[str, Any]]

    def kept(self) -> dict[str, Any]:
        """As the registry keeps it (`store.Model.test`)."""
        trial = self.trial
        return {
            "days": trial.days,
            "customers": trial.tested,
            "hit_rate": trial.hits.value,
            "popular_hit_rate": trial.popular.value,
            "miscalibration": trial.miscalibration,
            "deciles": self.deciles,
            "promised": {str(days): hit_rate for days, hit_rate in self.promised.items()},
            "beside": asdict(trial.beside) if trial.beside else None,
        }


def tried(purchases: Purchases, end: int, standing: Known | None) -> Tried:
    """A model of what came before the last `HORIZON_DAYS`, on what customers then bought that was new to them.

    standing: the champion. Raises UnusableInputError when it is not what was stored.
    """
    span = end - int(purchases.day.min()) if len(purchases) else 0
    days = max(min(HORIZON_DAYS, span // 3), 1)
    cut = end - days
    model = offers.fit(purchases.between(None, cut), cut)
    bought = Bought.of(purchases, cut, end)
    customers = some(bought.customers)
    ours = firsts(model, purchases, cut, customers)
    popular = firsts(model.by_popularity(), purchases, cut, customers)
    hits, others = bought.hits(ours), bought.hits(popular)
    found = tenths(model, purchases, cut)
    away, chance = comparison.miscalibration(*found) if found else (None, 0.0)
    of_champion = standing if standing and not standing.fallback else None
    trial = Trial(
        learned=int((purchases.between(None, cut).breadth > 1).sum()),
        tested=len(hits),
        days=days,
        hits=rate(hits),
        popular=rate(others),
        better=_better(hits, others),
        miscalibration=away,
        chance=chance,
        beside=_beside(model, cut, purchases, end, of_champion) if of_champion else None,
    )
    promised, usual = (_promises(purchases, cut, days, told) for told in (ours, popular))
    return Tried(trial, promised, usual, deciles(found))


def _beside(model: OfferModel, cut: int, purchases: Purchases, end: int, champion: Known) -> Beside:
    begin = max(cut, champion.end)
    none = np.zeros(0)
    mine, theirs = none, none
    if begin < end:
        bought = Bought.of(purchases, begin, end)
        customers = some(bought.customers)
        mine = bought.hits(firsts(model, purchases, begin, customers))
        theirs = bought.hits(
            firsts(offer_models.offering(champion.told, purchases, begin), purchases, begin, customers)
        )
    return Beside(
        champion=champion.name,
        tested=len(mine),
        days=max(end - begin, 0),
        hits=rate(mine),
        champions=rate(theirs),
        better=_better(mine, theirs),
        knows_more=champion.end > end,
        handicapped=champion.end > cut,
    )


def _promises(purchases: Purchases, cut: int, days: int, told: Firsts) -> dict[int, float]:
    """Hit rates within each of the times that models are looked back at; of too few customers nothing is promised."""
    found = {}
    for within in [each for each in HORIZONS if each <= days] or [days]:
        hits = Bought.of(purchases, cut, cut + within).hits(told)
        if len(hits) >= LEAST_TESTED:
            found[within] = rate(hits).value
    return found


def _better(mine: Floats, theirs: Floats) -> Interval:
    return Interval(*map(shortened, difference(mine, theirs)))
