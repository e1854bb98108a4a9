"""Customers as of past instants: what models of propensity learn from whose rows are a customer as of an instant.

What is known of them are the declared features of what was before the instant only, which is shown each time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scoring.features import table as bulk
from scoring.features.declared import FEATURES, Feature, Value
from scoring.features.table import Events
from scoring.models import classifier
from scoring.models.classifier import Column, Kind, Table
from scoring.models.propensity import Propensity
from scoring.models.summary import Ints

REASONS = 4
CHECKED = 2_000
"""Customers on whom features are shown not to look ahead: those with the least hashes."""
_TOLD_DIGITS = 9
"""Probabilities are rounded, so that processors that differ in the last bit agree."""
_DIGITS = {Value.COUNT: 0, Value.MONEY: 2, Value.DAYS: 1, Value.RATIO: 2}
_WORDS = {
    "mean_order_value_365d": "Mean value of a purchase",
    "days_since_last_purchase": "Days since the last purchase",
    "days_since_first_purchase": "Days since the first purchase within a year",
    "purchase_days_365d": "Days with a purchase in 365 days",
    "mean_purchase_gap": "Mean days between purchases",
    "last_purchase_gap": "Days between the last two purchases",
    "purchase_lateness": "Time since the last purchase in usual gaps",
    "purchase_rate_ratio": "Purchase rate of the last 90 days against before",
    "activity_rate_ratio": "Activity of the last 30 days against the 60 before",
    "message_clicks_90d": "Links followed in messages in 90 days",
    "clicks_per_message_90d": "Links followed for each message in 90 days",
    "days_since_last_click": "Days since a link in a message was followed",
}


class LooksAheadError(Exception):
    """A feature as of an instant changes with what comes after it; the text names it."""


def column_of(feature: Feature) -> Column:
    """The column of a declared feature, with its name in words."""
    what, _, days = feature.name.rpartition("_")
    words = _WORDS.get(feature.name) or f"{what.replace('_', ' ').capitalize()} in {days.removesuffix('d')} days"
    return Column(feature.name, Kind.NUMERIC, words)


def imagined(features: Mapping[str, float]) -> Table:
    """One row with these values of declared features, by their names in the order of columns: not of anybody."""
    declared = {feature.name: feature for feature in FEATURES}
    columns = [column_of(declared[name]) for name in features]
    return Table.of(columns, {name: np.array([value]) for name, value in features.items()})


@dataclass(frozen=True)
class Customers:
    """Customers, by the codes that `Events` has for them, from 0, and their events.

    names: hashes of their names, which tell them apart and say nothing else.
    """

    names: NDArray[np.uint64]
    events: Events
    digits: int
    """Decimals of the currency: amounts are told in its units."""

    def __len__(self) -> int:
        return len(self.names)

    def some(self, chosen: NDArray[np.bool_]) -> Self:
        """Those of the customers, in their order."""
        events = self.events.where(chosen[self.events.customer])
        code = (np.cumsum(chosen) - 1)[events.customer]
        return replace(self, names=self.names[chosen], events=replace(events, customer=code))

    def below(self, bound: int | None) -> Self:
        """Those with hashes below a bound; all of them where there is none."""
        return self if bound is None else self.some(self.names < np.uint64(bound))

    def known(self, at: int, codes: Ints, features: Sequence[Feature]) -> Table:
        """What was known of these customers as of an instant (microseconds): a column for each feature."""
        events = self.events.where(self.events.time < at)
        found = bulk.table(events, len(self), at)
        values: dict[str, Any] = {}
        for feature in features:
            column = found[feature.name][codes]
            if feature.value is Value.MONEY:
                column = column / 10**self.digits
            values[feature.name] = np.round(column, _DIGITS[feature.value])
        return Table.of([column_of(feature) for feature in features], values, self.names[codes])

    def refuse_looking_ahead(self, moments: Sequence[int]) -> None:
        """Shows that no feature of these customers as of an instant changes with what came after it.

        Raises LooksAheadError. Models are trained on what was known only; but what tells more in the history than it
        will when a score is due is no feature.
        """
        for at in moments:
            whole = bulk.table(self.events, len(self), at)
            known = bulk.table(self.events.where(self.events.time < at), len(self), at)
            for name in whole:
                if not np.array_equal(whole[name], known[name], equal_nan=True):
                    raise LooksAheadError(f"the feature {name} as of an instant changes with what comes after it")


@dataclass(frozen=True)
class Tally:
    """How many rows customers make as of some instants, those who make any, ascending by the hashes of their names.

    Of more than `most` rows only as many customers as show who is learned from: the first who are too many end it.
    """

    names: NDArray[np.uint64]
    rows: Ints
    most: int

    @classmethod
    def joined(cls, tallies: Iterable["Tally"], most: int) -> "Tally":
        """Of all customers, from those of each part of them."""
        found = cls(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64), most)
        for tally in tallies:
            names, rows = np.append(found.names, tally.names), np.append(found.rows, tally.rows)
            found = cls.first(names, rows, most)
        return found

    @classmethod
    def first(cls, names: NDArray[np.uint64], rows: Ints, most: int) -> "Tally":
        """Of customers in any order."""
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


def told(model: Propensity, table: Table, name: str) -> dict[str, list[Any]]:
    """The probability of each row, called `name`, with its interval and its reasons ({feature, points, text}), by the
    names of columns.
    """
    found = classifier.predict(model.classifier, table, reasons=REASONS)
    assert found.reasons is not None
    named = ((name, found.probability), (f"{name}_low", found.low), (f"{name}_high", found.high))
    return {column: np.round(values, _TOLD_DIGITS).tolist() for column, values in named} | {
        "reasons": [
            [{"feature": one.column, "points": round(one.points, _TOLD_DIGITS), "text": one.text} for one in why]
            for why in found.reasons
        ],
    }
