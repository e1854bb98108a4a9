"""How rows are split into those that train and those that are predicted: by time where dated, else stratified."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

FOLDS = 5
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Fold:
    """Indices of rows that train, and of rows that are predicted by what was trained."""

    train: Ints
    test: Ints


def split(
    labels: Floats, dates: NDArray[np.datetime64] | None, count: int = FOLDS, horizon_days: int = 0
) -> list[Fold]:
    """By time where rows have several dates, else stratified."""
    if dates is not None:
        folds = forward(dates, count, horizon_days)
        if folds:
            return folds
    return stratified(labels, count)


def stratified(labels: Floats, count: int = FOLDS) -> list[Fold]:
    """Each row is predicted once; each fold has its share of events. The order of rows must tell nothing."""
    place = np.empty(len(labels), dtype=np.int64)
    for value in (0.0, 1.0):
        of_class = np.flatnonzero(labels == value)
        place[of_class] = (np.arange(len(of_class)) + (count // 2 if value else 0)) % count
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
