"""Pareto/NBD: customers buy at a rate of their own until they die at a time of their own (Schmittlein, Morrison,
Colombo 1987, Management Science 33:1; Fader and Hardie 2005, brucehardie.com, note 009).

Purchase rates follow a gamma distribution (shape r, rate alpha), death rates another one (s, beta). Customers are given
by repeat purchases x, the time of the last one t_x and the time observed T, both since the first purchase, in weeks.

With x purchases until t_x the odds of having died by T, against being alive, are
s (alpha+T)^(r+x) (beta+T)^s * integral from t_x to T of (alpha+u)^-(r+x) (beta+u)^-(s+1) du.
The usual form is a difference of two hypergeometric functions, which cancels for frequent buyers and has no handy
derivatives. The integral itself is smooth: Gauss's rule in ln(u + min(alpha, beta)) has 10 digits and more, and
the same nodes give all derivatives.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import digamma, gammaln  # type: ignore[import-untyped]

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

MOST_CUSTOMERS = 30_000
"""More are represented by that many of them, evenly spread over all in canonical order: an integral for each would take
too long, and the parameters of that many customers are known to one or two percent."""
_STARTS = ((-0.5, -0.5, -0.5, -0.5), (0.5, 0.5, 0.5, 0.5))
_SAMPLE = 2_000
_NODES, _WEIGHTS = (column / 2 for column in np.polynomial.legendre.leggauss(28))
_NODES = _NODES + 0.5
_DEPTH = 32.0
"""The integral ends where its integrand has fallen to e^-32 of its start."""


@dataclass(frozen=True)
class ParetoNbd(PurchaseModel):
    """A fitted model. `covariance` is that of the logarithms of (r, alpha, s, beta)."""

    r: float
    alpha: float
    s: float
    beta: float
    covariance: Floats
    log_likelihood: float
    customers: int
    """It was fitted to; see MOST_CUSTOMERS."""
    converged: bool = True
    at_bound: bool = False

    NAME: ClassVar[str] = "pareto_nbd"

    @property
    def parameters(self) -> dict[str, float]:
        """By the papers' names; alpha and beta are in weeks."""
        return {"r": self.r, "alpha": self.alpha, "s": self.s, "beta": self.beta}

    def log_odds_of_death(self, x: Ints, recency: Floats, age: Floats) -> tuple[Floats, Floats]:
        """See PurchaseModel."""
        return _log_odds(x.astype(np.float64), recency, age, self.r, self.alpha, self.s, self.beta)

    def purchases_if_alive(self, x: Ints | Floats, age: Floats, weeks: float) -> Floats:
        """Purchases expected in the `weeks` after T, given that the customer is alive at T.

        (r+x)/(alpha+T) * (beta+T) * (1 - ((beta+T)/(beta+T+weeks))^(s-1)) / (s-1), whose limit at s = 1 is a logarithm.
        """
        growth = np.log1p(weeks / (self.beta + age))
        lived = growth if self.s == 1 else np.expm1((1 - self.s) * growth) / (1 - self.s)
        expected: Floats = (self.r + x) / (self.alpha + age) * (self.beta + age) * lived
        return expected

    def expected_purchases_of_new(self, weeks: Floats) -> Floats:
        """Purchases expected of anybody in the `weeks` after their first one."""
        growth = np.log1p(weeks / self.beta)
        lived = growth if self.s == 1 else np.expm1((1 - self.s) * growth) / (1 - self.s)
        expected: Floats = self.r / self.alpha * self.beta * lived
        return expected


def log_likelihood(x: Ints, recency: Floats, age: Floats, r: float, alpha: float, s: float, beta: float) -> Floats:
    """ln L of each customer."""
    log_odds, _ = _log_odds(x.astype(np.float64), recency, age, r, alpha, s, beta)
    alive = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - (r + x) * np.log(alpha + age)
    alive += s * np.log(beta) - s * np.log(beta + age)
    value: Floats = alive + np.logaddexp(0.0, log_odds)
    return value


def fit(x: Ints, recency_days: Ints, age_days: Ints, counts: Ints | None = None) -> ParetoNbd:
    """The model of greatest likelihood; see `bg_nbd.fit`. Raises ValueError without a customer who came back."""
    return fit_histories(Histories.of(x, recency_days, age_days, counts))


