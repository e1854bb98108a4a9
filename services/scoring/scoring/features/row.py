"""The declared features of one customer, from what the worker has taken in event by event: the series of its profile.

Light: no numpy. The meaning is that of `features.declared`; `features.table` computes the same in bulk.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from math import nan
from typing import NamedTuple

from scoring.domain.conditions import EVENTS_MAX
from scoring.domain.happenings import SERIES_MAX, Series
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
    kind_of,
)

DAY_US = 86_400_000_000


class Event(NamedTuple):
    """One event. time: microseconds since 1970, UTC. amount: minor units of the main currency. order: 0 for none."""

    kind: int
    time: int
    amount: int = 0
    order: int = 0


Convert = Callable[[int, str, int], int | None]
"""An amount in minor units, its currency and its time (microseconds) to minor units of the main currency; or None."""


def row(profiles: Iterable[Sequence[Series]], at: int, convert: Convert) -> dict[str, float]:
    """One value per declared feature as of the instant `at` (microseconds), at most 35 days ago.

    profiles: the series of each profile that belongs to the customer. Profiles keep a bounded number of events
    (`domain.happenings`): a feature whose window reaches back past them is NaN, as one without a value is.
    """
    events: list[Event] = []
    whole_from = dict.fromkeys(KINDS, 0)
    for series in profiles:
        for each in series:
            kind = kind_of(each["e"], has_amount=bool(each["c"]))
            if len(each["t"]) >= EVENTS_MAX:
                whole_from[kind] = max(whole_from[kind], each["t"][0] * 1000 + 1)
            events += _events(each, kind, convert)
        if len(series) >= SERIES_MAX:
            forgotten = min(each["last"] for each in series) * 1000 + 1
            whole_from = {kind: max(since, forgotten) for kind, since in whole_from.items()}
    values = row_of(events, at)
    return {feature.name: values[feature.name] if at >= told_from(feature, whole_from) else nan for feature in FEATURES}


def row_of(events: Iterable[Event], at: int) -> dict[str, float]:
    """The same of all events of a customer, in any order, repeats already removed."""
    view = _View(events, at)
    return {feature.name: _VALUES[feature.aggregation](view, feature) for feature in FEATURES}


def _events(series: Series, kind: int, convert: Convert) -> Iterable[Event]:
    orders = series.get("o") or [0] * len(series["t"])
    for time, amount, order in zip(series["t"], series["a"], orders, strict=True):
        converted = convert(amount, series["c"], time * 1000) if kind in (PURCHASE, REFUND) else 0
        if converted is not None and (converted or not _gives_back(kind, amount)):
            yield Event(kind, time * 1000, converted, order)


def _gives_back(kind: int, amount: int) -> bool:
    """Whether it is a refund of something; one that its rate makes nothing of is none."""
    return amount < 0 if kind == PURCHASE else kind == REFUND and amount != 0


def told_from(feature: Feature, whole_from: Mapping[int, int]) -> int:
    """The first instant as of which a feature can be told, where of each kind all events since then were kept.

    Of the days since the last event that holds where there was one since.
    """
    # Whether a person followed a link depends on when the message came.
    kinds = {*feature.kinds, SENT} if CLICKED in feature.kinds else feature.kinds
    since = max(whole_from[kind] for kind in kinds)
    if feature.aggregation is Aggregation.DAYS_SINCE_LAST:
        return since
    # What is left of a purchase depends on older ones of its order.
    return since + _us(LONGEST if feature.kinds == (PURCHASE, REFUND) else feature.window)


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


class _View:
    """The events of the longest window, oldest first, and what is left of the purchases."""

    def __init__(self, events: Iterable[Event], at: int) -> None:
        self.at = at
        known = [_positive(event) for event in events if at - _us(LONGEST) <= event.time < at]
        known = _by_persons(sorted(known, key=lambda event: (event.time, event.amount, event.kind)))
        self._by_kinds = {kinds: [e for e in known if e.kind in kinds] for kinds in _KINDS_ASKED}
        self._left = left(known)

    def times(self, feature: Feature, window: timedelta | None = None) -> list[int]:
        """Times of the events a feature is made of, ascending."""
        found = [event.time for event in self._by_kinds[feature.kinds]]
        return found[bisect_left(found, self.at - _us(window or feature.window)) :]

    def of_kind(self, feature: Feature, kind: int) -> int:
        """How many of the events a feature is made of are of one of its kinds."""
        begin = self.at - _us(feature.window)
        return sum(event.kind == kind and event.time >= begin for event in self._by_kinds[feature.kinds])

    def days(self, feature: Feature) -> list[int]:
        """The UTC days with such an event, ascending."""
        return list(dict.fromkeys(time // DAY_US for time in self.times(feature)))

    def purchases(self, feature: Feature) -> list[tuple[int, int]]:
        """Of each purchase of a feature's window what was paid and what is left."""
        begin = self.at - _us(feature.window)
        return [(paid, rest) for time, paid, rest in self._left if time >= begin]


