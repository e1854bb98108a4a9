"""How sure a probability is: 90 percent intervals of the expected share of events among rows like this one.

Two sources, on the scale of log odds, by bins of the raw score. That of the model: two models, each trained on a third
of the rows, predict the last third; half their mean squared difference is the variance at a third of the data, a third
of that the variance at all. That of the calibration: the binomial variance of the bin's share of events, times the
design effect where customers have several rows (`repeated_rows`).
"""

from dataclasses import dataclass

import numpy as np

from scoring.models import repeated_rows
from scoring.models.classifier.calibration import Calibration, sigmoid
from scoring.models.fitting import Floats, Z, significant
from scoring.models.repeated_rows import Keys

_BINS = 15
_LEAST_ROWS = 50
THIRDS = 3


@dataclass(frozen=True)
class Spread:
    """Standard error of the calibrated log odds, by raw score."""

    knots: tuple[float, ...]
    deviations: tuple[float, ...]

    def interval(self, raw: Floats, log_odds: Floats) -> tuple[Floats, Floats]:
        """Low and high probability."""
        reach = Z * np.interp(raw, self.knots, self.deviations)
        return sigmoid(log_odds - reach), sigmoid(log_odds + reach)


def fit(raw: Floats, labels: Floats, calibration: Calibration, pairs: Floats, customers: Keys = None) -> Spread:
    """From out-of-fold scores, and from the two scores (shape (2, rows)) that models of a third of the customers gave
    rows of others. customers: whose each of the rows with out-of-fold scores is."""
    count = int(np.clip(len(raw) // _LEAST_ROWS, 1, _BINS))
    of_pair = (pairs[0] + pairs[1]) / 2
    # What a step in the raw score is worth in calibrated log odds, over the bulk of the scores.
    low, high = np.quantile(raw, [0.05, 0.95])
    ends = calibration.log_odds(np.array([low, high]))
    worth = (ends[1] - ends[0]) / (high - low) if high > low else 1.0
    by_pair = np.array_split(np.argsort(of_pair, kind="stable"), count)
    centres = [float(of_pair[rows].mean()) for rows in by_pair]
    of_model = [float(((pairs[0][rows] - pairs[1][rows]) ** 2).mean() / 2 / THIRDS * worth**2) for rows in by_pair]
    knots, deviations = [], []
    by_raw = np.array_split(np.argsort(raw, kind="stable"), count)
    group = np.empty(len(raw), dtype=np.int64)
    group[np.concatenate(by_raw)] = np.repeat(np.arange(count), [len(rows) for rows in by_raw])
    effect = repeated_rows.design_effect(labels, group, repeated_rows.codes(customers, len(raw)))
    for rows in by_raw:
        share = (labels[rows].sum() + 0.5) / (len(rows) + 1)
        centre = float(raw[rows].mean())
        variance = effect / (len(rows) * share * (1 - share)) + float(np.interp(centre, centres, of_model))
        knots.append(significant(centre))
        deviations.append(significant(float(np.sqrt(variance))))
    return Spread(tuple(knots), tuple(deviations))
