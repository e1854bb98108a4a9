"""BG/NBD: how often customers who owe nobody a notice will buy again (Fader, Hardie, Lee 2005, Marketing Science 24:2).

While alive a customer buys at a rate of their own, and after each purchase drops out with a probability of their own;
rates follow a gamma distribution (shape r, rate alpha), probabilities a beta distribution (a, b). Customers are given
by repeat purchases x, the time of the last one t_x and the time observed T, both since the first purchase, in weeks.
The first purchase is none to drop out at; `mbg_nbd` has the model where it is one.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from scipy.special import betaln, digamma, gammaln, hyp2f1  # type: ignore[import-untyped]

from scoring.models.fitting import (
    Floats,
    Histories,
    Interval,
    log_one_plus_odds,
    maximise_over,
    profile_intervals,
    significant,
    total,
)
from scoring.models.purchase_model import PurchaseModel
from scoring.models.summary import Ints

_STARTS = ((0.0, 0.0, 0.0, 0.0), (-1.0, 0.0, -1.0, 1.0))
_NUDGE = 1e-6
_SAMPLE = 20_000


@dataclass(frozen=True)
class BgNbd(PurchaseModel):
    """A fitted model. `covariance` is that of the logarithms of (r, alpha, a, b)."""

    r: float
    alpha: float
    a: float
    b: float
    covariance: Floats
    log_likelihood: float
    customers: int
    converged: bool = True
    at_bound: bool = False

    NAME: ClassVar[str] = "bg_nbd"
    FIRST: ClassVar[int] = 0
    """1 in the model where one may drop out at the first purchase too."""

    @property
    def parameters(self) -> dict[str, float]:
        """By the papers' names; alpha is in weeks."""
        return {"r": self.r, "alpha": self.alpha, "a": self.a, "b": self.b}

    def log_odds_of_death(self, x: Ints, recency: Floats, age: Floats) -> tuple[Floats, Floats]:
        """See PurchaseModel. Who had no purchase to drop out at (in BG/NBD: never came back) is alive for certain."""
        leaves = x + self.FIRST > 0
        rest = np.maximum(self.b + x + self.FIRST - 1, 1e-300)
        silence = np.log((self.alpha + age) / (self.alpha + recency))
        log_odds = np.log(self.a / rest) + (self.r + x) * silence
        by_alpha = self.alpha * (self.r + x) * (1 / (self.alpha + age) - 1 / (self.alpha + recency))
        gradient = np.stack([self.r * silence, by_alpha, np.ones(len(x)), -self.b / rest])
        return np.where(leaves, log_odds, -np.inf), np.where(leaves, gradient, 0.0)

    def purchases_if_alive(self, x: Ints | Floats, age: Floats, weeks: float) -> Floats:
        """Purchases expected in the `weeks` after T, given that the customer is alive at T (eq. 10 over eq. 7).

        (a+b+x-1)/(a-1) * (1 - (1-z)^(r+x) * 2F1(r+x, b+x; a+b+x-1; z)), z = weeks/(alpha+T+weeks).
        """
        if abs(self.a - 1) < _NUDGE or abs(self.a + self.b + self.FIRST - 1) < _NUDGE:
            # Removable singularities: the mean of both sides is off by the square of the distance only.
            sides = self._beside()
            return (sides[0].purchases_if_alive(x, age, weeks) + sides[1].purchases_if_alive(x, age, weeks)) / 2
        return self._purchases(x, weeks / (self.alpha + age + weeks))

    def expected_purchases_of_new(self, weeks: Floats) -> Floats:
        """Purchases expected of anybody in the `weeks` after their first one (eq. 9)."""
        if abs(self.a - 1) < _NUDGE:
            sides = self._beside()
            return (sides[0].expected_purchases_of_new(weeks) + sides[1].expected_purchases_of_new(weeks)) / 2
        none = np.zeros(len(weeks), dtype=np.int64)
        if abs(self.a + self.b + self.FIRST - 1) < _NUDGE:
            return self.purchases_if_alive(none, np.zeros(len(weeks)), 1.0) * weeks
        stayed = self.b / (self.a + self.b) if self.FIRST else 1.0
        return self._purchases(none, weeks / (self.alpha + weeks)) * stayed

    def _purchases(self, x: Ints | Floats, z: Floats) -> Floats:
        """Those expected of one who is alive, x purchases after the first one; see `purchases_if_alive`.

        Euler's transformation, (1-z)^(a-1) * 2F1(a+b-1-r, a-1; a+b+x-1; z), leaves the hypergeometric function
        parameters that do not grow with x, so that nothing overflows however many purchases there were. Where drop-out
        is so likely that this one does overflow, the other form serves; where both do, nobody outlives the weeks.
        """
        stayed = self.b + self.FIRST
        c = self.a + stayed + x - 1
        with np.errstate(over="ignore", invalid="ignore"):
            rest = (1 - z) ** (self.a - 1) * hyp2f1(self.a + stayed - 1 - self.r, self.a - 1, c, z)
            lost = ~np.isfinite(rest)
            if lost.any():
                power = self.r + x
                rest = np.where(lost, (1 - z) ** power * hyp2f1(power, stayed + x, c, z), rest)
        expected: Floats = np.maximum(c / (self.a - 1) * (1 - np.where(np.isfinite(rest), rest, 0.0)), 0.0)
        return expected

    def _beside(self) -> tuple[PurchaseModel, PurchaseModel]:
        return self.moved("a", 1 + 3 * _NUDGE), self.moved("a", 1 - 3 * _NUDGE)


