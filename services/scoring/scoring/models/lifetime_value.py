"""Lifetime value: what the purchases expected of a customer within a horizon are worth today.

value = E(spend | x, spends) * sum over weeks w of (E(w) - E(w-1)) * (1 + d)^(-w / 52.18)

with E(w) the purchases expected until the end of week w given x, t_x, T (BG/NBD, or the model that `selection` puts in
its place; weekly, no continuous approximation), d the annual discount rate, and the expected spend of Gamma-Gamma. It
is revenue, not margin. The two models are fitted apart and taken to be independent: the variances of the two
logarithms add up.
"""

from dataclasses import dataclass

import numpy as np

from scoring.models import gamma_gamma, selection
from scoring.models.baseline import MeanRate, MeanSpend
from scoring.models.bg_nbd import BgNbd
from scoring.models.fitting import Floats, Histories, Z, deviation
from scoring.models.gamma_gamma import GammaGamma
from scoring.models.mbg_nbd import MbgNbd
from scoring.models.outlook import Outlook, around, discount_factors
from scoring.models.pareto_nbd import ParetoNbd
from scoring.models.purchase_model import PurchaseModel, share_alive
from scoring.models.selection import LEAST_REPEATERS
from scoring.models.summary import DAYS_PER_WEEK, Ints

LEAST_WEEKS = 8
"""From the first purchase of all: shorter, every rate is a guess that the horizon would multiply."""
_QUARTERS = 4
_AGE_BITS = 20


@dataclass(frozen=True)
class Choice:
    """The models that score a tenant, and what stands in where the data are too few."""

    purchases: BgNbd | MbgNbd | ParetoNbd | MeanRate
    spend: GammaGamma | MeanSpend
    messages: tuple[str, ...]
    """Why a simpler model stands in, and what else to know; empty if all is well."""

    @property
    def fallback(self) -> bool:
        """Whether a simpler model stands in for one of the two."""
        return isinstance(self.purchases, MeanRate) or isinstance(self.spend, MeanSpend)


@dataclass(frozen=True)
class Prediction:
    """One element a customer; rounded, so that processors that differ in the last bit agree. See `Outlook`."""

    p_alive: Floats
    p_alive_low: Floats
    p_alive_high: Floats
    expected_purchases: Floats
    expected_purchases_low: Floats
    expected_purchases_high: Floats
    value_minor: Ints
    value_low_minor: Ints
    value_high_minor: Ints


def fit_purchases(
    x: Ints, recency_days: Ints, age_days: Ints, counts: Ints, horizon_weeks: int, name: str = selection.DEFAULT
) -> tuple[BgNbd | MbgNbd | ParetoNbd | MeanRate, tuple[str, ...]]:
    """The model of that name, or mean rates with a message why."""
    baseline = MeanRate.of(x, recency_days, age_days, counts, horizon_weeks)
    repeaters = int(counts[x > 0].sum())
    if repeaters < LEAST_REPEATERS:
        return baseline, (
            f"{repeaters} customers bought on a second day; the purchase model needs {LEAST_REPEATERS}: "
            "mean rates stand in until there are more",
        )
    if int(age_days.max()) < LEAST_WEEKS * DAYS_PER_WEEK:
        return baseline, (
            f"purchases reach back {int(age_days.max())} days; the purchase model needs {LEAST_WEEKS} weeks: "
            "mean rates stand in until then",
        )
    model = selection.fitted(name, Histories.of(x, recency_days, age_days, counts))
    if model is None:
        return baseline, ("the purchase model could not be fitted to these purchases: mean rates stand in",)
    messages = []
    if name != model.NAME:
        wanted, taken = (selection.CANDIDATES[each].title for each in (name, model.NAME))
        messages.append(f"{wanted} could not be fitted to these purchases: {taken} stands in")
    customers = int(counts.sum())
    if model.customers < customers:
        messages.append(f"the purchase model was fitted to {model.customers} of {customers} customers, evenly chosen")
    if model.at_bound:
        messages.append(
            "customers hardly differ in how often they buy or when they leave, or none leaves: parameters are extreme"
        )
    return model, tuple(messages)


def fit_spend(
    x: Ints, repeat_revenue: Ints, days: Ints, revenue: Ints, counts: Ints
) -> tuple[GammaGamma | MeanSpend, tuple[str, ...]]:
    """Gamma-Gamma, or the mean spend with a message why."""
    baseline = MeanSpend.of(days, revenue, counts)
    usable = (x > 0) & (repeat_revenue > 0)
    repeaters = int(counts[usable].sum())
    if repeaters < LEAST_REPEATERS:
        return baseline, (
            f"{repeaters} customers spent something on a second day; the spend model needs {LEAST_REPEATERS}: "
            "the mean value of a purchase stands in until there are more",
        )
    model = gamma_gamma.fit(x[usable], repeat_revenue[usable], counts[usable])
    if not (model.converged and model.has_mean):
        return baseline, ("the spend model could not be fitted to these values: their mean stands in",)
    if abs(model.correlation) > 0.3:
        return model, (
            f"spend and frequency are correlated ({model.correlation:.2f}), which the spend model takes not to be so: "
            "values of frequent buyers are less certain than their intervals say",
        )
    return model, ()


