"""BG/NBD: how often customers who owe nobody a notice will buy again (Fader, Hardie, Lee 2005, Marketing Science 24:2).

While alive a customer buys at a rate of their own, and after each purchase drops out with a probability of their own;
rates follow a gamma distribution (shape r, rate alpha), probabilities a beta distribution (a, b). Customers are given
by repeat purchases x, the time of the last one t_x and the time observed T, both since the first purchase, in weeks.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import betaln, digamma, gammaln, hyp2f1  # type: ignore[import-untyped]

from scoring.models.fitting import Floats, maximise, significant, total
from scoring.models.summary import DAYS_PER_WEEK, Ints, grouped

_NAMES = ("r", "alpha", "a", "b")
_STARTS = ((0.0, 0.0, 0.0, 0.0), (-1.0, 0.0, -1.0, 1.0))
_NUDGE = 1e-6
_STEP = 1e-4
_SAMPLE = 20_000


@dataclass(frozen=True)
class BgNbd:
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

    @property
    def parameters(self) -> dict[str, float]:
        """By the papers' names; alpha is in weeks."""
        return {"r": self.r, "alpha": self.alpha, "a": self.a, "b": self.b}

    def p_alive(self, x: Ints, recency: Floats, age: Floats) -> tuple[Floats, Floats]:
        """P(alive) and the standard error of its log odds, both per customer.

        Who never came back (x = 0) is alive for certain in this model: one drops out at a purchase after the first.
        """
        log_odds, gradient = self._log_odds_of_death(x, recency, age)
        alive = np.where(x > 0, 1 / (1 + np.exp(np.minimum(log_odds, 700))), 1.0)
        return alive, np.where(x > 0, self._deviation(gradient), 0.0)

    def log_p_alive_gradient(self, x: Ints, recency: Floats, age: Floats) -> Floats:
        """Derivatives of ln P(alive) by the logarithms of (r, alpha, a, b); shape (4, customers)."""
        log_odds, gradient = self._log_odds_of_death(x, recency, age)
        dead = np.where(x > 0, 1 / (1 + np.exp(np.minimum(-log_odds, 700))), 0.0)
        by_parameter: Floats = -dead * gradient
        return by_parameter

    def purchases_if_alive(self, x: Ints | Floats, age: Floats, weeks: float) -> Floats:
        """Purchases expected in the `weeks` after T, given that the customer is alive at T (eq. 10 over eq. 7).

        Euler's transformation leaves the hypergeometric function small parameters, so that nothing overflows however
        many purchases there were:
        (a+b+x-1)/(a-1) * (1 - (1-z)^(a-1) * 2F1(a+b-1-r, a-1; a+b+x-1; z)), z = weeks/(alpha+T+weeks).
        """
        if abs(self.a - 1) < _NUDGE or abs(self.a + self.b - 1) < _NUDGE:
            # Removable singularities: the mean of both sides is off by the square of the distance only.
            sides = (self._moved(2, 3 * _NUDGE), self._moved(2, -3 * _NUDGE))
            return (sides[0].purchases_if_alive(x, age, weeks) + sides[1].purchases_if_alive(x, age, weeks)) / 2
        z = weeks / (self.alpha + age + weeks)
        c = self.a + self.b + x - 1
        bracket = 1 - (1 - z) ** (self.a - 1) * hyp2f1(self.a + self.b - 1 - self.r, self.a - 1, c, z)
        expected: Floats = np.maximum(c / (self.a - 1) * bracket, 0.0)
        return expected

    def expected_purchases(self, x: Ints, recency: Floats, age: Floats, weeks: float) -> Floats:
        """Purchases expected in the `weeks` after T, given what the customer did until T (eq. 10)."""
        return self.purchases_if_alive(x, age, weeks) * self.p_alive(x, recency, age)[0]

    def expected_purchases_of_new(self, weeks: Floats) -> Floats:
        """Purchases expected of anybody in the `weeks` after their first one (eq. 9)."""
        if abs(self.a - 1) < _NUDGE:
            sides = (self._moved(2, 3 * _NUDGE), self._moved(2, -3 * _NUDGE))
            return (sides[0].expected_purchases_of_new(weeks) + sides[1].expected_purchases_of_new(weeks)) / 2
        z = weeks / (self.alpha + weeks)
        # The same transformation: 2F1(r, b; a+b-1; z) = (1-z)^(a-1-r) 2F1(a+b-1-r, a-1; a+b-1; z).
        c = self.a + self.b - 1
        if abs(c) < _NUDGE:
            return self.purchases_if_alive(np.zeros(len(weeks), dtype=np.int64), np.zeros(len(weeks)), 1.0) * weeks
        bracket = 1 - (1 - z) ** (self.a - 1) * hyp2f1(c - self.r, self.a - 1, c, z)
        expected: Floats = np.maximum(c / (self.a - 1) * bracket, 0.0)
        return expected

    @cached_property
    def neighbours(self) -> list[tuple["BgNbd", "BgNbd", float]]:
        """For each parameter the models a small step above and below, and the distance in its logarithm."""
        return [
            (self._moved(index, _STEP), self._moved(index, -_STEP), float(np.log1p(_STEP) - np.log1p(-_STEP)))
            for index in range(len(_NAMES))
        ]

    def _moved(self, index: int, share: float) -> "BgNbd":
        name = _NAMES[index]
        return replace(self, **{name: getattr(self, name) * (1 + share)})

    def _log_odds_of_death(self, x: Ints, recency: Floats, age: Floats) -> tuple[Floats, Floats]:
        rest = np.maximum(self.b + x - 1, 1e-300)
        silence = np.log((self.alpha + age) / (self.alpha + recency))
        log_odds = np.log(self.a / rest) + (self.r + x) * silence
        by_alpha = self.alpha * (self.r + x) * (1 / (self.alpha + age) - 1 / (self.alpha + recency))
        gradient = np.stack([self.r * silence, by_alpha, np.ones(len(x)), -self.b / rest])
        return log_odds, np.where(x > 0, gradient, 0.0)

    def _deviation(self, gradient: Floats) -> Floats:
        return deviation(gradient, self.covariance)


