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

from scoring.models import repeated_rows
from scoring.models.classifier.folds import Fold, stratified
from scoring.models.fitting import Floats, significant
from scoring.models.repeated_rows import Keys
from scoring.models.summary import Ints

Method = Literal["none", "platt", "isotonic"]
LEAST_ROWS = 1_000
LEAST_EVENTS = 200
"""Isotonic regression overfits where there is less (Niculescu-Mizil, Caruana 2005)."""
LEAST_IN_BLOCK = 20
"""Of events, and of others, that a line of its own is fitted to."""
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


_Way = Callable[[Floats, Floats, Ints], Calibration]
"""From raw scores, labels and blocks of time."""


def sigmoid(log_odds: Floats) -> Floats:
    """Probability of log odds."""
    told: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return told


def fit(raw: Floats, labels: Floats, blocks: Ints | None = None, customers: Keys = None) -> tuple[Calibration, Floats]:
    """The way of least log loss on scores it has not seen, and that loss of each row `judged`, in its order.

    With `blocks` of time (0, 1, ...; the last is the latest) each block is judged by what was fitted on those before,
    and Platt's line of the latest block alone is a way, too: where shares of events drift it fits better. Else five
    stratified folds of customers. A simpler way stays unless the other is better by more than one standard error of the
    difference.
    """
    ways: list[_Way] = [_none, _platt]
    if len(raw) >= LEAST_ROWS and min(labels.sum(), (1 - labels).sum()) >= LEAST_EVENTS:
        ways.append(_isotonic)
    since = np.zeros(len(raw), dtype=np.int64)
    if blocks is not None and _fit_for_judging(labels, blocks):
        ways.append(_latest)
        since = blocks
    losses = []
    for fold in _folds(labels, blocks, customers):
        train, test = fold.train, fold.test
        fitted = [way(raw[train], labels[train], since[train]) for way in ways]
        losses.append(np.stack([log_losses(labels[test], one.probability(raw[test])) for one in fitted]))
    found = np.hstack(losses)
    whose = None if customers is None else customers[judged(labels, blocks, customers)]
    best = simplest(found, whose)
    return ways[best](raw, labels, since), found[best]


def judged(labels: Floats, blocks: Ints | None, customers: Keys) -> Ints:
    """The rows that `fit` judges ways by, in its order."""
    return np.concatenate([fold.test for fold in _folds(labels, blocks, customers)])


def log_losses(labels: Floats, probability: Floats) -> Floats:
    """Log loss of each row."""
    right = np.where(labels > 0, probability, 1 - probability)
    return -np.log(np.maximum(right, 1e-15))


def simplest(losses: Floats, customers: Keys) -> int:
    """Which row to take, rows going from simple to complex: one more complex must earn its place.

    It replaces the one held so far when its mean is less by more than one standard error of the paired difference.
    customers: whose each column is.
    """
    held, cluster = 0, repeated_rows.codes(customers, losses.shape[1])
    for other in range(1, len(losses)):
        gain = losses[held] - losses[other]
        if gain.mean() > repeated_rows.standard_error(gain, cluster):
            held = other
    return held


def _folds(labels: Floats, blocks: Ints | None, customers: Keys) -> list[Fold]:
    if blocks is None or not _fit_for_judging(labels, blocks):
        return stratified(labels, customers=customers)
    return [
        Fold(np.flatnonzero(blocks < block), np.flatnonzero(blocks == block)) for block in range(1, blocks.max() + 1)
    ]


def _fit_for_judging(labels: Floats, blocks: Ints) -> bool:
    """There are several blocks, and the first can be fitted on already."""
    first = labels[blocks == 0]
    return bool(blocks.max() > 0 and min(first.sum(), (1 - first).sum()) >= LEAST_IN_BLOCK)


def _none(raw: Floats, labels: Floats, blocks: Ints) -> Calibration:
    del raw, labels, blocks
    return Calibration()


def _latest(raw: Floats, labels: Floats, blocks: Ints) -> Calibration:
    latest = np.flatnonzero(blocks == blocks.max())
    if min(labels[latest].sum(), (1 - labels[latest]).sum()) < LEAST_IN_BLOCK:
        return _platt(raw, labels, blocks)
    return _platt(raw[latest], labels[latest], blocks[latest])


def _platt(raw: Floats, labels: Floats, blocks: Ints) -> Calibration:
    del blocks
    slope = intercept = 0.0
    # All events of the rows before may be of customers who are left out.
    if labels.min() < labels.max():
        # The slight penalty keeps the line finite where scores part the classes entirely.
        line = LogisticRegression(C=10.0, solver="newton-cholesky", tol=1e-8).fit(raw[:, None], labels)
        slope, intercept = float(line.coef_[0, 0]), float(line.intercept_[0])
    if slope <= 0:
        # Scores that rank no better than chance say nothing: everybody gets the base rate.
        share = (labels.sum() + 0.5) / (len(labels) + 1)
        return Calibration("platt", 0.0, significant(float(np.log(share / (1 - share)))))
    return Calibration("platt", significant(slope), significant(intercept))


def _isotonic(raw: Floats, labels: Floats, blocks: Ints) -> Calibration:
    del blocks
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
