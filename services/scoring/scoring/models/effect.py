"""What acting on scores brought: customers acted on against a hold-out group drawn at random from the same ones."""

from dataclasses import dataclass

import numpy as np

from scoring.domain.gates import Interval
from scoring.models.fitting import Floats

LEAST = 30
"""Customers in each group."""
_Z = 1.6448536269514722


@dataclass(frozen=True)
class Effect:
    """What a customer acted on did more than one held out, on average, with its 90 percent interval."""

    per_customer: Interval
    total: Interval
    """Over all customers acted on."""
    treated: int
    held_out: int


def measured(treated: Floats, held_out: Floats) -> Effect | str:
    """The effect on an outcome (purchases, revenue) of each customer, or in words why it cannot be told.

    Difference of means with Welch's standard error. It is an effect, not a correlation, only where chance decided who
    was held out, before anybody was acted on, and customers count in the group they were drawn into whatever reached
    them ("intention to treat").
    """
    groups = (np.asarray(treated, dtype=np.float64), np.asarray(held_out, dtype=np.float64))
    for name, group in zip(("acted on", "held out"), groups, strict=True):
        if len(group) < LEAST:
            return f"{len(group)} customers were {name}; an effect needs {LEAST} of each"
    difference = float(groups[0].mean() - groups[1].mean())
    deviation = float(np.sqrt(sum(group.var(ddof=1) / len(group) for group in groups)))
    low, high = difference - _Z * deviation, difference + _Z * deviation
    size = len(groups[0])
    everybody = Interval(difference * size, low * size, high * size)
    return Effect(Interval(difference, low, high), everybody, size, len(groups[1]))
