"""Is the challenger better than the champion on the same rows, or was it luck?

AUC by the test of DeLong, DeLong, Clarke-Pearson (1988, Biometrics 44:3), computed from mid-ranks (Sun, Xu 2014, IEEE
SPL 21:11), several rows of a customer taken as one cluster (Obuchowski 1997, Biometrics 53:2); Brier score and log loss
by the paired differences of the rows, summed within customers (`repeated_rows`). Both models are taken as they are:
rows must be ones that neither was trained on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]
from scipy.stats import rankdata  # type: ignore[import-untyped]

from scoring.models import repeated_rows
from scoring.models.classifier.calibration import log_losses
from scoring.models.classifier.table import TableError, checked_labels
from scoring.models.fitting import Floats
from scoring.models.repeated_rows import Keys
from scoring.models.summary import Ints

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


def compare(labels: NDArray[Any], champion: Floats, challenger: Floats, customers: Keys = None) -> Comparison:
    """From labels and both models' calibrated probabilities of the same rows. customers: whose each row is.

    Raises TableError where there are not rows of two customers in each class, or something else than probabilities.
    """
    truth = checked_labels(labels, len(labels))
    for name, given in (("champion", champion), ("challenger", challenger)):
        if np.shape(given) != truth.shape or not ((np.asarray(given) >= 0) & (np.asarray(given) <= 1)).all():
            raise TableError(name, "is no probability a row", f"give {len(truth)} numbers from 0 to 1")
    events = int(truth.sum())
    if min(events, len(truth) - events) < 2:
        raise TableError("labels", "holds fewer than two rows of a class", "wait for more outcomes")
    cluster = repeated_rows.codes(customers, len(truth))
    if min(len(np.unique(cluster[truth == value])) for value in (0, 1)) < 2:
        raise TableError("labels", "holds rows of one customer in a class", "wait for outcomes of others")
    both = np.stack([champion, challenger]).astype(np.float64)
    of_events, of_rest = _placements(both, truth > 0)
    aucs = of_events.mean(axis=1)
    return Comparison(
        len(truth),
        events,
        _difference(aucs[0], aucs[1], _auc_error(of_events[1] - of_events[0], of_rest[1] - of_rest[0], truth, cluster)),
        _of_rows((both - truth) ** 2, cluster),
        _of_rows(np.stack([log_losses(truth, probability) for probability in both]), cluster),
    )


def _placements(scores: Floats, event: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """For each event the share of the rest it is above, and for each of the rest the share of events above it."""
    events, rest = int(event.sum()), int((~event).sum())
    ranks = rankdata(scores, axis=1)
    of_events = (ranks[:, event] - rankdata(scores[:, event], axis=1)) / rest
    of_rest = 1 - (ranks[:, ~event] - rankdata(scores[:, ~event], axis=1)) / events
    return of_events, of_rest


def _auc_error(of_events: Floats, of_rest: Floats, truth: Floats, cluster: Ints) -> float:
    """Standard error of the difference of AUC from the differences of placements: Obuchowski's S10, S01 and S11."""
    strays, corrections = [], []
    for placed, value in ((of_events, 1), (of_rest, 0)):
        of_class = cluster[truth == value]
        weights = (placed - placed.mean()) / len(placed)
        strays.append(np.bincount(of_class, weights=weights, minlength=int(cluster.max()) + 1))
        count = len(np.unique(of_class))
        corrections.append(count / (count - 1))
    count = len(strays[0])
    within = sum(factor * (each**2).sum() for factor, each in zip(corrections, strays, strict=True))
    variance = within + 2 * count / (count - 1) * (strays[0] * strays[1]).sum()
    return float(np.sqrt(max(variance, 0.0)))


def _of_rows(losses: Floats, cluster: Ints) -> Difference:
    deviation = repeated_rows.standard_error(losses[1] - losses[0], cluster)
    return _difference(losses[0].mean(), losses[1].mean(), deviation)


def _difference(champion: float, challenger: float, deviation: float) -> Difference:
    value = float(challenger - champion)
    # Without any spread both are the same model, or one is better on every row alike.
    p_value = float(2 * ndtr(-abs(value) / deviation)) if deviation > 0 else float(value == 0)
    reach = _Z95 * deviation
    return Difference(float(champion), float(challenger), value, value - reach, value + reach, p_value)
