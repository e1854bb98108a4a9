"""Maximum likelihood in the logarithms of positive parameters, with the covariance of the estimate and intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize  # type: ignore[import-untyped]

from scoring.models.summary import DAYS_PER_WEEK, Ints, grouped, thinned

Floats = NDArray[np.float64]
Objective = Callable[[Floats], tuple[float, Floats]]
"""From the logarithms of the parameters to the negative log-likelihood and its gradient."""

Interval = tuple[float, float]
"""Lower and upper end."""

Z = 1.6448536269514722
"""Intervals hold 90 percent: this many standard errors to each side."""
BOUND = 9.0
"""Logarithms are kept within +-9 of the data's scale: beyond, nothing the data can tell changes."""
_STEP = 1e-4
_WIDEST = 3.0
"""Largest standard error of a logarithm: a direction the data say nothing about is capped, not infinite."""
_DIGITS = 9


@dataclass(frozen=True)
class Histories:
    """What customers did, equal ones grouped, in one canonical order.

    Time is in units of the mean age, so that no search depends on the unit of time; one is `unit_weeks` long.
    """

    x: Ints
    """Repeat purchases."""
    recency: Floats
    """Time from the first purchase to the last."""
    age: Floats
    """Time from the first purchase until now."""
    counts: Ints
    """Customers of each group."""
    unit_weeks: float

    @classmethod
    def of(cls, x: Ints, recency_days: Ints, age_days: Ints, counts: Ints | None = None) -> "Histories":
        """From days, one row a customer or a group of `counts` customers, in any order."""
        (x, recency_days, age_days), counts = grouped(x, recency_days, age_days, weights=counts)
        scale = max(int(counts @ age_days), 1) / max(int(counts.sum()), 1)
        return cls(x, recency_days / scale, age_days / scale, counts, scale / DAYS_PER_WEEK)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def customers(self) -> int:
        """In all groups."""
        return int(self.counts.sum())

    def check(self) -> None:
        """Raises ValueError without a customer who came back."""
        if not self.x.any():
            raise ValueError("no customer bought on a second day: there is nothing to fit")

    def every(self, step: int) -> "Histories":
        """Every `step`-th group."""
        some = slice(None, None, step)
        return Histories(self.x[some], self.recency[some], self.age[some], self.counts[some], self.unit_weeks)

    def thinned(self, most: int) -> "Histories":
        """At most so many customers, evenly spread over all; see `summary.thinned`."""
        if self.customers <= most:
            return self
        counts = thinned(self.counts, most)
        kept = counts > 0
        return Histories(self.x[kept], self.recency[kept], self.age[kept], counts[kept], self.unit_weeks)

    def in_weeks(self, log_likelihood: float) -> float:
        """The density of purchase times in units turned into that of times in weeks."""
        return log_likelihood - int(self.counts @ self.x) * float(np.log(self.unit_weeks))


@dataclass(frozen=True)
class Estimate:
    """Where the likelihood is greatest, and how sure that is."""

    log_parameters: Floats
    parameters: tuple[float, ...]
    log_likelihood: float
    covariance: Floats
    """Of the logarithms of the parameters: inverse of the observed information."""
    converged: bool
    at_bound: bool
    """A parameter ran to its bound: the data do not tell it from infinity or zero."""


