"""Meta-learners: uplift from models of the outcome (Künzel, Sekhon, Bickel, Yu 2019, PNAS 116:10).

S: one boosted model with the treatment among its features. T: a logistic regression for each arm. X: the same two,
then ridge regressions on the effects they impute, weighted by the share treated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

_PENALTY = 1.0
"""Ridge penalty of the logistic regressions, on standardised features."""
_RIDGE = 10.0


class Learner(Protocol):
    """Predicts uplift, as a difference of probabilities."""

    def uplift(self, x: Floats) -> Floats:
        """Uplift of each row of standardised features."""

    def outcome(self, x: Floats, share: float) -> Floats:
        """Probability of the outcome when `share` of such customers is treated."""


@dataclass(frozen=True)
class SLearner:
    """One model of the outcome by features and treatment."""

    model: Any
    """A CatBoost classifier."""

    def uplift(self, x: Floats) -> Floats:
        """The model's answer treated minus untreated."""
        untreated, treated = self._arms(x)
        return treated - untreated

    def outcome(self, x: Floats, share: float) -> Floats:
        """Both answers, weighted."""
        untreated, treated = self._arms(x)
        return share * treated + (1 - share) * untreated

    def _arms(self, x: Floats) -> tuple[Floats, Floats]:
        untreated, treated = (
            self.model.predict_proba(np.column_stack([x, np.full(len(x), arm)]), thread_count=1)[:, 1] for arm in (0, 1)
        )
        return untreated, treated


@dataclass(frozen=True)
class TLearner:
    """Coefficients of a logistic regression for each arm; the last of each is the intercept."""

    untreated: Floats
    treated: Floats

    def uplift(self, x: Floats) -> Floats:
        """Difference of the two probabilities."""
        return _probability(x, self.treated) - _probability(x, self.untreated)

    def outcome(self, x: Floats, share: float) -> Floats:
        """Both probabilities, weighted."""
        return share * _probability(x, self.treated) + (1 - share) * _probability(x, self.untreated)


@dataclass(frozen=True)
class XLearner:
    """A T-learner, and linear coefficients of the effects imputed by it."""

    base: TLearner
    effect: Floats

    def uplift(self, x: Floats) -> Floats:
        """Linear in the features."""
        effect: Floats = x @ self.effect[:-1] + self.effect[-1]
        return effect

    def outcome(self, x: Floats, share: float) -> Floats:
        """That of its T-learner."""
        return self.base.outcome(x, share)


def fit_s(x: Floats, treated: Ints, outcome: Ints) -> SLearner:
    """Small trees: what tells treated from untreated is weak beside what tells buyers from others."""
    from catboost import CatBoostClassifier  # loaded only where a model is trained

    model = CatBoostClassifier(
        iterations=100,
        depth=4,
        learning_rate=0.08,
        border_count=64,
        random_seed=1,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(np.column_stack([x, treated]), outcome)
    return SLearner(model)


def fit_t(x: Floats, treated: Ints, outcome: Ints) -> TLearner:
    """A logistic regression for each arm."""
    arms = [_logistic(x[treated == arm], outcome[treated == arm]) for arm in (0, 1)]
    return TLearner(arms[0], arms[1])


def fit_x(x: Floats, treated: Ints, outcome: Ints) -> XLearner:
    """Effects imputed for each arm by the model of the other one, regressed, and weighted by the share treated."""
    base = fit_t(x, treated, outcome)
    one, none = treated == 1, treated == 0
    of_treated = _ridge(x[one], outcome[one] - _probability(x[one], base.untreated))
    of_untreated = _ridge(x[none], _probability(x[none], base.treated) - outcome[none])
    share = float(treated.mean())
    return XLearner(base, share * of_untreated + (1 - share) * of_treated)


LEARNERS: dict[str, Callable[[Floats, Ints, Ints], Learner]] = {"T": fit_t, "X": fit_x, "S": fit_s}
"""By name, the simplest first: of equal ones the first is taken."""


def _probability(x: Floats, coefficients: Floats) -> Floats:
    log_odds = x @ coefficients[:-1] + coefficients[-1]
    probability: Floats = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
    return probability


def _logistic(x: Floats, outcome: Ints) -> Floats:
    """Ridge logistic regression by Newton's method; the intercept is not penalised.

    From zero on standardised features it converges in a few steps, in a tenth of the time of a general solver.
    """
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.full(design.shape[1], _PENALTY)
    penalty[-1] = 1e-9
    coefficients = np.zeros(design.shape[1])
    rate = (outcome.sum() + 0.5) / (len(outcome) + 1)
    coefficients[-1] = np.log(rate / (1 - rate))
    for _ in range(30):
        p = _probability(x, coefficients)
        gradient = design.T @ (outcome - p) - penalty * coefficients
        weight = np.maximum(p * (1 - p), 1e-6)
        step = np.linalg.solve((design.T * weight) @ design + np.diag(penalty), gradient)
        # Halved when long: a full step from far away may overshoot.
        step /= max(1.0, float(np.abs(step).max()) / 2)
        coefficients += step
        if np.abs(step).max() < 1e-8:
            break
    return coefficients


def _ridge(x: Floats, target: Floats) -> Floats:
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.diag([_RIDGE] * x.shape[1] + [1e-9])
    coefficients: Floats = np.linalg.solve(design.T @ design + penalty, design.T @ target)
    return coefficients
