"""Logistic regression: impute the mean, tell what was missing, scale, penalise (scikit-learn's fit).

The score is a sum over slots; each term, taken from its mean over the training rows, is the slot's contribution (for a
linear model its Shapley value).
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from scoring.models.classifier.encoding import Matrix
from scoring.models.fitting import Floats, significant

SETTINGS: tuple[float, ...] = (0.01, 0.1, 1.0)
"""Inverse strength of the penalty; which one is chosen on out-of-fold rows."""


@dataclass(frozen=True)
class Logistic:
    """A fitted model; arrays have one element a slot."""

    intercept: float
    means: Floats
    scales: Floats
    lows: Floats
    highs: Floats
    """Least and greatest value seen: nothing is extrapolated beyond."""
    weights: Floats
    """Log odds per scaled unit."""
    missing_weights: Floats
    missing_means: Floats

    @property
    def base(self) -> float:
        """Raw score of a row that is average in every slot."""
        return self.intercept

    def contributions(self, matrix: Matrix) -> Floats:
        """Log odds, shape (rows, slots); with the base they sum to the raw score."""
        told = np.empty((matrix.shape[1], len(matrix)))
        for slot in range(len(told)):
            told[slot] = self._of_slot(slot, matrix[:, slot])
        return told.T

    def raw(self, matrix: Matrix) -> Floats:
        """Log odds of each row, added slot by slot: a row's score does not depend on the rows beside it."""
        score = np.full(len(matrix), self.intercept)
        for slot in range(matrix.shape[1]):
            score += self._of_slot(slot, matrix[:, slot])
        return score

    def _of_slot(self, slot: int, values: Matrix) -> Floats:
        scaled = (np.clip(values, self.lows[slot], self.highs[slot]) - self.means[slot]) / self.scales[slot]
        told: Floats = self.weights[slot] * scaled
        unknown = np.isnan(values)
        if self.missing_means[slot] > 0 or unknown.any():
            told[unknown] = 0.0
            told += self.missing_weights[slot] * (unknown - self.missing_means[slot])
        return told


def fit(matrix: Matrix, labels: Floats, setting: float) -> Logistic:
    """The model of this penalty; parameters to 9 significant digits."""
    (model,) = _fits(matrix, labels, (setting,))
    return model


def path(matrix: Matrix, labels: Floats, unseen: Matrix) -> Floats:
    """Raw scores of unseen rows for each of SETTINGS, shape (settings, rows)."""
    return np.stack([model.raw(unseen) for model in _fits(matrix, labels, SETTINGS)])


def _fits(matrix: Matrix, labels: Floats, settings: tuple[float, ...]) -> list[Logistic]:
    values = matrix.astype(np.float64)
    unknown = np.isnan(values)
    shares = unknown.mean(axis=0)
    known = np.maximum((~unknown).sum(axis=0), 1)
    filled = np.where(unknown, 0.0, values)
    means = _rounded(filled.sum(axis=0) / known)
    lows, highs = filled.min(axis=0), filled.max(axis=0)
    centred = np.where(unknown, 0.0, values - means)
    scales = np.sqrt((centred**2).sum(axis=0) / known)
    # A slot that is constant here tells nothing.
    scales = _rounded(np.where(scales > 1e-9 * np.maximum(np.abs(means), 1e-30), scales, np.inf))
    varying, gaps = np.flatnonzero(np.isfinite(scales)), np.flatnonzero((shares > 0) & (shares < 1))
    design = np.hstack([(centred / scales)[:, varying], unknown[:, gaps] - shares[gaps]])
    scales[~np.isfinite(scales)] = 1.0
    fitted = []
    for setting in settings:
        weights, missing_weights = np.zeros(len(means)), np.zeros(len(means))
        intercept = float(np.log(labels.mean() / (1 - labels.mean())))
        if design.shape[1]:
            found = LogisticRegression(C=setting, solver="newton-cholesky", tol=1e-8, max_iter=100).fit(design, labels)
            weights[varying] = _rounded(found.coef_[0, : len(varying)])
            missing_weights[gaps] = _rounded(found.coef_[0, len(varying) :])
            intercept = float(found.intercept_[0])
        fitted.append(Logistic(significant(intercept), means, scales, lows, highs, weights, missing_weights, shares))
    return fitted


def _rounded(values: Floats) -> Floats:
    return np.array([significant(value) for value in values.tolist()])
