"""sBG: how long customers under contract renew (Fader and Hardie 2007, Journal of Interactive Marketing 21:1).

At the end of each period a customer leaves with a probability of their own, the same each time; these probabilities
follow a beta distribution (alpha, beta). Those most likely to leave go first, so that retention rises with tenure
although nobody changes. Customers are given by how many renewals they have come to, and whether they left at the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, digamma, hyp2f1  # type: ignore[import-untyped]

from scoring.models.baseline import MeanChurn
from scoring.models.fitting import Floats, Interval, Z, deviation, maximise, profile_intervals, total
from scoring.models.outlook import around
from scoring.models.summary import Ints, grouped

LEAST_LOSSES = 30
"""Fewer customers who left do not carry the model's parameters: one rate for all stands in."""
_STARTS = ((0.0, 1.0), (-1.0, -1.0))
_STEP = 1e-4


@dataclass(frozen=True)
class Tenures:
    """Equal customers grouped, in one canonical order."""

    renewals: Ints
    """How often the customer had to decide, the last time included."""
    left: Ints
    """1 for those who left then, 0 for those who are still there (and did not decide again yet)."""
    counts: Ints

    @classmethod
    def of(cls, renewals: Ints, left: NDArray[np.bool_] | Ints, counts: Ints | None = None) -> "Tenures":
        """From customers in any order, or groups of `counts`. Raises ValueError for one who left at no renewal."""
        if ((renewals < left) | (renewals < 0)).any():
            raise ValueError("renewals must be 0 or more, and 1 or more for customers who left")
        (renewals, left), counts = grouped(renewals, left.astype(np.int64), weights=counts)
        return cls(renewals, left, counts)

    @classmethod
    def of_cohorts(cls, cohorts: Sequence[Sequence[int]]) -> "Tenures":
        """From the survivors of each cohort: its size, those after the first renewal, after the second ...

        Raises ValueError when a cohort grows.
        """
        rows: list[tuple[int, int, int]] = []
        for survivors in cohorts:
            lost = [before - after for before, after in pairwise(survivors)]
            if min(lost, default=0) < 0:
                raise ValueError("a cohort cannot have more customers after a renewal than before it")
            rows += [(renewal, 1, number) for renewal, number in enumerate(lost, 1)]
            rows.append((len(lost), 0, survivors[-1]))
        renewals, left, counts = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        kept = counts > 0
        return cls.of(renewals[kept], left[kept], counts[kept])

    @property
    def losses(self) -> int:
        """Customers who left."""
        return int(self.counts @ self.left)

    @property
    def decisions(self) -> int:
        """How often anybody had to decide."""
        return int(self.counts @ self.renewals)


@dataclass(frozen=True)
class Sbg:
    """A fitted model. `covariance` is that of the logarithms of (alpha, beta).

    Intervals hold 90 percent and tell how well the data determine an expectation (delta method).
    """

    alpha: float
    beta: float
    covariance: Floats
    log_likelihood: float
    customers: int
    converged: bool = True
    at_bound: bool = False

    NAME: ClassVar[str] = "sbg"

    @property
    def parameters(self) -> dict[str, float]:
        """By the paper's names."""
        return {"alpha": self.alpha, "beta": self.beta}

    def retention(self, renewals: Ints) -> Floats:
        """Share of those who came through so many renewals that comes through the next one too (eq. 8)."""
        rate: Floats = (self.beta + renewals) / (self.alpha + self.beta + renewals)
        return rate

    def survival(self, renewals: Ints, further: Ints | int) -> Floats:
        """Probability that one who came through so many renewals comes through `further` ones as well (eq. 6)."""
        after = self.beta + renewals
        return np.exp(betaln(self.alpha, after + further) - betaln(self.alpha, after))  # type: ignore[no-any-return]

    def survival_interval(self, renewals: Ints, further: Ints | int) -> tuple[Floats, Floats]:
        """Ends of its interval, symmetric in ln(-ln S), so that both are probabilities."""
        survived = self.survival(renewals, further)
        kinked = [
            np.log(-np.log(np.clip(model.survival(renewals, further), 1e-300, 1 - 1e-16))) for model in self._neighbours
        ]
        spread = np.exp(Z * self._deviation(kinked))
        return survived**spread, survived ** (1 / spread)

    def expected_renewals(self, renewals: Ints, periods: int, discount: float = 0.0) -> Floats:
        """Renewals expected within the next `periods` of one who came through so many, discounted by period."""
        found = np.zeros(len(renewals))
        survived = np.ones(len(renewals))
        for period in range(1, periods + 1):
            survived = survived * self.retention(renewals + period - 1)
            found += survived * (1 + discount) ** -period
        return found

    def expected_renewals_interval(self, renewals: Ints, periods: int, discount: float = 0.0) -> tuple[Floats, Floats]:
        """Ends of its interval."""
        logs = [np.log(model.expected_renewals(renewals, periods, discount)) for model in self._neighbours]
        low, high = around(self.expected_renewals(renewals, periods, discount), self._deviation(logs))
        return low, np.minimum(high, float(((1 + discount) ** -np.arange(1.0, periods + 1)).sum()))

    def residual_lifetime(self, renewals: Ints, discount: float) -> Floats:
        """The same without end (Fader and Hardie 2010, Marketing Science 29:1, eq. 4, a period earlier).

        It is infinite without discount where alpha is at most 1. Raises ValueError unless the discount is positive.
        """
        if discount <= 0:
            raise ValueError("the discount must be positive: without one the sum may have no end")
        after = self.beta + renewals
        series = hyp2f1(1, after + 1, self.alpha + after + 1, 1 / (1 + discount))
        lifetime: Floats = self.retention(renewals) * series / (1 + discount)
        return lifetime

    @property
    def _neighbours(self) -> list["Sbg"]:
        """Above and below in alpha, then in beta."""
        return [
            Sbg(self.alpha * of_alpha, self.beta * of_beta, self.covariance, self.log_likelihood, self.customers)
            for of_alpha, of_beta in ((1 + _STEP, 1), (1 - _STEP, 1), (1, 1 + _STEP), (1, 1 - _STEP))
        ]

    def _deviation(self, of_neighbours: list[Floats]) -> Floats:
        above_alpha, below_alpha, above_beta, below_beta = of_neighbours
        gradient = np.stack([above_alpha - below_alpha, above_beta - below_beta]) / (np.log1p(_STEP) - np.log1p(-_STEP))
        return deviation(gradient, self.covariance)


