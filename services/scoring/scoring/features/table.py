"""The declared features of many customers at once, from columns: what training sets and files of features are made of.

Whole columns only. The meaning is that of `features.declared`; `features.row` computes the same of one customer, to the
last bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scoring.features import refunds
from scoring.features.declared import (
    CLICKED,
    FEATURES,
    KINDS,
    LONGEST,
    PROGRAMS_FOLLOW,
    PURCHASE,
    REFUND,
    SENT,
    Aggregation,
    Feature,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
T = TypeVar("T")

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Events:
    """Events of customers: parallel arrays, in any order, repeats already removed."""

    customer: Ints
    """Codes 0 to n - 1."""
    kind: NDArray[np.int8]
    """Codes of `declared.KINDS`."""
    time: Ints
    """Microseconds since 1970, UTC."""
    amount: Ints
    """Minor units of the tenant's main currency; 0 where there is none."""
    order: Ints | None = None
    """A number that stands for the order of a purchase or refund (`domain.happenings.order_of`), 0 for none. Without
    this column no refund finds its purchase."""

    def __len__(self) -> int:
        return len(self.customer)

    def where(self, chosen: Flags) -> "Events":
        """Those of the events."""
        order = None if self.order is None else self.order[chosen]
        return Events(self.customer[chosen], self.kind[chosen], self.time[chosen], self.amount[chosen], order)


def table(events: Events, customers: int, at: int) -> dict[str, Floats]:
    """One column per declared feature; row i is customer code i, as of the instant `at` (microseconds).

    Nothing at or after `at` is looked at. NaN where a feature has no value. Equal whatever the order of the events.
    """
    known = events.where((events.time < at) & (events.time >= at - _us(LONGEST)))
    view = _View(by_persons(_without_negative(known)), customers, at)
    return {feature.name: _COLUMNS[feature.aggregation](view, feature) for feature in FEATURES}


def by_persons(events: Events) -> Events:
    """Without the links that programs followed: so soon after a message to the customer (`PROGRAMS_FOLLOW`)."""
    places = np.flatnonzero((events.kind == SENT) | (events.kind == CLICKED))
    if not (events.kind[places] == SENT).any():
        return events
    # Of the same time messages before clicks: their code is lower.
    places = places[np.lexsort((events.kind[places], events.time[places], events.customer[places]))]
    sent = events.kind[places] == SENT
    last = np.maximum.accumulate(np.where(sent, np.arange(len(places)), -1))
    mine = (last >= 0) & (events.customer[places[last]] == events.customer[places])
    soon = events.time[places] - events.time[places[last]] < _us(PROGRAMS_FOLLOW)
    kept = np.ones(len(events), dtype=bool)
    kept[places[~sent & mine & soon]] = False
    return events.where(kept)


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _without_negative(events: Events) -> Events:
    """A purchase with a negative amount is a refund; of refunds only the size counts."""
    negative = (events.kind == PURCHASE) & (events.amount < 0)
    kind = np.where(negative, np.int8(REFUND), events.kind).astype(np.int8)
    return replace(events, kind=kind, amount=np.where(kind == REFUND, np.abs(events.amount), events.amount))