def outlook(
    model: PurchaseModel | MeanRate, x: Ints, recency_days: Ints, age_days: Ints, horizon_weeks: int, annual: float
) -> Outlook:
    """What the model expects of each customer within the horizon."""
    if isinstance(model, MeanRate):
        return model.outlook(x, recency_days, age_days, horizon_weeks, annual)
    recency, age = recency_days / DAYS_PER_WEEK, age_days / DAYS_PER_WEEK
    log_odds, gradient = model.log_odds_of_death(x, recency, age)
    alive, spread = share_alive(log_odds), Z * deviation(gradient, model.covariance)
    of_alive = (alive - 1) * gradient
    # All but P(alive) depends on x and T alone: there are far fewer pairs than customers.
    pairs, inverse = np.unique((x << _AGE_BITS) | age_days, return_inverse=True)
    pair_x, pair_age = pairs >> _AGE_BITS, (pairs & ((1 << _AGE_BITS) - 1)) / DAYS_PER_WEEK
    purchases = model.purchases_if_alive(pair_x, pair_age, float(horizon_weeks))
    discounted = discounted_if_alive(model, pair_x, pair_age, horizon_weeks, annual)
    of_purchases, of_discounted = _log_gradients(model, pair_x, pair_age, horizon_weeks, annual)
    return Outlook(
        alive=alive,
        alive_low=share_alive(log_odds + spread),
        alive_high=share_alive(log_odds - spread),
        purchases=purchases[inverse] * alive,
        purchases_deviation=deviation(of_purchases[:, inverse] + of_alive, model.covariance),
        discounted=discounted[inverse] * alive,
        discounted_deviation=deviation(of_discounted[:, inverse] + of_alive, model.covariance),
        discounted_if_alive=discounted[inverse],
    )


def discounted_if_alive(
    model: PurchaseModel, x: Floats | Ints, age: Floats, horizon_weeks: int, annual: float
) -> Floats:
    """Discounted purchases of the horizon's weeks, given that the customer is alive at T; `age` in weeks."""
    total, before = np.zeros(len(x)), np.zeros(len(x))
    for week, factor in enumerate(discount_factors(horizon_weeks, annual), 1):
        until = model.purchases_if_alive(x, age, float(week))
        total += factor * (until - before)
        before = until
    return total


def usual_discounted(model: PurchaseModel | MeanRate, age_days: Ints, horizon_weeks: int, annual: float) -> Floats:
    """Discounted purchases of one who, alive, bought just as often until T as is expected of anybody."""
    if isinstance(model, MeanRate):
        return model.usual_discounted(age_days, horizon_weeks, annual)
    ages, inverse = np.unique(age_days, return_inverse=True)
    age = ages / DAYS_PER_WEEK
    return discounted_if_alive(model, model.expected_purchases_of_new(age), age, horizon_weeks, annual)[inverse]


def predict(seen: Outlook, spend: GammaGamma | MeanSpend, x: Ints, repeat_revenue: Ints) -> Prediction:
    """Rounded values and 90 percent intervals: shares and purchases to 6 decimals, money to minor units."""
    low, high = around(seen.purchases, seen.purchases_deviation)
    value = seen.discounted * spend.expected_spend(x, repeat_revenue)
    spend_deviation = spend.expected_spend_deviation(x, repeat_revenue)
    value_low, value_high = around(value, np.hypot(seen.discounted_deviation, spend_deviation))
    return Prediction(
        p_alive=np.round(seen.alive, 6),
        p_alive_low=np.round(seen.alive_low, 6),
        p_alive_high=np.round(seen.alive_high, 6),
        expected_purchases=np.round(seen.purchases, 6),
        expected_purchases_low=np.round(low, 6),
        expected_purchases_high=np.round(high, 6),
        value_minor=_minor(value),
        value_low_minor=_minor(value_low),
        value_high_minor=_minor(value_high),
    )


def _minor(value: Floats) -> Ints:
    # Beyond 2^53 a float holds no minor units; no customer is worth that.
    return np.rint(np.minimum(value, 2.0**53)).astype(np.int64)


def _log_gradients(
    model: PurchaseModel, x: Ints, age: Floats, horizon_weeks: int, annual: float
) -> tuple[Floats, Floats]:
    """Derivatives of the logarithms of purchases and discounted purchases, if alive, by those of the parameters.

    Central differences; discounting by quarters of the horizon here moves a standard error by less than a hundredth.
    """
    ends = np.linspace(0, horizon_weeks, _QUARTERS + 1)[1:]
    factors = discount_factors(horizon_weeks, annual)
    weights = np.array([part.mean() for part in np.array_split(factors, _QUARTERS) if len(part)])
    ends = ends[-len(weights) :]
    of_purchases = np.zeros((len(model.neighbours), len(x)))
    of_discounted = np.zeros_like(of_purchases)
    for index, (above, below, distance) in enumerate(model.neighbours):
        sides = []
        for neighbour in (above, below):
            until = np.stack([neighbour.purchases_if_alive(x, age, float(end)) for end in ends])
            parts = np.diff(until, axis=0, prepend=0.0)
            sides.append((_log(until[-1]), _log(np.add.reduce(weights[:, None] * parts, axis=0))))
        of_purchases[index] = (sides[0][0] - sides[1][0]) / distance
        of_discounted[index] = (sides[0][1] - sides[1][1]) / distance
    return of_purchases, of_discounted


def _log(values: Floats) -> Floats:
    logarithms: Floats = np.log(np.maximum(values, 1e-300))
    return logarithms
