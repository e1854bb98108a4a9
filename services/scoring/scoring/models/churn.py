"""Whether a customer stops buying: a model of propensity on the declared features of purchases.

Of customers who bought within the last 365 days before an instant, those churned who do not buy within a horizon after
it (Neslin et al. 2006, Journal of Marketing Research 43:2, for prediction as of instants and its test on later ones).
A model learns from several instants, each a horizon apart, so that no purchase tells two labels of one customer.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.domain.churn_rules import ACTIVE_WITHIN, INSTANTS_MOST, LOOKED_AT, ROWS_MOST
from scoring.features import table as bulk
from scoring.features.declared import PURCHASE, Feature, Value
from scoring.features.table import Events
from scoring.models import classifier
from scoring.models.classifier import Column, Kind, Table
from scoring.models.fitting import Floats
from scoring.models.propensity import Labelled, Propensity
from scoring.models.summary import Ints

OUTCOME = "risk of leaving"
REASONS = 4
RISK = "churn_risk"
RECENCY = "days_since_last_purchase"
_CHECKED = 2_000
"""Customers on whom features are shown not to look ahead, evenly chosen."""
_RISK_DIGITS = 9
"""Risks are rounded, so that processors that differ in the last bit agree."""
_DIGITS = {Value.COUNT: 0, Value.MONEY: 2, Value.DAYS: 1, Value.RATIO: 2}
_WORDS = {
    "mean_order_value_365d": "Mean value of a purchase",
    RECENCY: "Days since the last purchase",
    "days_since_first_purchase": "Days since the first purchase within a year",
    "purchase_days_365d": "Days with a purchase in 365 days",
    "mean_purchase_gap": "Mean days between purchases",
    "last_purchase_gap": "Days between the last two purchases",
    "purchase_lateness": "Time since the last purchase in usual gaps",
    "purchase_rate_ratio": "Purchase rate of the last 90 days against before",
}


class LooksAheadError(Exception):
    """A feature as of an instant changes with what comes after it; the text names it."""


def _words(feature: Feature) -> str:
    what, _, days = feature.name.rpartition("_")
    return _WORDS.get(feature.name) or f"{what.replace('_', ' ').capitalize()} in {days.removesuffix('d')} days"


COLUMNS = tuple(Column(feature.name, Kind.NUMERIC, _words(feature)) for feature in LOOKED_AT)


@dataclass(frozen=True)
class Customers:
    """Customers, by the codes that `Events` has for them, from 0, and what they bought and gave back.

    names: hashes of their names, which tell them apart and say nothing else.
    """

    names: NDArray[np.uint64]
    events: Events
    digits: int
    """Decimals of the currency: amounts are told in its units."""

    def __len__(self) -> int:
        return len(self.names)

    def some(self, chosen: NDArray[np.bool_]) -> "Customers":
        """Those of the customers, in their order."""
        events = self.events.where(chosen[self.events.customer])
        code = (np.cumsum(chosen) - 1)[events.customer]
        renamed = Events(code, events.kind, events.time, events.amount, events.order)
        return Customers(self.names[chosen], renamed, self.digits)

    def active(self, at: int) -> Ints:
        """Codes of those who bought within the last 365 days before an instant (microseconds since 1970)."""
        return _buyers(self.events, at - _us(ACTIVE_WITHIN), at)

    def table(self, at: int, codes: Ints) -> Table:
        """What was known of these customers as of an instant: COLUMNS."""
        events = self.events.where(self.events.time < at)
        return self._of(bulk.table(events, len(self), at), codes)

    def _of(self, found: dict[str, Floats], codes: Ints) -> Table:
        values = {}
        for feature in LOOKED_AT:
            column = found[feature.name][codes]
            if feature.value is Value.MONEY:
                column = column / 10**self.digits
            values[feature.name] = np.round(column, _DIGITS[feature.value])
        return Table.of(COLUMNS, values, self.names[codes])


def told(model: Propensity, table: Table) -> dict[str, list[Any]]:
    """The risk of each row with its interval and its reasons ({feature, points, text}), by the names of columns."""
    found = classifier.predict(model.classifier, table, reasons=REASONS)
    assert found.reasons is not None
    named = ((RISK, found.probability), (f"{RISK}_low", found.low), (f"{RISK}_high", found.high))
    return {name: np.round(values, _RISK_DIGITS).tolist() for name, values in named} | {
        "reasons": [
            [{"feature": one.column, "points": round(one.points, _RISK_DIGITS), "text": one.text} for one in why]
            for why in found.reasons
        ],
    }


def hashed(names: Iterable[str]) -> NDArray[np.uint64]:
    """A number for each name, the same whoever the others are."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def instants(events: Events, end: int, horizon: timedelta) -> list[int]:
    """The instants that are learned from, the newest first, a horizon apart; none where nothing is known of one.

    end: until when it is known what happened (microseconds). One horizon at least is known before each.
    """
    if not len(events):
        return []
    step = _us(horizon)
    newest = min(end, int(events.time.max()) + 1)
    first = int(events.time.min()) + step
    return [at for place in range(1, INSTANTS_MOST + 1) if (at := newest - place * step) >= first]


def labelled(customers: Customers, moments: Sequence[int], horizon: timedelta) -> Labelled:
    """Customers as of each instant, and whether they left. Ordered by instant as given, then by code."""
    tables, dates, labels = [], [], []
    for at in moments:
        codes = customers.active(at)
        stayed = np.isin(codes, _buyers(customers.events, at, at + _us(horizon)))
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
    )


def sampled(customers: Customers, moments: Sequence[int], most: int = ROWS_MOST) -> Customers:
    """As many customers, by the hash of their names, as make at most so many rows as of these instants."""
    rows = np.zeros(len(customers), dtype=np.int64)
    for at in moments:
        rows[customers.active(at)] += 1
    if rows.sum() <= most:
        return customers
    order = np.argsort(customers.names, kind="stable")
    chosen = np.zeros(len(customers), dtype=bool)
    chosen[order[np.cumsum(rows[order]) <= most]] = True
    return customers.some(chosen)


def refuse_looking_ahead(customers: Customers, moments: Sequence[int]) -> None:
    """Shows on some customers that no feature as of an instant changes with what came after it.

    Raises LooksAheadError. Models are trained on what was known only; but what tells more in the history than it will
    when a score is due is no feature.
    """
    step = max(1, len(customers) // _CHECKED)
    chosen = np.zeros(len(customers), dtype=bool)
    chosen[np.argsort(customers.names, kind="stable")[::step]] = True
    some = customers.some(chosen)
    for at in moments:
        whole = bulk.table(some.events, len(some), at)
        known = bulk.table(some.events.where(some.events.time < at), len(some), at)
        for name in whole:
            if not np.array_equal(whole[name], known[name], equal_nan=True):
                raise LooksAheadError(f"the feature {name} as of an instant changes with what comes after it")


def _buyers(events: Events, begin: int, end: int) -> Ints:
    """Codes of those with a purchase from `begin` on and before `end`, ascending. What is negative is a refund."""
    bought = (events.kind == PURCHASE) & (events.amount >= 0) & (events.time >= begin) & (events.time < end)
    return np.flatnonzero(np.bincount(events.customer[bought]))


def _joined(tables: Sequence[Table]) -> Table:
    none = np.zeros(0)
    values: dict[str, Any] = {
        column.name: np.concatenate([none, *(table.values[column.name] for table in tables)]) for column in COLUMNS
    }
    return Table.of(COLUMNS, values, np.concatenate([none.astype(np.uint64), *(table.ids for table in tables)]))


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
