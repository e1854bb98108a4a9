"""By how much a model told better than another one, customers being drawn."""

import numpy as np

from scoring.domain.gates import Interval
from scoring.models.fitting import Floats
from scoring.models.rounding import shortened
from scoring.models.summary import Ints

_SURE = 1.96


def mean_gain(gains: Floats, customer: Ints) -> Interval:
    """The mean of what was gained by each thing told, with its 95 percent interval.

    Customers, whose gains go together, were drawn (a ratio of sums: Cochran 1977).
    """
    sums, sizes = np.bincount(customer, weights=gains), np.bincount(customer)
    mean = float(sums.sum() / sizes.sum())
    error = _SURE * float(np.sqrt(((sums - mean * sizes) ** 2).sum())) / float(sizes.sum())
    return Interval(shortened(mean), shortened(mean - error), shortened(mean + error))
