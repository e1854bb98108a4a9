"""From raw scores to probabilities that come true, learned on out-of-fold scores.

Three ways: none (the raw score is the log odds), Platt's line in the log odds (Platt 1999), and isotonic regression
(Zadrozny, Elkan 2002) with its steps joined at their centres (Oron, Flournoy 2017), so that ranks hardly tie.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from scoring.models.classifier.folds import stratified
from scoring.models.fitting import Floats, significant

Method = Literal["none", "platt", "isotonic"]
LEAST_ROWS = 1_000
LEAST_EVENTS = 200
"""Isotonic regression overfits where there is less (Niculescu-Mizil, Caruana 2005)."""
_FARTHEST = 30.0


@dataclass(frozen=True)
class Calibration:
    """How raw scores become log odds; never decreasing."""

    method: Method = "none"
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[float, ...] = ()
    """Raw scores, for isotonic."""
    values: tuple[float, ...] = ()
    """Log odds at the knots; constant beyond them."""

    def log_odds(self, raw: Floats) -> Floats:
        """Calibrated log odds."""
        if self.method == "isotonic":
            return np.interp(raw, self.knots, self.values)
        return np.clip(self.slope * raw + self.intercept, -_FARTHEST, _FARTHEST)

    def probability(self, raw: Floats) -> Floats:
        """Calibrated probability."""
        return sigmoid(self.log_odds(raw))


def sigmoid(log_odds: Floats) -> Floats:
    """Probability of log odds."""
    told: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return told


def fit(raw: Floats, labels: Floats) -> Calibration:
    """The way of least log loss on rows it has not seen (five folds of the out-of-fold scores).

    A simpler way stays unless the other is better by more than one standard error of the paired difference.
    """
    ways: list[Callable[[Floats, Floats], Calibration]] = [lambda *_: Calibration(), _platt]
    if len(raw) >= LEAST_ROWS and min(labels.sum(), (1 - labels).sum()) >= LEAST_EVENTS:
        ways.append(_isotonic)
    losses = np.empty((len(ways), len(raw)))
    for fold in stratified(labels):
        for row, way in enumerate(ways):
            fitted = way(raw[fold.train], labels[fold.train])
            losses[row, fold.test] = log_losses(labels[fold.test], fitted.probability(raw[fold.test]))
    return ways[simplest(losses)](raw, labels)


def log_losses(labels: Floats, probability: Floats) -> Floats:
    """Log loss of each row."""
    right = np.where(labels > 0, probability, 1 - probability)
    return -np.log(np.maximum(right, 1e-15))


def simplest(losses: Floats) -> int:
    """Which row to take, rows going from simple to complex: one more complex must earn its place.

    It replaces the one held so far when its mean is less by more than one standard error of the paired difference.
    """
    held = 0
    for other in range(1, len(losses)):
        gain = losses[held] - losses[other]
        if gain.mean() > gain.std() / np.sqrt(len(gain)):
            held = other
    return held


def _platt(raw: Floats, labels: Floats) -> Calibration:
    line = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-8).fit(raw[:, None], labels)
    slope = float(line.coef_[0, 0])
    if slope <= 0:
        # Scores that rank no better than chance say nothing: everybody gets the base rate.
        share = (labels.sum() + 0.5) / (len(labels) + 1)
        return Calibration("platt", 0.0, significant(float(np.log(share / (1 - share)))))
    return Calibration("platt", significant(slope), significant(float(line.intercept_[0])))


def _isotonic(raw: Floats, labels: Floats) -> Calibration:
    steps = IsotonicRegression().fit_transform(raw, labels)
    _, step = np.unique(steps, return_inverse=True)
    count = np.bincount(step)
    centre = np.bincount(step, weights=raw) / count
    # Half an event and half a non-event are added: no step is certain.
    share = (np.bincount(step, weights=labels) + 0.5) / (count + 1)
    share = np.maximum.accumulate(share)
    values = np.log(share / (1 - share))
    return Calibration(
        "isotonic",
        knots=tuple(significant(value) for value in centre.tolist()),
        values=tuple(significant(value) for value in values.tolist()),
    )
