"""How good probabilities are: ranking, calibration, lift, each with a 90 percent bootstrap interval, and the curves.

Customers are drawn, with all their rows (Field and Welsh 2007, Journal of the Royal Statistical Society B 69:3).
"""

from dataclasses import dataclass

import numpy as np

from scoring.models import repeated_rows
from scoring.models.classifier.calibration import log_losses
from scoring.models.fitting import Floats, Z
from scoring.models.repeated_rows import Keys

BINS = 15
_SAMPLES = 200
_SEED = 7


@dataclass(frozen=True)
class Figure:
    """A figure with its 90 percent interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Metrics:
    """Figures over rows that were not trained on."""

    rows: int
    events: int
    auc: Figure
    average_precision: Figure
    brier: Figure
    log_loss: Figure
    lift: Figure
    """Share of events in the tenth with the highest scores, over that in all."""
    ece: Figure
    """Expected calibration error: mean distance of predicted and observed share over 15 bins of equal size. Its
    interval is that of the resampled figure, which is greater than the figure itself on average."""
    ece_by_chance: float
    """What the calibration error would be at most, in 95 of 100 cases, if every probability were exactly right. Where
    customers have several rows, chance strays farther by the root of the design effect."""


@dataclass(frozen=True)
class CalibrationBin:
    """One bin of equal size: what was predicted and what happened, with a 90 percent Wilson interval."""

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class LiftPoint:
    """Of all rows this share with the highest scores: their lift, and which share of all events they hold."""

    share: float
    lift: float
    gain: float


def measure(labels: Floats, probability: Floats, customers: Keys = None) -> Metrics | None:
    """None where there is one class only: then nothing can be ranked. customers: whose each row is."""
    events = int(labels.sum())
    if not 0 < events < len(labels):
        return None
    rows = _Rows(labels, probability, customers)
    generator = np.random.default_rng(_SEED)
    point = rows.figures(np.ones(len(labels)))
    samples = []
    for _ in range(_SAMPLES):
        weights = rows.drawn(generator)
        if 0 < weights @ rows.labels < weights.sum():
            samples.append(rows.figures(weights))
    lows, highs = np.quantile(samples, [0.05, 0.95], axis=0)
    auc, precision, brier, loss, lift, ece = (
        Figure(*(float(part) for part in parts)) for parts in zip(point, lows, highs, strict=True)
    )
    chance = [rows.ece(np.ones(len(labels)), rows.by_chance(generator)) for _ in range(_SAMPLES)]
    return Metrics(len(labels), events, auc, precision, brier, loss, lift, ece, float(np.quantile(chance, 0.95)))


def calibration_curve(labels: Floats, probability: Floats, bins: int = BINS) -> list[CalibrationBin]:
    """Bins of equal size by probability, lowest first. Intervals are those of rows that are each another customer's."""
    curve = []
    for rows in np.array_split(np.argsort(probability, kind="stable"), min(bins, len(labels))):
        count, observed = len(rows), float(labels[rows].mean())
        middle = (observed + Z**2 / (2 * count)) / (1 + Z**2 / count)
        reach = Z / (1 + Z**2 / count) * np.sqrt(observed * (1 - observed) / count + Z**2 / (4 * count**2))
        curve.append(
            CalibrationBin(
                count, float(probability[rows].mean()), observed, float(middle - reach), float(middle + reach)
            )
        )
    return curve


def lift_curve(labels: Floats, probability: Floats, points: int = 20) -> list[LiftPoint]:
    """For each twentieth of the rows, highest scores first. Ties count as their mean."""
    if not labels.sum():
        return []
    rows = _Rows(labels, probability)
    shares = np.arange(1, points + 1) / points
    gains = rows.gains(np.ones(len(labels)), shares)
    return [LiftPoint(*point) for point in zip(shares.tolist(), (gains / shares).tolist(), gains.tolist(), strict=True)]


class _Rows:
    """Rows by descending probability; resampling only changes their weights."""

    def __init__(self, labels: Floats, probability: Floats, customers: Keys = None) -> None:
        order = np.argsort(-probability, kind="stable")
        self.labels, self.probability = labels[order], probability[order]
        self._cluster = repeated_rows.codes(None if customers is None else customers[order], len(order))
        self._customers = int(self._cluster.max()) + 1
        # Rows of one probability are one step.
        self._step = np.cumsum(np.diff(-self.probability, prepend=-self.probability[0]) > 0)
        self._bin = np.arange(len(order)) * BINS // len(order)
        self._losses = log_losses(self.labels, self.probability)
        self._squares = (self.probability - self.labels) ** 2
        # Within bins: a model that is wrong must not be excused by how wrong it is.
        effect = repeated_rows.design_effect(self.labels - self.probability, self._bin, self._cluster)
        self._farther = float(np.sqrt(effect))

    def drawn(self, generator: np.random.Generator) -> Floats:
        """How often each row comes in a sample of as many customers."""
        several = generator.integers(self._customers, size=self._customers)
        return np.bincount(several, minlength=self._customers).astype(float)[self._cluster]

    def by_chance(self, generator: np.random.Generator) -> Floats:
        """What rows might have done, were all probabilities right; strayed farther from these as customers do."""
        drawn = (generator.random(len(self.labels)) < self.probability).astype(float)
        told: Floats = self.probability + self._farther * (drawn - self.probability)
        return told

    def figures(self, weights: Floats) -> tuple[float, float, float, float, float, float]:
        events = np.bincount(self._step, weights=weights * self.labels)
        rest = np.bincount(self._step, weights=weights * (1 - self.labels))
        seen, total = np.cumsum(events), weights.sum()
        auc = float((rest * (seen - events / 2)).sum() / (events.sum() * rest.sum()))
        precision = float((events * seen / np.maximum(seen + np.cumsum(rest), 1)).sum() / events.sum())
        return (
            auc,
            precision,
            float((weights * self._squares).sum() / total),
            float((weights * self._losses).sum() / total),
            float(self.gains(weights, np.array([0.1]))[0] / 0.1),
            self.ece(weights, self.labels),
        )

    def gains(self, weights: Floats, shares: Floats) -> Floats:
        events = np.cumsum(np.bincount(self._step, weights=weights * self.labels))
        rows = np.cumsum(np.bincount(self._step, weights=weights))
        found: Floats = np.interp(shares, np.append(0.0, rows / rows[-1]), np.append(0.0, events / events[-1]))
        return found

    def ece(self, weights: Floats, labels: Floats) -> float:
        gaps = np.bincount(self._bin, weights=weights * (self.probability - labels))
        return float(np.abs(gaps).sum() / weights.sum())
