"""Chooses what the offer model weighs and how much: by what customers bought in windows kept back in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoring.models.offers import ease as ease_model
from scoring.models.offers.calibration import Calibration, calibrate
from scoring.models.offers.history import Purchases
from scoring.models.offers.model import OfferModel
from scoring.models.offers.ranking import Ranking, joined
from scoring.models.offers.wording import LEAST_BUYERS

MOST_VALIDATED = 2_000
"""Customers that settings are compared on in a window; above, every k-th."""
LEARNED_HALF_LIVES = (180.0, 60.0, 540.0)
HALF_LIVES = (180.0, 60.0, 20.0, 540.0)
POPULAR_HALF_LIVES = (90.0, 30.0, 365.0)
STRENGTHS = (300.0, 100.0, 1000.0)
PRIORS = (0.03, 0.01, 0.1)
REPEATS = (0.3, 0.0, 0.1, 1.0)
"""Tried one after another in this order, the first being what is taken where nothing can be compared."""
_BEYOND = 4
"""Where the best half-life or strength is at an end of its list, values beyond it are tried, so many at most, for as
long as they are better."""
_COARSE, _FINE = 2.0, 2**0.5
"""The factors between them; the fine one where nothing is to be fitted anew."""
_WINDOWS = 3
_ITEMS = 3_000
"""With so many items settings are compared in one window, with fewer in more, as fitting takes time with their cube:
where there is little to compare on, a few finds more or less choose otherwise."""


@dataclass(frozen=True)
class Settings:
    """What is chosen; the defaults hold where nothing can be compared."""

    ease: bool
    learned_half_life: float = LEARNED_HALF_LIVES[0]
    """By which what was bought weighs when EASE learns what goes together, in days."""
    half_life: float = HALF_LIVES[0]
    """By which a customer's own history weighs when it is told what they buy next."""
    popular_half_life: float = POPULAR_HALF_LIVES[0]
    strength: float = STRENGTHS[0]
    prior: float = PRIORS[0]
    repeat: float = REPEATS[0]