_KINDS_ASKED = {feature.kinds for feature in FEATURES}


def _positive(event: Event) -> Event:
    if event.kind == PURCHASE and event.amount < 0:
        return event._replace(kind=REFUND, amount=-event.amount)
    return event._replace(amount=abs(event.amount)) if event.kind == REFUND else event


def _by_persons(events: Iterable[Event]) -> list[Event]:
    """Without the links that programs followed. events: oldest first, of the same time messages before clicks."""
    found, sent = [], -_us(LONGEST)
    for event in events:
        if event.kind == SENT:
            sent = event.time
        if event.kind != CLICKED or event.time - sent >= _us(PROGRAMS_FOLLOW):
            found.append(event)
    return found


def left(events: Iterable[Event]) -> list[tuple[int, int, int]]:
    """Time of each purchase, what was paid and what is left of it after the refunds of its order (`features.refunds`).

    events: oldest first, amounts not below 0.
    """
    refunded: dict[int, int] = defaultdict(int)
    bought = []
    for event in events:
        if event.kind == REFUND and event.order:
            refunded[event.order] += event.amount
        elif event.kind == PURCHASE:
            bought.append(event)
    found = []
    for event in bought:
        back = min(event.amount, refunded[event.order]) if event.order else 0
        refunded[event.order] -= back
        found.append((event.time, event.amount, event.amount - back))
    return found


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else nan


def _mean_value(view: _View, feature: Feature) -> float:
    worth = [rest for _, rest in view.purchases(feature) if rest > 0]
    return _ratio(sum(worth), len(worth))


def _refunded_share(view: _View, feature: Feature) -> float:
    paid = sum(paid for paid, _ in view.purchases(feature))
    return _ratio(paid - sum(rest for _, rest in view.purchases(feature)), paid)


def _since_last(view: _View, feature: Feature) -> float:
    times = view.times(feature)
    return (view.at - times[-1]) / DAY_US if times else nan


def _since_first(view: _View, feature: Feature) -> float:
    times = view.times(feature)
    return (view.at - times[0]) / DAY_US if times else nan


def _gaps(view: _View, feature: Feature) -> list[int]:
    return [after - before for before, after in pairwise(view.days(feature))]


def _mean_gap(view: _View, feature: Feature) -> float:
    gaps = _gaps(view, feature)
    return _ratio(sum(gaps), len(gaps))


def _last_gap(view: _View, feature: Feature) -> float:
    gaps = _gaps(view, feature)
    return float(gaps[-1]) if gaps else nan


def _rate_ratio(view: _View, feature: Feature) -> float:
    assert feature.recent is not None
    newest = len(view.times(feature, feature.recent))
    earlier = len(view.times(feature)) - newest
    return _ratio(newest / feature.recent.days, earlier / (feature.window - feature.recent).days)


def _kind_ratio(view: _View, feature: Feature) -> float:
    above, below = (view.of_kind(feature, kind) for kind in feature.kinds)
    return _ratio(above, below)


_VALUES: dict[Aggregation, Callable[[_View, Feature], float]] = {
    Aggregation.COUNT: lambda view, feature: float(len(view.times(feature))),
    Aggregation.REVENUE: lambda view, feature: float(sum(rest for _, rest in view.purchases(feature))),
    Aggregation.MEAN_VALUE: _mean_value,
    Aggregation.REFUNDED_SHARE: _refunded_share,
    Aggregation.DAYS_SINCE_LAST: _since_last,
    Aggregation.DAYS_SINCE_FIRST: _since_first,
    Aggregation.DISTINCT_DAYS: lambda view, feature: float(len(view.days(feature))),
    Aggregation.MEAN_GAP: _mean_gap,
    Aggregation.LAST_GAP: _last_gap,
    Aggregation.LATENESS: lambda view, feature: _since_last(view, feature) / _mean_gap(view, feature),
    Aggregation.RATE_RATIO: _rate_ratio,
    Aggregation.KIND_RATIO: _kind_ratio,
}