class _View:
    """The events of the longest window, and what several features need of them."""

    def __init__(self, events: Events, customers: int, at: int) -> None:
        self.events, self.customers, self.at = events, customers, at
        self._there = [kind for kind in KINDS if (events.kind == kind).any()]
        self._made: dict[tuple[Any, ...], Any] = {}

    def _once(self, what: str, feature: Feature, window: timedelta, make: Callable[[], T]) -> T:
        """What `make` makes of the events of a feature's kinds in a window; features that ask for the same share it."""
        key = (what, window, *(kind in feature.kinds for kind in self._there))
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    def chosen(self, feature: Feature, window: timedelta | None = None) -> Flags:
        """Which events a feature is made of."""
        span = window or feature.window

        def choose() -> Flags:
            inside = self.events.time >= self.at - _us(span)
            for kind in set(self._there).difference(feature.kinds):
                inside &= self.events.kind != kind
            return inside

        return self._once("chosen", feature, span, choose)

    def count(self, chosen: Flags) -> Floats:
        """How many of these events each customer has."""
        return np.bincount(self.events.customer[chosen], minlength=self.customers).astype(np.float64)

    def total(self, chosen: Flags, values: Ints) -> Floats:
        """The sum of these events' values by customer; exact up to 2^53."""
        found = np.bincount(self.events.customer[chosen], weights=values[chosen], minlength=self.customers)
        return found.astype(np.float64, copy=False)

    def purchases(self, feature: Feature) -> Flags:
        """The purchases of a feature's window."""
        bought: Flags = self.chosen(feature) & (self.events.kind == PURCHASE)
        return bought

    @cached_property
    def left(self) -> Ints:
        """What is left of each purchase after the refunds of its order; 0 for other events."""
        events = self.events
        paid = np.where(events.kind == PURCHASE, events.amount, 0)
        if events.order is None or REFUND not in self._there:
            return paid
        refund = events.kind == REFUND
        amount = np.where(refund, events.amount, paid)
        return refunds.left(events.customer, refund, events.time, amount, events.order)

    def days(self, feature: Feature) -> tuple[Ints, Ints]:
        """Customers and UTC days with such an event, each pair once, by customer and day."""
        return self._once("days", feature, feature.window, lambda: self._days(self.chosen(feature)))

    def _days(self, chosen: Flags) -> tuple[Ints, Ints]:
        first = (self.at - _us(LONGEST)) // DAY_US
        key = self.events.customer[chosen] * _DAYS + (self.events.time[chosen] // DAY_US - first)
        key.sort()
        # Not numpy's `unique`: its hashing takes minutes on keys like these.
        key = key[np.append(True, key[1:] != key[:-1])[: len(key)]]
        return key // _DAYS, key % _DAYS

    def gaps(self, feature: Feature) -> tuple[Floats, Floats]:
        """Days between the first and the last distinct day of each customer over the gaps, and the last gap; or NaN."""
        return self._once("gaps", feature, feature.window, lambda: self._gaps(*self.days(feature)))

    def _gaps(self, customer: Ints, day: Ints) -> tuple[Floats, Floats]:
        mean, last = self.none(), self.none()
        if len(customer) == 0:
            return mean, last
        starts = np.flatnonzero(np.append(True, customer[1:] != customer[:-1]))
        ends = np.append(starts[1:], len(customer)) - 1
        several = ends > starts
        starts, ends = starts[several], ends[several]
        mean[customer[starts]] = (day[ends] - day[starts]) / (ends - starts)
        last[customer[starts]] = day[ends] - day[ends - 1]
        return mean, last

    def since(self, feature: Feature, *, first: bool) -> Floats:
        """Days since the last or the first such event of each customer; NaN without any."""
        what = "since the first" if first else "since the last"
        return self._once(what, feature, feature.window, lambda: self._since(self.chosen(feature), first=first))

    def _since(self, chosen: Flags, *, first: bool) -> Floats:
        age = self.at - self.events.time[chosen]
        # Ages are over 0 and within the longest window.
        found = np.full(self.customers, 0 if first else _us(LONGEST) + 1, dtype=np.int64)
        (np.maximum if first else np.minimum).at(found, self.events.customer[chosen], age)
        there = np.zeros(self.customers, dtype=bool)
        there[self.events.customer[chosen]] = True
        return np.where(there, found / DAY_US, np.nan)

    def none(self) -> Floats:
        """A column without values."""
        return np.full(self.customers, np.nan)


_DAYS = LONGEST.days + 2


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    found: Floats = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return found


def _revenue(view: _View, feature: Feature) -> Floats:
    return view.total(view.purchases(feature), view.left)


def _mean_value(view: _View, feature: Feature) -> Floats:
    worth = view.purchases(feature) & (view.left > 0)
    return _ratio(view.total(worth, view.left), view.count(worth))


def _refunded_share(view: _View, feature: Feature) -> Floats:
    bought = view.purchases(feature)
    paid = view.total(bought, view.events.amount)
    return _ratio(paid - view.total(bought, view.left), paid)


def _distinct_days(view: _View, feature: Feature) -> Floats:
    return np.bincount(view.days(feature)[0], minlength=view.customers).astype(np.float64)


def _lateness(view: _View, feature: Feature) -> Floats:
    lateness: Floats = view.since(feature, first=False) / view.gaps(feature)[0]
    return lateness


def _rate_ratio(view: _View, feature: Feature) -> Floats:
    assert feature.recent is not None
    newest = view.count(view.chosen(feature, feature.recent))
    earlier = view.count(view.chosen(feature)) - newest
    return _ratio(newest / feature.recent.days, earlier / (feature.window - feature.recent).days)


def _kind_ratio(view: _View, feature: Feature) -> Floats:
    chosen = view.chosen(feature)
    above, below = (view.count(chosen & (view.events.kind == kind)) for kind in feature.kinds)
    return _ratio(above, below)


_COLUMNS: dict[Aggregation, Callable[[_View, Feature], Floats]] = {
    Aggregation.COUNT: lambda view, feature: view.count(view.chosen(feature)),
    Aggregation.REVENUE: _revenue,
    Aggregation.MEAN_VALUE: _mean_value,
    Aggregation.REFUNDED_SHARE: _refunded_share,
    Aggregation.DAYS_SINCE_LAST: lambda view, feature: view.since(feature, first=False),
    Aggregation.DAYS_SINCE_FIRST: lambda view, feature: view.since(feature, first=True),
    Aggregation.DISTINCT_DAYS: _distinct_days,
    Aggregation.MEAN_GAP: lambda view, feature: view.gaps(feature)[0],
    Aggregation.LAST_GAP: lambda view, feature: view.gaps(feature)[1],
    Aggregation.LATENESS: _lateness,
    Aggregation.RATE_RATIO: _rate_ratio,
    Aggregation.KIND_RATIO: _kind_ratio,
}
