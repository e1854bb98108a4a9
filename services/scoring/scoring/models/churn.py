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
CHECKED = 2_000
"""Customers on whom features are shown not to look ahead: those with the least hashes."""
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

    def below(self, bound: int | None) -> "Customers":
        """Those with hashes below a bound; all of them where there is none."""
        return self if bound is None else self.some(self.names < np.uint64(bound))

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


@dataclass(frozen=True)
class Tally:
    """How many rows customers make as of some instants, those who make any, ascending by the hashes of their names.

    Of more than `most` rows only as many customers as show who is learned from: the first who are too many end it.
    """

    names: NDArray[np.uint64]
    rows: Ints
    most: int

    @classmethod
    def of(cls, customers: Customers, moments: Sequence[int], most: int = ROWS_MOST) -> "Tally":
        """Of some customers; `joined` makes one of all."""
        rows = np.zeros(len(customers), dtype=np.int64)
        for at in moments:
            rows[customers.active(at)] += 1
        return cls._first(customers.names[rows > 0], rows[rows > 0], most)

    @classmethod
    def joined(cls, tallies: Iterable["Tally"], most: int = ROWS_MOST) -> "Tally":
        """Of all customers, from those of each part of them."""
        found = cls(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64), most)
        for tally in tallies:
            names, rows = np.append(found.names, tally.names), np.append(found.rows, tally.rows)
            found = cls._first(names, rows, most)
        return found

    @classmethod
    def _first(cls, names: NDArray[np.uint64], rows: Ints, most: int) -> "Tally":
        order = np.argsort(names, kind="stable")
        names, rows = names[order], rows[order]
        end = int(np.searchsorted(np.cumsum(rows), most, side="right")) + 1
        return cls(names[:end], rows[:end], most)

    @property
    def bound(self) -> int | None:
        """Who is learned from has a lower hash, so that rows are `most` at most; None where that is everybody."""
        return int(self.names[-1]) if self.rows.sum() > self.most else None

    @property
    def learned(self) -> int:
        """How many rows are learned from."""
        return int(self.rows.sum() if self.bound is None else self.rows[:-1].sum())

    def after(self, customers: int) -> int | None:
        """The hash that comes after those of so many customers, None where there are no more."""
        return int(self.names[customers]) if len(self.names) > customers else None


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


def refuse_looking_ahead(customers: Customers, moments: Sequence[int]) -> None:
    """Shows that no feature of these customers as of an instant changes with what came after it.

    Raises LooksAheadError. Models are trained on what was known only; but what tells more in the history than it will
    when a score is due is no feature.
    """
    events = customers.events
    for at in moments:
        whole = bulk.table(events, len(customers), at)
        known = bulk.table(events.where(events.time < at), len(customers), at)
        for name in whole:
            if not np.array_equal(whole[name], known[name], equal_nan=True):
                raise LooksAheadError(f"the feature {name} as of an instant changes with what comes after it")


def _buyers(events: Events, begin: int, end: int) -> Ints:
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
