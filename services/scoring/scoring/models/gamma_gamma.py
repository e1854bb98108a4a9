"""Gamma-Gamma: what a purchase of each customer is worth (Fader and Hardie 2013, brucehardie.com, note 025).

A customer's purchases vary around a mean of their own (gamma, shape p), and these means vary between customers (rates
gamma, shape q, rate gamma). It is fitted to those who came back, and assumes that how much one spends does not depend
on how often one buys: `correlation` tells whether the data agree.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.special import digamma, gammaln  # type: ignore[import-untyped]

from scoring.models.fitting import Floats, Interval, deviation, maximise, profile_intervals, significant, total
from scoring.models.summary import Ints, grouped

_STARTS = ((1.0, 1.0, 0.5),)


@dataclass(frozen=True)
class GammaGamma:
    """A fitted model. `gamma` is in minor units; `covariance` is that of the logarithms of (p, q, gamma)."""

    p: float
    q: float
    gamma: float
    covariance: Floats
    log_likelihood: float
    customers: int
    correlation: float
    """Pearson's, of mean spend and number of repeat purchases; 0 where one of them does not vary."""
    converged: bool = True
    at_bound: bool = False

    NAME: ClassVar[str] = "gamma_gamma"

    @property
    def parameters(self) -> dict[str, float]:
        """By the paper's names."""
        return {"p": self.p, "q": self.q, "gamma": self.gamma}

    @property
    def mean(self) -> float:
        """Mean spend of a purchase over all customers (needs q > 1)."""
        return self.p * self.gamma / (self.q - 1)

    def expected_spend(self, x: Ints, spend: Ints) -> Floats:
        """Mean value of a customer's future purchases, given x repeat purchases worth `spend` in total (eq. 5)."""
        return (self.gamma + spend) * self.p / (self.p * x + self.q - 1)

    def expected_spend_deviation(self, x: Ints, spend: Ints) -> Floats:
        """Standard error of its logarithm (delta method)."""
        rest = self.p * x + self.q - 1
        gradient = np.stack([1 - self.p * x / rest, -self.q / rest, self.gamma / (self.gamma + spend)])
        return deviation(gradient, self.covariance)

    @cached_property
    def has_mean(self) -> bool:
        """False when the fitted spends have no finite mean: too few large purchases explain everything."""
        return self.q > 1.05


def log_likelihood(x: Ints, spend: Floats, p: float, q: float, gamma: float) -> Floats:
    """ln L of each customer's mean spend (eq. 1a of the note)."""
    mean = spend / x
    value: Floats = (
        gammaln(p * x + q)
        - gammaln(p * x)
        - gammaln(q)
        + q * np.log(gamma)
        + (p * x - 1) * np.log(mean)
        + p * x * np.log(x)
        - (p * x + q) * np.log(gamma + spend)
    )
    return value


def fit(x: Ints, spend: Ints, counts: Ints | None = None) -> GammaGamma:
    """The model of greatest likelihood for customers with x > 0 repeat purchases worth `spend` > 0 in minor units.

    `log_likelihood` is that of spends in minor units. Raises ValueError with fewer than two customers.
    """
    (x, spend), counts = grouped(x, spend, weights=counts)
    customers = int(counts.sum())
    if customers < 2:
        raise ValueError("fewer than two customers came back: there is nothing to fit")
    mean = spend / x
    scale = _scale(x, spend, counts)
    objective = _Objective(x, spend / scale, counts)
    found = maximise(objective, [np.array(start) for start in _STARTS])
    p, q, gamma = found.parameters
    return GammaGamma(
        p,
        q,
        significant(gamma * scale),
        found.covariance,
        found.log_likelihood - customers * float(np.log(scale)),
        customers,
        correlation(x.astype(np.float64), mean, counts),
        found.converged,
        found.at_bound,
    )


def intervals(model: GammaGamma, x: Ints, spend: Ints, counts: Ints | None = None) -> dict[str, Interval]:
    """Profile likelihood intervals of the parameters, from the customers the model was fitted to."""
    (x, spend), counts = grouped(x, spend, weights=counts)
    scale = _scale(x, spend, counts)
    return profile_intervals(_Objective(x, spend / scale, counts), model.parameters, {"gamma": scale}, model.covariance)


def _scale(x: Ints, spend: Ints, counts: Ints) -> float:
    """Customers' mean spend: the search does not depend on the unit of money."""
    return total(counts, spend / x) / int(counts.sum())


def correlation(left: Floats, right: Floats, counts: Ints) -> float:
    """Pearson's correlation of weighted pairs; 0 where one side does not vary."""
    customers = int(counts.sum())
    left = left - total(counts, left) / customers
    right = right - total(counts, right) / customers
    product = float(np.sqrt(total(counts, left**2) * total(counts, right**2)))
    return total(counts, left * right) / product if product > 0 else 0.0


class _Objective:
    """Negative log-likelihood and gradient in the logarithms of (p, q, gamma)."""

    def __init__(self, x: Ints, spend: Floats, counts: Ints) -> None:
        self._n = counts.astype(np.float64)
        self._x, self._spend = x.astype(np.float64), spend
        values, inverse = np.unique(x, return_inverse=True)
        self._values = values.astype(np.float64)
        self._weight = np.bincount(inverse, weights=self._n)
        self._log_mean = total(self._n, np.log(spend / x))
        # Sum of x times (ln mean + ln x): the only way the data meet p, but for the last term.
        self._power = total(self._n, x * np.log(spend))

    def __call__(self, log_parameters: Floats) -> tuple[float, Floats]:
        p, q, gamma = np.exp(log_parameters)
        v, w = self._values, self._weight
        value = total(w, gammaln(p * v + q) - gammaln(p * v) - gammaln(q) + q * np.log(gamma))
        value += p * self._power - self._log_mean
        of_sum = digamma(p * v + q)
        d_p = total(w, v * (of_sum - digamma(p * v))) + self._power
        d_q = total(w, of_sum - digamma(q) + np.log(gamma))
        d_gamma = w.sum() * q / gamma
        log_total = np.log(gamma + self._spend)
        shape = p * self._x + q
        value -= total(self._n, shape * log_total)
        d_p -= total(self._n, self._x * log_total)
        d_q -= total(self._n, log_total)
        d_gamma -= total(self._n, shape / (gamma + self._spend))
        return -float(value), -np.array([d_p * p, d_q * q, d_gamma * gamma])
