"""Thresholds of evidence that keep the stated rate of false alarms.

The model's probabilities are not taken at their word. The detector judges past periods of the same customers, each
from what came before it, and alarms over quantiles of that evidence (split conformal prediction: Vovk, Gammerman,
Shafer 2005; Laxhammar 2014): as long as the future is like that past, of quiet customer-periods no more than the stated
share alarm, however wrong the distribution is. That holds on average over pasts and futures; what is stated is to hold
with 95 percent confidence for the past there is (Vovk 2012, "Conditional validity of inductive conformal predictors")
and the time until as many periods have passed again. Customers of one period alarm together: the confidence is that of
means of periods.
"""

import numpy as np
from scipy.special import stdtrit  # type: ignore[import-untyped]

from scoring.models.anomaly.baseline import WINDOWS
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

_SHARES = (0.6, 0.2, 0.2)
"""Of the false alarms, by window: a sudden stop is to be told at once."""
_CONFIDENCE = 0.95
"""That no larger share alarms."""

Thresholds = tuple[float, ...]
"""One for each of `WINDOWS`."""


def cautious(rate: float) -> Thresholds:
    """Bounds on evidence that keep the rate whatever the counts, if the model holds."""
    # Of quiet periods no more than a share of 1/e have a likelihood ratio of e; several windows are judged at once.
    return (float(np.log(len(WINDOWS) / rate)),) * len(WINDOWS)


def thresholds_of(periods: list[Floats], rate: float) -> Thresholds:
    """For each window a quantile of its past, such that surely no more than a share of `rate` was over any of them.

    periods: evidence, shape (windows, customers), of each past period.
    """
    past = np.concatenate(periods, axis=1)
    sizes = np.array([each.shape[1] for each in periods])
    size = past.shape[1]
    # How many had as much evidence or more: equal ones alarm together or not at all.
    ranks = np.stack(
        [
            (size - np.searchsorted(np.sort(row), row, side="left")) / share
            for row, share in zip(past, _SHARES, strict=True)
        ]
    )
    least = ranks.min(axis=0)
    order = np.argsort(least, kind="stable")[: int(np.floor(rate * (size + 1)))]
    # With one of equal ones all of them alarm, those beyond the stated share, too.
    whole = np.searchsorted(np.sort(least), least[order], side="right") == np.arange(1, len(order) + 1)
    # Alarms of each period if so many of all customer-periods alarm.
    alarms = np.cumsum(np.repeat(np.arange(len(periods)), sizes)[order][:, None] == np.arange(len(periods)), axis=0)
    kept = np.flatnonzero(whole & ((_upper_shares(alarms, sizes) <= rate).cumprod() > 0))
    reach = least[order[kept[-1]]] if len(kept) else -np.inf
    # Where all use the same each week any other usage is rare: below 0 evidence still speaks against a change.
    return tuple(
        max(0.0, float(row[rank <= reach].min(initial=np.nextafter(row.max(), np.inf))))
        for row, rank in zip(past, ranks, strict=True)
    )


def _upper_shares(alarms: Ints, sizes: Ints) -> Floats:
    """Upper end of the one-sided prediction interval of the share of alarms in as many periods to come.

    alarms: of each choice of thresholds, shape (choices, periods). By the spread between periods (a ratio estimator
    with periods as clusters: Cochran 1977), and no narrower than customers on their own would have it. One future
    customer-period counts as an alarm among the past ones.
    """
    kept = sizes > 0
    alarms, sizes = alarms[:, kept], sizes[kept]
    size, clusters = int(sizes.sum()), len(sizes)
    share = alarms.sum(axis=1) / size
    between = ((alarms - share[:, None] * sizes) ** 2).sum(axis=1) * clusters / max(clusters - 1, 1)
    # Twice: the mean that was seen is off, and so is the one to come.
    error = np.sqrt(2 * np.maximum(between, size * share * (1 - share))) / size
    upper: Floats = (size * share + 1) / (size + 1) + stdtrit(max(clusters - 1, 1), _CONFIDENCE) * error
    return upper