def fit_histories(histories: Histories) -> ParetoNbd:
    """The same for grouped customers."""
    histories = histories.thinned(MOST_CUSTOMERS)
    found = maximise_over(_Objective, histories, _STARTS, _SAMPLE)
    r, alpha, s, beta = found.parameters
    return ParetoNbd(
        r,
        significant(alpha * histories.unit_weeks),
        s,
        significant(beta * histories.unit_weeks),
        found.covariance,
        histories.in_weeks(found.log_likelihood),
        histories.customers,
        found.converged,
        found.at_bound,
    )


def intervals(model: ParetoNbd, histories: Histories) -> dict[str, Interval]:
    """Profile likelihood intervals of the parameters, from the histories the model was fitted to."""
    histories = histories.thinned(MOST_CUSTOMERS)
    units = {"alpha": histories.unit_weeks, "beta": histories.unit_weeks}
    return profile_intervals(_Objective(histories), model.parameters, units, model.covariance)


def _log_odds(
    x: Floats, recency: Floats, age: Floats, r: float, alpha: float, s: float, beta: float
) -> tuple[Floats, Floats]:
    """Log odds of death by T and their derivatives by the logarithms of (r, alpha, s, beta)."""
    power, least = r + x, min(alpha, beta)
    of_alpha, of_beta, of_least = alpha + recency, beta + recency, least + recency
    with np.errstate(over="ignore", divide="ignore"):
        # Where either factor alone would have fallen that deep; harmonically, both together have.
        falls = 1 / (of_alpha * np.expm1(_DEPTH / power)) + 1 / (of_beta * np.expm1(_DEPTH / (s + 1)))
        reach = np.minimum(age - recency, 1 / falls)
    span = np.log1p(reach / of_least)
    whole = np.zeros(len(x))
    sums = np.zeros((4, len(x)))
    for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
        near = span * node
        after = of_least * np.expm1(near)
        by_r = near if alpha <= beta else np.log1p(after / of_alpha)
        by_s = near if beta < alpha else np.log1p(after / of_beta)
        part = weight * np.exp(near - power * by_r - (s + 1) * by_s)
        whole += part
        sums[0] += part * by_r
        sums[1] += part / (of_alpha + after)
        sums[2] += part * by_s
        sums[3] += part / (of_beta + after)
    sums /= np.where(whole > 0, whole, 1.0)
    silence, fading = np.log((alpha + age) / of_alpha), np.log((beta + age) / of_beta)
    with np.errstate(divide="ignore"):
        log_odds = np.log(s * whole * span * of_least / of_beta) + power * silence + s * fading
    gradient = np.stack(
        [
            r * (silence - sums[0]),
            alpha * power * (1 / (alpha + age) - sums[1]),
            1 + s * (fading - sums[2]),
            beta * (s / (beta + age) - (s + 1) * sums[3]),
        ]
    )
    return log_odds, np.where(span > 0, gradient, 0.0)


class _Objective:
    """Negative log-likelihood and gradient in the logarithms of (r, alpha, s, beta)."""

    def __init__(self, histories: Histories) -> None:
        self._n = histories.counts.astype(np.float64)
        self._x, self._recency, self._age = histories.x.astype(np.float64), histories.recency, histories.age
        self._values, inverse = np.unique(histories.x, return_inverse=True)
        self._weight = np.bincount(inverse, weights=self._n)

    def __call__(self, log_parameters: Floats) -> tuple[float, Floats]:
        r, alpha, s, beta = np.exp(log_parameters)
        v, w, n = self._values, self._weight, self._n
        log_odds, gradient = _log_odds(self._x, self._recency, self._age, r, alpha, s, beta)
        whole, left = log_one_plus_odds(log_odds)
        log_alpha, log_beta = np.log(alpha), np.log(beta)
        power = r + self._x
        silence, fading = np.log(alpha + self._age), np.log(beta + self._age)
        customers = float(w.sum())
        value = total(w, gammaln(r + v) - gammaln(r)) + customers * (r * log_alpha + s * log_beta)
        value += total(n, whole - power * silence - s * fading)
        d_r = r * (total(w, digamma(r + v) - digamma(r)) + customers * log_alpha - total(n, silence))
        d_alpha = customers * r - alpha * total(n, power / (alpha + self._age))
        d_s = s * (customers * log_beta - total(n, fading))
        d_beta = customers * s - beta * s * total(n, 1 / (beta + self._age))
        by_odds = np.array([total(n, left * row) for row in gradient])
        return -float(value), -(np.array([d_r, d_alpha, d_s, d_beta]) + by_odds)
