"""Whether a customer stops buying: a model of propensity on the declared features of purchases.

Of customers who bought within the last 365 days before an instant, those churned who do not buy within a horizon after
it (Neslin et al. 2006, Journal of Marketing Research 43:2, for prediction as of instants and its test on later ones).
A model learns from several instants, each a horizon apart, so that no purchase tells two labels of one customer.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.domain.churn_rules import ACTIVE_WITHIN, INSTANTS_MOST, LOOKED_AT, ROWS_MOST
from scoring.features import table as bulk
from scoring.features.declared import PURCHASE
from scoring.features.table import Events
from scoring.models import past_customers
from scoring.models.classifier import Table
from scoring.models.fitting import Floats
from scoring.models.past_customers import Tally, column_of
from scoring.models.propensity import Labelled, Propensity
from scoring.models.summary import Ints

OUTCOME = "risk of leaving"
RISK = "churn_risk"
RECENCY = "days_since_last_purchase"
COLUMNS = tuple(map(column_of, LOOKED_AT))


class Customers(past_customers.Customers):
    """Customers with what they bought and gave back."""

    def active(self, at: int) -> Ints:
        """Codes of those who bought within the last 365 days before an instant (microseconds since 1970)."""
        return buyers(self.events, at - _us(ACTIVE_WITHIN), at)

    def table(self, at: int, codes: Ints) -> Table:
        """What was known of these customers as of an instant: COLUMNS."""
        return self.known(at, codes, LOOKED_AT)


def tally(customers: Customers, moments: Sequence[int], most: int = ROWS_MOST) -> Tally:
    """How many rows some customers make; `Tally.joined` makes one of all."""
    rows = np.zeros(len(customers), dtype=np.int64)
    for at in moments:
        rows[customers.active(at)] += 1
    return Tally.first(customers.names[rows > 0], rows[rows > 0], most)


def told(model: Propensity, table: Table) -> dict[str, list[Any]]:
    """The risk of each row with its interval and its reasons, by the names of columns."""
    return past_customers.told(model, table, RISK)


def instants(events: Events, end: int, horizon: timedelta) -> list[int]:
    """The instants that are learned from, the newest first, a horizon apart; none where nothing is known of one.

    end: until when it is known what happened (microseconds). One horizon at least is known before each.
    """
    if not len(events):
        return []
    return instants_between(int(events.time.min()), int(events.time.max()), end, horizon)


def instants_between(oldest: int, newest: int, end: int, horizon: timedelta) -> list[int]:
    """The same, of events from the oldest to the newest one (microseconds)."""
    step = _us(horizon)
    newest = min(end, newest + 1)
    first = oldest + step
    return [at for place in range(1, INSTANTS_MOST + 1) if (at := newest - place * step) >= first]


def labelled(customers: Customers, moments: Sequence[int], horizon: timedelta) -> Labelled:
    """Customers as of each instant, and whether they left. Ordered by instant as given, then by code."""
    tables, dates, labels, waited = [], [], [], []
    for at in moments:
        codes = customers.active(at)
        until_next = _waits(customers, at, at + _us(horizon))[codes]
        stayed = ~np.isnan(until_next)
        waited.append(until_next)
        tables.append(customers.table(at, codes))
        dates.append(np.full(len(codes), at, dtype="datetime64[us]"))
        labels.append((~stayed).astype(np.float64))
    table = _joined(tables)
    silent = np.asarray(table.values[RECENCY], dtype=np.float64) / ACTIVE_WITHIN.days
    none = np.zeros(0)
    return Labelled(
        table,
        np.concatenate([none.astype("datetime64[us]"), *dates]),
        np.concatenate([none, *labels]),
        np.clip(silent, 0, 1),
        np.concatenate([none, *waited]),
    )


def buyers(events: Events, begin: int, end: int) -> Ints:
    """Codes of those with a purchase from `begin` on and before `end`, ascending."""
    return np.flatnonzero(np.bincount(events.customer[_bought(events, begin, end)]))


def _bought(events: Events, begin: int, end: int) -> NDArray[np.bool_]:
    """Which events are purchases from `begin` on and before `end`. What is negative is a refund."""
    found: NDArray[np.bool_] = (
        (events.kind == PURCHASE) & (events.amount >= 0) & (events.time >= begin) & (events.time < end)
    )
    return found


def _waits(customers: Customers, begin: int, end: int) -> Floats:
    """Whole days until each customer's first purchase from `begin` on and before `end`; NaN of those without one."""
    events = customers.events
    bought = _bought(events, begin, end)
    first = np.full(len(customers), end)
    np.minimum.at(first, events.customer[bought], events.time[bought])
    return np.where(first < end, (first - begin) // bulk.DAY_US, np.nan)


def _joined(tables: Sequence[Table]) -> Table:
    none = np.zeros(0)
    values: dict[str, Any] = {
        column.name: np.concatenate([none, *(table.values[column.name] for table in tables)]) for column in COLUMNS
    }
    return Table.of(COLUMNS, values, np.concatenate([none.astype(np.uint64), *(table.ids for table in tables)]))


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
