"""Is the challenger better than the champion on the same rows, or was it luck?

AUC by the test of DeLong, DeLong, Clarke-Pearson (1988, Biometrics 44:3), computed from mid-ranks (Sun, Xu 2014, IEEE
SPL 21:11); Brier score and log loss by the paired differences of the rows. Both models are taken as they are: rows must
be ones that neither was trained on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]
from scipy.stats import rankdata  # type: ignore[import-untyped]

from scoring.models.classifier.calibration import log_losses
from scoring.models.classifier.table import TableError, checked_labels
from scoring.models.fitting import Floats

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Difference:
    """Challenger minus champion, with its 95 percent interval and two-sided p-value against no difference."""

    champion: float
    challenger: float
    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Paired differences; greater is better for AUC, less is better for the losses."""

    rows: int
    events: int
    auc: Difference
    brier: Difference
    log_loss: Difference


def compare(labels: NDArray[Any], champion: Floats, challenger: Floats) -> Comparison:
    """From labels and both models' calibrated probabilities of the same rows.

    Raises TableError where there are not two rows of each class, or something else than probabilities.
    """
    truth = checked_labels(labels, len(labels))
    for name, given in (("champion", champion), ("challenger", challenger)):
        if np.shape(given) != truth.shape or not ((np.asarray(given) >= 0) & (np.asarray(given) <= 1)).all():
            raise TableError(name, "is no probability a row", f"give {len(truth)} numbers from 0 to 1")
    events = int(truth.sum())
    if min(events, len(truth) - events) < 2:
        raise TableError("labels", "holds fewer than two rows of a class", "wait for more outcomes")
    both = np.stack([champion, challenger]).astype(np.float64)
    of_events, of_rest = _placements(both, truth > 0)
    aucs = of_events.mean(axis=1)
    gap = (of_events[1] - of_events[0], of_rest[1] - of_rest[0])
    variance = gap[0].var(ddof=1) / len(gap[0]) + gap[1].var(ddof=1) / len(gap[1])
    return Comparison(
        len(truth),
        events,
        _difference(aucs[0], aucs[1], float(np.sqrt(variance))),
        _of_rows((both - truth) ** 2),
        _of_rows(np.stack([log_losses(truth, probability) for probability in both])),
    )


def _placements(scores: Floats, event: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """For each event the share of the rest it is above, and for each of the rest the share of events above it."""
    events, rest = int(event.sum()), int((~event).sum())
    ranks = rankdata(scores, axis=1)
    of_events = (ranks[:, event] - rankdata(scores[:, event], axis=1)) / rest
    of_rest = 1 - (ranks[:, ~event] - rankdata(scores[:, ~event], axis=1)) / events
    return of_events, of_rest


def _of_rows(losses: Floats) -> Difference:
    gap = losses[1] - losses[0]
    return _difference(losses[0].mean(), losses[1].mean(), float(gap.std(ddof=1) / np.sqrt(len(gap))))


def _difference(champion: float, challenger: float, deviation: float) -> Difference:
    value = float(challenger - champion)
    # Without any spread both are the same model, or one is better on every row alike.
    p_value = float(2 * ndtr(-abs(value) / deviation)) if deviation > 0 else float(value == 0)
    reach = _Z95 * deviation
    return Difference(float(champion), float(challenger), value, value - reach, value + reach, p_value)