def fit(tenures: Tenures) -> Sbg:
    """The model of greatest likelihood. Raises ValueError without one who left or one who stayed."""
    if tenures.losses == 0 or tenures.losses == tenures.decisions:
        raise ValueError("without customers who left and ones who stayed there is nothing to fit")
    found = maximise(_Objective(tenures), [np.array(start) for start in _STARTS])
    alpha, beta = found.parameters
    customers = int(tenures.counts.sum())
    return Sbg(alpha, beta, found.covariance, found.log_likelihood, customers, found.converged, found.at_bound)


def fit_churn(tenures: Tenures) -> tuple[Sbg | MeanChurn, tuple[str, ...]]:
    """sBG, or one rate for all with a message why."""
    baseline = MeanChurn(tenures.losses, tenures.decisions)
    if tenures.losses < LEAST_LOSSES:
        return baseline, (
            f"{tenures.losses} customers left; the churn model needs {LEAST_LOSSES}: "
            "one rate for all stands in until there are more",
        )
    if len(np.unique(tenures.renewals[tenures.renewals > 0])) < 2 or tenures.losses == tenures.decisions:
        return baseline, ("all decided on a single renewal so far: one rate for all stands in until there are more",)
    model = fit(tenures)
    if not model.converged:
        return baseline, ("the churn model could not be fitted to these renewals: one rate for all stands in",)
    if model.at_bound:
        # Small parameters are probabilities near 0 and 1, large ones a probability that all share.
        differ = "differ as much as can be" if model.alpha + model.beta < 1 else "hardly differ"
        return model, (f"customers {differ} in how likely they are to leave: parameters are extreme",)
    return model, ()


def intervals(model: Sbg, tenures: Tenures) -> dict[str, Interval]:
    """Profile likelihood intervals of the parameters, from the customers the model was fitted to."""
    return profile_intervals(_Objective(tenures), model.parameters, {}, model.covariance)


class _Objective:
    """Negative log-likelihood (eq. B3) and gradient in the logarithms of (alpha, beta)."""

    def __init__(self, tenures: Tenures) -> None:
        self._left, self._stayed = tenures.left, tenures.renewals - tenures.left
        self._n = tenures.counts.astype(np.float64)

    def __call__(self, log_parameters: Floats) -> tuple[float, Floats]:
        alpha, beta = np.exp(log_parameters)
        of_left, of_stayed = alpha + self._left, beta + self._stayed
        value = total(self._n, betaln(of_left, of_stayed) - betaln(alpha, beta))
        of_all = digamma(of_left + of_stayed) - digamma(alpha + beta)
        d_alpha = total(self._n, digamma(of_left) - digamma(alpha) - of_all)
        d_beta = total(self._n, digamma(of_stayed) - digamma(beta) - of_all)
        return -value, -np.array([d_alpha * alpha, d_beta * beta])
