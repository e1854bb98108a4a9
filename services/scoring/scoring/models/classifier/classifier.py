"""A trained classifier: candidates side by side, one of them chosen, and the base rate where data are too few."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv  # type: ignore[import-untyped]

from scoring.models.classifier.average import Average
from scoring.models.classifier.boosting import Boosting
from scoring.models.classifier.calibration import Calibration
from scoring.models.classifier.encoding import Encoder
from scoring.models.classifier.logistic import Logistic
from scoring.models.classifier.table import Column
from scoring.models.classifier.uncertainty import Spread

LOGISTIC, BOOSTING, AVERAGE, BASE_RATE = "logistic", "catboost", "average", "base_rate"

Model = Logistic | Boosting | Average


@dataclass(frozen=True)
class Candidate:
    """A model with what makes its scores probabilities."""

    model: Model
    setting: float | None
    """Inverse penalty or number of trees; None for the average."""
    calibration: Calibration
    spread: Spread
    log_loss: float
    """Of out-of-fold scores calibrated by what was fitted on others: the choice was made by it."""


@dataclass(frozen=True)
class BaseRate:
    """The share of events among all rows, with the 90 percent interval of Jeffreys' prior."""

    rows: int
    events: int

    @property
    def probability(self) -> float:
        """Half an event and half a non-event are added."""
        return (self.events + 0.5) / (self.rows + 1)

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high."""
        low, high = betaincinv(self.events + 0.5, self.rows - self.events + 0.5, np.array([0.05, 0.95]))
        return float(low), float(high)


@dataclass(frozen=True)
class Classifier:
    """What `train` makes and `predict` takes; `artefact` stores it."""

    columns: tuple[Column, ...]
    """As declared; those the encoder lacks are not trained on."""
    outcome: str
    """What reasons say is raised or lowered."""
    base_rate: BaseRate
    encoder: Encoder
    candidates: Mapping[str, Candidate]
    chosen: str
    """A name in `candidates`, or `base_rate` where data were too few for any."""
