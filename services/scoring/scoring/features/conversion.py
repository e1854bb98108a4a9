"""Whole columns of amounts in the main currency: what `rates.DayRates.convert` tells of one, to the last bit."""

import numpy as np
import pyarrow as pa

from scoring.features.rates import DAY_US, LARGEST, STALE_DAYS, DayRates
from scoring.features.table import Flags, Ints
from scoring.jobs.columns import numbers


def converted(
    rates: DayRates, currencies: pa.DictionaryArray, amounts: Ints, times: Ints, asked: Flags
) -> tuple[Ints, Flags]:
    """Amounts in minor units of the main currency, and which of the rows asked for have one; 0 where there is none.

    times: microseconds since 1970. Nothing is changed in place.
    """
    found, known = np.where(asked, amounts, 0).astype(np.int64), asked.copy()
    codes = numbers(currencies.indices)
    for code, currency in enumerate(currencies.dictionary.to_pylist()):
        rows = np.flatnonzero(asked & (codes == code))
        if currency == rates.main or not len(rows):
            continue
        days, factors = (np.array(values) for values in rates.factors(currency))
        if not len(days):
            known[rows], found[rows] = False, 0
            continue
        day = times[rows] // DAY_US
        places = np.searchsorted(days, day, side="right") - 1
        fresh = (places >= 0) & (days[np.maximum(places, 0)] >= day - STALE_DAYS)
        told = np.rint(found[rows] * factors[np.maximum(places, 0)])
        fresh &= np.abs(told) <= LARGEST
        found[rows] = np.where(fresh, told, 0).astype(np.int64)
        known[rows] = fresh
    return found, known
