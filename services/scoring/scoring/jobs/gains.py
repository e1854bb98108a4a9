"""By how much a model told better than another one, customers being drawn."""

from scoring.domain.gates import Interval
from scoring.models import repeated_rows
from scoring.models.fitting import Floats
from scoring.models.rounding import shortened
from scoring.models.summary import Ints

_SURE = 1.96


def mean_gain(gains: Floats, customer: Ints) -> Interval:
    """The mean of what was gained by each thing told, with its 95 percent interval. customer: whose each is."""
    mean = float(gains.mean())
    error = _SURE * repeated_rows.standard_error(gains, repeated_rows.codes(customer, len(gains)))
    return Interval(shortened(mean), shortened(mean - error), shortened(mean + error))
