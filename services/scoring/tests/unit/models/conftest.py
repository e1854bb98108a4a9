"""The CDNOW sample as the papers use it: calibration until 1997-09-30, holdout of 39 weeks after."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest

from e2e.demo import orders
from localrun import state
from scoring.models.summary import Ints, PurchaseDays, Summary

EPOCH = date(1970, 1, 1)
END = (date(1997, 9, 30) - EPOCH).days


@dataclass(frozen=True)
class Cdnow:
    x: Ints
    recency_days: Ints
    age_days: Ints
    repeat_revenue: Ints
    """In cents."""
    days: Ints
    revenue: Ints
    holdout: Ints


@pytest.fixture(scope="session")
def cdnow() -> Cdnow:
    found = orders.read(orders.cdnow_file(state.directory() / "downloads")).orders
    _, code = np.unique([order.customer for order in found], return_inverse=True)
    day = np.array([(order.day - EPOCH).days for order in found])
    amount = np.array([order.amount_minor for order in found])
    early = day <= END
    seen = Summary.of(PurchaseDays.of(code[early], day[early], amount[early]), END)
    # All customers of the sample began in the first quarter: the whole summary has them in the same order.
    whole = Summary.of(PurchaseDays.of(code, day, amount), END)
    assert (whole.customer == seen.customer).all()
    return Cdnow(
        seen.days - 1,
        seen.last_day - seen.first_day,
        END - seen.first_day,
        seen.repeat_revenue,
        seen.days,
        seen.revenue,
        whole.days - whole.early_days,
    )