@dataclass(frozen=True)
class _Window:
    """What was known on the day `as_of`, of all customers and of those compared on, and what these bought within the
    `horizon` days after it.
    """

    as_of: int
    horizon: int
    known: Purchases
    seen: Purchases
    bought: Purchases

    @classmethod
    def of(cls, purchases: Purchases, as_of: int, horizon: int) -> "_Window":
        known, later = purchases.between(None, as_of), purchases.between(as_of, as_of + horizon)
        customers = np.flatnonzero(known.breadth > 0)
        some = customers[:: max(-(-len(customers) // MOST_VALIDATED), 1)]
        return cls(as_of, horizon, known, known.of_customers(some), later.of_customers(some))

    def tried(self, settings: Settings, weights: ease_model.Weights | None) -> tuple[OfferModel, Ranking, Ranking]:
        """The model, and how it ranks new items and all; weights: as of `fitted`."""
        model = fitted(self.known, self.as_of, self.horizon, settings, weights)
        return model, *model.evaluate(self.seen, self.bought, self.as_of)


@dataclass(frozen=True)
class _Trial:
    """Settings, and the model they make in each window, the newest first, with how it ranked new items and all."""

    settings: Settings
    models: tuple[OfferModel, ...]
    of_new: tuple[Ranking, ...]
    of_all: tuple[Ranking, ...]

    def gain(self, *, new: bool) -> float:
        """NDCG@10 over the customers of all windows."""
        return round(joined(list(self.of_new if new else self.of_all)).ndcg, 6)


def chosen(purchases: Purchases, as_of: int, horizon: int, *, ease: bool) -> tuple[Settings, OfferModel]:
    """The best settings, and by them the model of what was known a horizon before `as_of`, with probabilities.

    purchases: before `as_of`, of the items that the model takes. ease: whether there is enough for EASE; it stays only
    if it surely ranks better than popularity in the newest window.
    """
    windows = [_Window.of(purchases, day, horizon) for day in _instants(purchases, as_of, horizon)]
    start = _tried(windows, Settings(ease=False), None)
    best = popular = _best(windows, start, "popular_half_life", POPULAR_HALF_LIVES, _COARSE)
    if ease:
        best = _tried(windows, replace(best.settings, ease=True), None)
        best = _best(windows, best, "half_life", HALF_LIVES, _COARSE)
        best = _best(windows, best, "strength", STRENGTHS, _COARSE)
        best = _best(windows, best, "learned_half_life", LEARNED_HALF_LIVES, _COARSE)
        # What is best of a customer's own history depends on what was learned.
        near = best.settings.half_life
        best = _best(windows, best, "half_life", (near, near / _FINE, near * _FINE), _FINE)
        best = _best(windows, best, "prior", PRIORS)
        _, sure, _ = best.of_new[0].beats(popular.of_new[0], by="gain")
        if sure <= 0:
            best = popular
    best = _best(windows, best, "repeat", REPEATS, new=False)
    return best.settings, _calibrated(best.models[0], windows[0])


def _instants(purchases: Purchases, as_of: int, horizon: int) -> list[int]:
    """When the windows begin, the newest first; before each there is twice as long to learn from."""
    first = int(purchases.day.min(initial=as_of))
    affordable = int((_ITEMS / max(len(purchases.names), 1)) ** 3)
    number = max(min(affordable, (as_of - first) // horizon - 2, _WINDOWS), 1)
    return [as_of - horizon * back for back in range(1, number + 1)]


def _tried(windows: Sequence[_Window], settings: Settings, earlier: _Trial | None) -> _Trial:
    """earlier: of other settings; what EASE learned depends on three of them alone."""
    same = earlier is not None and _of_ease(settings) == _of_ease(earlier.settings)
    weights = [model.weights for model in earlier.models] if earlier and same else [None] * len(windows)
    found = [window.tried(settings, known) for window, known in zip(windows, weights, strict=True)]
    models, of_new, of_all = zip(*found, strict=True)
    return _Trial(settings, models, of_new, of_all)


def _of_ease(settings: Settings) -> tuple[bool, float, float]:
    return settings.ease, settings.learned_half_life, settings.strength


def _best(
    windows: Sequence[_Window],
    start: _Trial,
    name: str,
    values: Sequence[float],
    beyond: float | None = None,
    *,
    new: bool = True,
) -> _Trial:
    """The settings of `start` with the value of greatest NDCG@10, the first of equal ones.

    beyond: the factor by which values beyond the ends of the list are tried, if any are.
    """
    best: dict[float, _Trial] = {}
    gains: dict[float, float] = {}

    def attempt(value: float) -> None:
        settings = replace(start.settings, **{name: value})  # type: ignore[arg-type]  # names of numbers
        trial = _tried(windows, settings, start)
        gain = trial.gain(new=new)
        if not gains or gain > max(gains.values()):
            # One alone is kept: weights are large.
            best.clear()
            best[value] = trial
        gains[value] = gain

    for value in values:
        attempt(value)
    for _ in range(_BEYOND if beyond else 0):
        (value,) = best
        if beyond is None or value not in (min(gains), max(gains)):
            break
        attempt(value / beyond if value == min(gains) else value * beyond)
    (found,) = best.values()
    return found


def fitted(
    purchases: Purchases, as_of: int, horizon: int, settings: Settings, weights: ease_model.Weights | None = None
) -> OfferModel:
    """The model of these purchases, all before the day `as_of`; weights: those of EASE, where they are known."""
    if settings.ease and weights is None:
        weights = ease_model.weights(purchases.last_bought(as_of, settings.learned_half_life), settings.strength)
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


def _calibrated(model: OfferModel, window: _Window) -> OfferModel:
    """With probabilities as they were in the window, for all compared on, whether they came back or not."""

    def curve(*, new: bool) -> Calibration | None:
        found = model.scored(window.seen, window.bought, window.as_of)
        return calibrate((scores, bought, ~owned if new else owned) for scores, owned, bought in found)

    return replace(model, of_new=curve(new=True), of_owned=curve(new=False))
