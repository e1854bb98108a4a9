"""Qini: how well a ranking puts those first whom the treatment moves (Radcliffe 2007).

The curve tells, for the first k customers of the ranking, outcomes of the treated minus those of the untreated times
treated/untreated among them. Its area above the straight line to its end is divided by that of the perfect ranking:
treated who responded first, untreated who responded last. That is the customary normalisation (scikit-uplift's
`qini_auc_score`, negative effects allowed): 0 is a ranking by chance, 1 the perfect one, which no model comes near,
since nobody can be seen both treated and untreated. Customers of equal score are one step of the curve.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats, Z
from scoring.models.summary import Ints

_TAILS = (5.0, 95.0)


@dataclass(frozen=True)
class Estimate:
    """A figure and its 90 percent interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """A tenth of the customers by predicted uplift, the highest first; rates and effects are shares of customers."""

    customers: int
    predicted: float
    treated_rate: float
    untreated_rate: float
    effect: Estimate
    """Measured: the difference of the two rates."""


def average_effect(treated: Ints, outcome: Ints) -> Estimate:
    """Average effect of the treatment: the difference of the two rates; both arms must have somebody.

    Agresti and Caffo (2000): one success and one failure more in each arm for the standard error, so that an arm
    without outcomes has an interval too.
    """
    rates, variance = [], 0.0
    for arm in (0, 1):
        n, hits = int((treated == arm).sum()), int(outcome[treated == arm].sum())
        rates.append(hits / n)
        smoothed = (hits + 1) / (n + 2)
        variance += smoothed * (1 - smoothed) / (n + 2)
    value, error = rates[1] - rates[0], Z * float(np.sqrt(variance))
    return Estimate(value, value - error, value + error)


def coefficient(score: Floats, treated: Ints, outcome: Ints) -> float:
    """Qini coefficient of the ranking by `score`; 0 when all scores are equal."""
    order, ends = _steps(score)
    weights = np.ones((1, len(score)))
    return float(_coefficients(weights, treated[order], outcome[order], ends)[0])


def with_interval(score: Floats, treated: Ints, outcome: Ints, *, replicates: int = 200, seed: int = 0) -> Estimate:
    """The coefficient with a 90 percent interval: customers drawn again with replacement, within each arm."""
    order, ends = _steps(score)
    treated, outcome = treated[order], outcome[order]
    rng = np.random.default_rng(seed)
    arms = [np.flatnonzero(treated == arm) for arm in (0, 1)]
    drawn = np.empty(replicates)
    for index in range(replicates):
        weights = np.zeros((1, len(score)))
        for arm in arms:
            weights[0, arm] = np.bincount(rng.integers(0, len(arm), len(arm)), minlength=len(arm))
        drawn[index] = _coefficients(weights, treated, outcome, ends)[0]
    low, high = np.percentile(drawn, _TAILS)
    value = _coefficients(np.ones((1, len(score))), treated, outcome, ends)[0]
    return Estimate(float(value), float(low), float(high))


def curve(score: Floats, treated: Ints, outcome: Ints, points: int) -> tuple[tuple[float, float], ...]:
    """The curve at so many equal steps of the ranking: share of the customers treated, and outcomes gained.

    Gained by each customer there is, were the first of the ranking treated and no others: 0.01 is one in a hundred.
    """
    order, ends = _steps(score)
    treated, outcome = treated[order], outcome[order]
    n, nt, yt = (np.cumsum(column)[ends] for column in (np.ones(len(order)), treated, treated * outcome))
    nc, yc = n - nt, np.cumsum(outcome)[ends] - yt
    uplift = np.divide(yt, nt, out=np.zeros(len(n)), where=nt > 0) - np.divide(
        yc, nc, out=np.zeros(len(n)), where=nc > 0
    )
    at, gain = np.append(0.0, n / len(order)), np.append(0.0, uplift * n / len(order))
    shares = np.arange(points + 1) / points
    return tuple(zip(shares.tolist(), np.interp(shares, at, gain).tolist(), strict=True))


def groups(predicted: Floats, treated: Ints, outcome: Ints, count: int = 10) -> tuple[Group, ...]:
    """Measured against predicted uplift by tenths of the ranking; those without one of the arms are left out."""
    found = []
    for part in np.array_split(np.argsort(-predicted, kind="stable"), count):
        arm, hit = treated[part], outcome[part]
        if 0 < arm.sum() < len(part):
            found.append(
                Group(
                    len(part),
                    float(predicted[part].mean()),
                    float(hit[arm == 1].mean()),
                    float(hit[arm == 0].mean()),
                    average_effect(arm, hit),
                )
            )
    return tuple(found)


def _steps(score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ranking, and where the last of each run of equal scores stands."""
    order = np.argsort(-score, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)


def _coefficients(weights: Floats, treated: Ints, outcome: Ints, ends: NDArray[np.int64]) -> Floats:
    """One coefficient for each row of weights, which tell how often each customer counts."""
    n, nt = (np.cumsum(weights * column, axis=1)[:, ends] for column in (1.0, treated))
    yt, y = (np.cumsum(weights * column, axis=1)[:, ends] for column in (treated * outcome, outcome))
    nc, yc = n - nt, y - yt
    ratio = np.divide(nt, nc, out=np.zeros_like(nt), where=nc > 0)
    start = np.zeros((len(weights), 1))
    curve, at = np.hstack([start, yt - yc * ratio]), np.hstack([start, n])
    everybody, gain, hits, misses = n[:, -1], curve[:, -1], yt[:, -1], yc[:, -1]
    chance = everybody * gain / 2
    # Up to the last treated responder, flat until the first untreated one, then down to the end.
    perfect = hits**2 / 2 + (everybody - misses - hits) * hits + misses * (hits + gain) / 2
    area = np.trapezoid(curve, at, axis=1)
    room = perfect - chance
    return np.divide(area - chance, room, out=np.zeros(len(room)), where=room > 0)
