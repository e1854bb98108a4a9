"""How rows are split into those that train and those that are predicted: by time where dated, else stratified.

By time, earlier rows of a customer train and later ones are predicted, as they are of those whom a model scores: of
customers who differ lastingly (simulated) it told an AUC of .744 where .750 came, and .625 when the predicted ones had
not trained. Where chance splits, all rows of a customer stay together: else later ones would tell of earlier ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models import repeated_rows
from scoring.models.fitting import Floats
from scoring.models.repeated_rows import Keys
from scoring.models.summary import Ints

FOLDS = 5
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Fold:
    """Indices of rows that train, and of rows that are predicted by what was trained."""

    train: Ints
    test: Ints


def split(
    labels: Floats,
    dates: NDArray[np.datetime64] | None,
    count: int = FOLDS,
    horizon_days: int = 0,
    customers: Keys = None,
) -> list[Fold]:
    """By time where rows have several dates, else stratified."""
    if dates is not None:
        folds = forward(dates, count, horizon_days)
        if folds:
            return folds
    return stratified(labels, count, customers)


def stratified(labels: Floats, count: int = FOLDS, customers: Keys = None) -> list[Fold]:
    """Each row is predicted once, by what was trained on rows of others; each fold has its share of customers with
    events alone, with none, and with both. The order of rows must tell nothing.
    """
    cluster = repeated_rows.codes(customers, len(labels))
    events, rows = np.bincount(cluster, weights=labels), np.bincount(cluster)
    none, whole = events == 0, events == rows
    of_customer = np.empty(len(rows), dtype=np.int64)
    for shift, chosen in ((0, none), (count // 2, whole), (1, ~none & ~whole)):
        of_class = np.flatnonzero(chosen)
        # Those with many rows are dealt out first: folds are about equally large.
        of_class = of_class[np.argsort(-rows[of_class], kind="stable")]
        of_customer[of_class] = (np.arange(len(of_class)) + shift) % count
    place = of_customer[cluster]
    return [Fold(np.flatnonzero(place != fold), np.flatnonzero(place == fold)) for fold in range(count)]


def forward(dates: NDArray[np.datetime64], count: int = FOLDS, horizon_days: int = 0) -> list[Fold]:
    """Each block of time is predicted by what was trained on all before it; rows of one date stay together.

    A label tells of the `horizon_days` after its row's date: rows whose label was not yet known when the block began
    do not train. Empty where there is only one date.
    """
    ordered = np.sort(dates)
    cuts = np.unique(ordered[[len(ordered) * block // (count + 1) for block in range(1, count + 1)]])
    cuts = cuts[cuts > ordered[0]]
    folds = []
    for block, begin in enumerate(cuts):
        end = cuts[block + 1] if block + 1 < len(cuts) else None
        train = np.flatnonzero(dates < begin if not horizon_days else dates <= begin - horizon_days * DAY)
        test = np.flatnonzero((dates >= begin) & (True if end is None else dates < end))
        if len(train) and len(test):
            folds.append(Fold(train, test))
    return folds
