"""Rows of one customer are not independent: what they tell together is less than as many customers would.

Whoever has such rows is drawn, or counted, whole: sums within clusters take the place of single rows in variances
(Liang and Zeger 1986, Biometrika 73:1; Cameron and Miller 2015, Journal of Human Resources 50:2). Where each row is
another customer's, all of this is the usual.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

Keys = NDArray[Any] | None
"""Whose each row is; None where each is another's."""


def codes(keys: Keys, rows: int) -> Ints:
    """A number for each row, 0, 1, ... in the order customers first appear in; that of the row where all differ."""
    if keys is None:
        return np.arange(rows)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def standard_error(values: Floats, cluster: Ints) -> float:
    """Of the mean over rows. cluster: codes."""
    strays = np.bincount(cluster, weights=values - values.mean())
    count = len(strays)
    return float(np.sqrt(count / max(count - 1, 1) * (strays**2).sum()) / len(values))


def design_effect(values: Floats, group: Ints, cluster: Ints) -> float:
    """How many times the variance of a group's sum of these is that of as many independent rows; 1 at least (Kish
    1965). Of all groups (0, 1, ...) together: one alone would tell it too inexactly.
    """
    strays = values - (np.bincount(group, weights=values) / np.maximum(np.bincount(group), 1))[group]
    squares = float((strays**2).sum())
    sums = np.bincount(codes(cluster * (int(group.max()) + 1) + group, len(group)), weights=strays)
    return max(1.0, float((sums**2).sum()) / squares) if squares > 0 else 1.0
