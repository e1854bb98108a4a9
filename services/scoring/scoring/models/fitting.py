"""Maximum likelihood in the logarithms of positive parameters, with the covariance of the estimate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Objective = Callable[[Floats], tuple[float, Floats]]
"""From the logarithms of the parameters to the negative log-likelihood and its gradient."""

BOUND = 9.0
"""Logarithms are kept within +-9 of the data's scale: beyond, nothing the data can tell changes."""
_STEP = 1e-4
_WIDEST = 3.0
"""Largest standard error of a logarithm: a direction the data say nothing about is capped, not infinite."""
_DIGITS = 9


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


def maximise(objective: Objective, starts: list[Floats]) -> Estimate:
    """The best of the local searches from `starts`, polished by Newton steps.

    Parameters are rounded to 9 significant digits, so that kinds of processors whose logarithms differ in the last
    bit still give equal scores.
    """
    size = len(starts[0])
    best = min(
        (
            minimize(
                objective,
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=[(-BOUND, BOUND)] * size,
                options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
            )
            for start in starts
        ),
        key=lambda result: float(result.fun),
    )
    point, value = best.x, float(best.fun)
    hessian = _hessian(objective, point)
    for _ in range(4):
        gradient = objective(point)[1]
        free = np.abs(point) < BOUND - 1e-6
        step = np.zeros(size)
        if not free.any() or np.linalg.eigvalsh(hessian[np.ix_(free, free)]).min() <= 0:
            break
        step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        trial = np.clip(point + step, -BOUND, BOUND)
        trial_value = objective(trial)[0]
        if not np.isfinite(trial_value) or trial_value > value + 1e-9 * abs(value):
            break
        point, value = trial, float(trial_value)
        if np.abs(step).max() < 1e-10:
            break
    parameters = tuple(significant(parameter) for parameter in np.exp(point))
    point = np.log(np.array(parameters))
    value, gradient = objective(point)
    at_bound = bool((np.abs(point) >= BOUND - 1e-6).any())
    inner = np.where(np.abs(point) < BOUND - 1e-6, gradient, 0.0)
    converged = bool(np.isfinite(value) and np.abs(inner).max() <= 1e-5 * (1 + abs(value)))
    return Estimate(point, parameters, -float(value), _covariance(_hessian(objective, point)), converged, at_bound)


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