def deviation(gradient: Floats, covariance: Floats) -> Floats:
    """Delta method: the standard error of a quantity with this gradient, shape (parameters, customers)."""
    # Element by element, without BLAS: a customer's figure must not depend on how many are computed together.
    variance = np.zeros(gradient.shape[1])
    for row, of_row in zip(gradient, covariance, strict=True):
        for other, value in zip(gradient, of_row, strict=True):
            variance += value * row * other
    return np.sqrt(np.maximum(variance, 0.0))


def log_likelihood(x: Ints, recency: Floats, age: Floats, r: float, alpha: float, a: float, b: float) -> Floats:
    """ln L of each customer (eq. 6)."""
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    staying = -(r + x) * np.log(alpha + age)
    leaving = np.log(a / np.maximum(b + x - 1, 1e-300)) - (r + x) * np.log(alpha + recency)
    value: Floats = common + np.where(x > 0, np.logaddexp(staying, leaving), staying)
    return value


def fit(x: Ints, recency_days: Ints, age_days: Ints, counts: Ints | None = None) -> BgNbd:
    """The model of greatest likelihood; `counts` tells how many customers each row stands for (1 unless given).

    Equal rows are grouped first and summed in one canonical order: the order of rows, and splitting or joining equal
    ones, change nothing. Raises ValueError without a customer who came back.
    """
    (x, recency_days, age_days), counts = grouped(x, recency_days, age_days, weights=counts)
    repeats, total_age = int(counts @ x), int(counts @ age_days)
    if repeats == 0:
        raise ValueError("no customer bought on a second day: there is nothing to fit")
    # Time in units of the mean age: the search does not depend on the unit of time.
    scale = max(total_age, 1) / int(counts.sum())
    recency, age = recency_days / scale, age_days / scale
    starts = [np.array(start) for start in _STARTS]
    if len(x) > _SAMPLE:
        # The search over all groups starts where that over every k-th of them ended: most of the way costs little.
        some = slice(None, None, len(x) // _SAMPLE)
        starts = [maximise(_Objective(x[some], recency[some], age[some], counts[some]), starts).log_parameters]
    found = maximise(_Objective(x, recency, age, counts), starts)
    r, alpha, a, b = found.parameters
    weeks = scale / DAYS_PER_WEEK
    # The density of x purchase times, each measured in weeks.
    value = found.log_likelihood - repeats * float(np.log(weeks))
    return BgNbd(
        r, significant(alpha * weeks), a, b, found.covariance, value, int(counts.sum()), found.converged, found.at_bound
    )


class _Objective:
    """Negative log-likelihood and gradient in the logarithms of (r, alpha, a, b)."""

    def __init__(self, x: Ints, recency: Floats, age: Floats, counts: Ints) -> None:
        self._n = counts.astype(np.float64)
        self._x, self._recency, self._age = x.astype(np.float64), recency, age
        self._came_back = x > 0
        # Special functions depend on x alone: there are few values of it.
        self._values, inverse = np.unique(x, return_inverse=True)
        self._weight = np.bincount(inverse, weights=self._n)

    def __call__(self, log_parameters: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(log_parameters)
        v, w = self._values, self._weight
        value = total(w, gammaln(r + v) - gammaln(r) + r * np.log(alpha) + betaln(a, b + v) - betaln(a, b))
        d_r = total(w, digamma(r + v) - digamma(r) + np.log(alpha))
        d_a = total(w, digamma(a + b) - digamma(a + b + v))
        d_b = total(w, digamma(b + v) - digamma(a + b + v) - digamma(b) + digamma(a + b))
        d_alpha = w.sum() * r / alpha
        log_age, log_recency = np.log(alpha + self._age), np.log(alpha + self._recency)
        power = r + self._x
        rest = np.maximum(b + self._x - 1, 1e-300)
        # 1 + odds of having left, against staying, for those who came back.
        log_odds = np.where(self._came_back, np.log(a / rest) + power * (log_age - log_recency), -np.inf)
        left = np.exp(-np.logaddexp(0.0, -log_odds))
        n = self._n
        value += total(n, np.logaddexp(0.0, log_odds) - power * log_age)
        d_r += total(n, -log_age + left * (log_age - log_recency))
        d_alpha -= total(n, power * ((1 - left) / (alpha + self._age) + left / (alpha + self._recency)))
        d_a += total(n, left) / a
        d_b -= total(n, np.where(self._came_back, left / rest, 0.0))
        return -float(value), -np.array([d_r * r, d_alpha * alpha, d_a * a, d_b * b])