Kind = TypeVar("Kind", bound=BgNbd)


def log_likelihood(
    x: Ints, recency: Floats, age: Floats, r: float, alpha: float, a: float, b: float, first: int = BgNbd.FIRST
) -> Floats:
    """ln L of each customer (eq. 6)."""
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + first + x) - betaln(a, b)
    staying = -(r + x) * np.log(alpha + age)
    leaving = np.log(a / np.maximum(b + first + x - 1, 1e-300)) - (r + x) * np.log(alpha + recency)
    value: Floats = common + np.where(x + first > 0, np.logaddexp(staying, leaving), staying)
    return value


def fit(x: Ints, recency_days: Ints, age_days: Ints, counts: Ints | None = None) -> BgNbd:
    """The model of greatest likelihood; `counts` tells how many customers each row stands for (1 unless given).

    Equal rows are grouped first and summed in one canonical order: the order of rows, and splitting or joining equal
    ones, change nothing. Raises ValueError without a customer who came back.
    """
    return fit_kind(BgNbd, Histories.of(x, recency_days, age_days, counts))


def fit_kind(kind: type[Kind], histories: Histories) -> Kind:
    """The same for either of the two models. Raises ValueError without a customer who came back."""
    found = maximise_over(lambda some: _Objective(some, kind.FIRST), histories, _STARTS, _SAMPLE)
    r, alpha, a, b = found.parameters
    return kind(
        r,
        significant(alpha * histories.unit_weeks),
        a,
        b,
        found.covariance,
        histories.in_weeks(found.log_likelihood),
        histories.customers,
        found.converged,
        found.at_bound,
    )


def intervals(model: BgNbd, histories: Histories) -> dict[str, Interval]:
    """Profile likelihood intervals of the parameters, from the histories the model was fitted to."""
    return profile_intervals(
        _Objective(histories, model.FIRST), model.parameters, {"alpha": histories.unit_weeks}, model.covariance
    )


class _Objective:
    """Negative log-likelihood and gradient in the logarithms of (r, alpha, a, b)."""

    def __init__(self, histories: Histories, first: int) -> None:
        x = histories.x
        self._first = first
        self._n = histories.counts.astype(np.float64)
        self._x, self._recency, self._age = x.astype(np.float64), histories.recency, histories.age
        self._leaves = x + first > 0
        # Special functions depend on x alone: there are few values of it.
        self._values, inverse = np.unique(x, return_inverse=True)
        self._weight = np.bincount(inverse, weights=self._n)

    def __call__(self, log_parameters: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(log_parameters)
        v, w, stayed = self._values, self._weight, b + self._first
        value = total(w, gammaln(r + v) - gammaln(r) + r * np.log(alpha) + betaln(a, stayed + v) - betaln(a, b))
        d_r = total(w, digamma(r + v) - digamma(r) + np.log(alpha))
        d_a = total(w, digamma(a + b) - digamma(a + stayed + v))
        d_b = total(w, digamma(stayed + v) - digamma(a + stayed + v) - digamma(b) + digamma(a + b))
        d_alpha = w.sum() * r / alpha
        log_age, log_recency = np.log(alpha + self._age), np.log(alpha + self._recency)
        power = r + self._x
        rest = np.maximum(stayed + self._x - 1, 1e-300)
        # Of having left, against staying, for those who could.
        log_odds = np.where(self._leaves, np.log(a / rest) + power * (log_age - log_recency), -np.inf)
        whole, left = log_one_plus_odds(log_odds)
        n = self._n
        value += total(n, whole - power * log_age)
        d_r += total(n, -log_age + left * (log_age - log_recency))
        d_alpha -= total(n, power * ((1 - left) / (alpha + self._age) + left / (alpha + self._recency)))
        d_a += total(n, left) / a
        d_b -= total(n, np.where(self._leaves, left / rest, 0.0))
        return -float(value), -np.array([d_r * r, d_alpha * alpha, d_a * a, d_b * b])