def maximise_over(
    objective: Callable[[Histories], Objective], histories: Histories, starts: Iterable[Sequence[float]], sample: int
) -> Estimate:
    """`maximise` for customers. sample: groups that the search begins with, where there are more.

    Raises ValueError without a customer who came back.
    """
    histories.check()
    points = [np.array(start) for start in starts]
    if len(histories) > sample:
        # The search over all groups starts where that over every k-th of them ended: most of the way costs little.
        points = [maximise(objective(histories.every(len(histories) // sample)), points).log_parameters]
    return maximise(objective(histories), points)


def maximise(objective: Objective, starts: list[Floats]) -> Estimate:
    """The best of the local searches from `starts`, polished by Newton steps.

    Parameters are rounded to 9 significant digits, so that kinds of processors whose logarithms differ in the last
    bit still give equal scores.
    """
    size = len(starts[0])
    searches = [
        minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-BOUND, BOUND)] * size,
            options={"maxiter": 500, "ftol": 1e-11, "gtol": 1e-8},
        )
        for start in starts
    ]
    point = min(searches, key=lambda result: float(result.fun)).x
    value, gradient = objective(point)
    hessian = _hessian(objective, point)
    for _ in range(6):
        free = np.abs(point) < BOUND - 1e-6
        step = np.zeros(size)
        if not free.any() or np.linalg.eigvalsh(hessian[np.ix_(free, free)]).min() <= 0:
            break
        step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        trial = np.clip(point + step, -BOUND, BOUND)
        trial_value, trial_gradient = objective(trial)
        if not np.isfinite(trial_value) or trial_value > value + 1e-9 * abs(value):
            break
        point, value, gradient = trial, trial_value, trial_gradient
        if np.abs(step).max() < 1e-10:
            break
    parameters = tuple(significant(parameter) for parameter in np.exp(point))
    point = np.log(np.array(parameters))
    value, gradient = objective(point)
    at_bound = bool((np.abs(point) >= BOUND - 1e-6).any())
    inner = np.where(np.abs(point) < BOUND - 1e-6, gradient, 0.0)
    converged = bool(np.isfinite(value) and np.abs(inner).max() <= 1e-5 * (1 + abs(value)))
    return Estimate(point, parameters, -float(value), _covariance(_hessian(objective, point)), converged, at_bound)


def profile_intervals(
    objective: Objective, parameters: Mapping[str, float], units: Mapping[str, float], covariance: Floats
) -> dict[str, Interval]:
    """90 percent intervals of the parameters at the greatest likelihood, by name (profile likelihood).

    An interval holds the values at which the likelihood, greatest over all other parameters, is within chi-squared's
    quantile of its maximum; to 4 digits. `units` are those of parameters that the search measures in others,
    `covariance` that of the logarithms. Where the data set no end, it is the search's bound.
    """
    scale = np.array([units.get(name, 1.0) for name in parameters])
    point = np.log(np.array(list(parameters.values())) / scale)
    least = objective(point)[0]
    found = {}
    for index, name in enumerate(parameters):
        slope = covariance[index] / covariance[index, index]
        step = Z * float(np.sqrt(covariance[index, index]))
        ends = [_profile_end(objective, point, least, index, slope, side * step) for side in (-1, 1)]
        low, high = (float(f"{np.exp(end) * scale[index]:.3e}") for end in ends)
        # A value at the bound must not fall out of its interval by rounding.
        found[name] = (min(low, parameters[name]), max(high, parameters[name]))
    return found


def _profile_end(objective: Objective, point: Floats, least: float, index: int, slope: Floats, step: float) -> float:
    """Where the profile has fallen far enough, in the direction of `step`, a first guess of how far that is."""
    others = np.arange(len(point)) != index

    def depth(share: float) -> float:
        """Signed root of the deviance, less the quantile: about linear."""
        if share == 0:
            return -Z
        trial = np.clip(point + slope * share * step, -BOUND, BOUND)
        trial[index] = point[index] + share * step
        lowest = minimize(
            lambda rest: _restricted(objective, trial, others, rest),
            trial[others],
            jac=True,
            method="L-BFGS-B",
            bounds=[(-BOUND, BOUND)] * int(others.sum()),
            options={"maxiter": 100, "ftol": 1e-10, "gtol": 1e-5},
        ).fun
        return float(np.sqrt(max(2 * (float(lowest) - least), 0.0))) - Z

    farthest = (np.copysign(BOUND, step) - point[index]) / step
    share = min(1.2, farthest)
    while share < farthest and depth(share) < 0:
        share = min(1.6 * share, farthest)
    if share >= farthest and depth(farthest) < 0:
        return float(np.copysign(BOUND, step))
    return float(point[index] + step * brentq(depth, 0.0, share, xtol=1e-3, rtol=1e-3))


def _restricted(objective: Objective, trial: Floats, others: NDArray[np.bool_], rest: Floats) -> tuple[float, Floats]:
    whole = trial.copy()
    whole[others] = rest
    value, gradient = objective(whole)
    return value, gradient[others]


def delta_intervals(parameters: Mapping[str, float], covariance: Floats) -> dict[str, Interval]:
    """90 percent intervals by the delta method, symmetric in the logarithms whose `covariance` is given."""
    spreads = np.exp(Z * np.sqrt(np.diag(covariance)))
    return {
        name: (significant(value / spread), significant(value * spread))
        for (name, value), spread in zip(parameters.items(), spreads.tolist(), strict=True)
    }


def deviation(gradient: Floats, covariance: Floats) -> Floats:
    """Delta method: the standard error of a quantity with this gradient, shape (parameters, customers)."""
    # Element by element, without BLAS: a customer's figure must not depend on how many are computed together.
    variance = np.zeros(gradient.shape[1])
    for row, of_row in zip(gradient, covariance, strict=True):
        for other, value in zip(gradient, of_row, strict=True):
            variance += value * row * other
    return np.sqrt(np.maximum(variance, 0.0))


def log_one_plus_odds(log_odds: Floats) -> tuple[Floats, Floats]:
    """ln(1 + odds), and odds / (1 + odds)."""
    # With one exponential and one logarithm, which numpy computes several at a time, unlike those of logaddexp.
    lesser = np.exp(-np.abs(log_odds))
    share = np.where(log_odds >= 0, 1.0, lesser) / (1 + lesser)
    return np.maximum(log_odds, 0.0) + np.log(1 + lesser), share


def total(weights: NDArray[Any], values: NDArray[Any]) -> float:
    """Sum of weighted values, always added up in the same way.

    A product by BLAS depends in its last bits on its number of threads, on the processor, and on the array's length.
    """
    return float(np.add.reduce(weights * values))


def significant(value: float) -> float:
    """The value to 9 significant digits."""
    return float(f"{value:.{_DIGITS - 1}e}")


def _hessian(objective: Objective, point: Floats) -> Floats:
    """Central differences of the gradient."""
    rows = []
    for index in range(len(point)):
        shift = np.zeros(len(point))
        shift[index] = _STEP
        rows.append((objective(point + shift)[1] - objective(point - shift)[1]) / (2 * _STEP))
    hessian = np.array(rows)
    return (hessian + hessian.T) / 2


def _covariance(hessian: Floats) -> Floats:
    values, vectors = np.linalg.eigh(hessian)
    variances = 1.0 / np.maximum(values, 1.0 / _WIDEST**2)
    covariance = (vectors * variances) @ vectors.T
    return np.array([[significant(value) for value in row] for row in covariance])
