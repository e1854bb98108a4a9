"""Features of a customer as somebody thinks of them: what may be given, what follows from it, and what cannot be."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scoring.domain import churn_rules, response_rules
from scoring.features.declared import Aggregation, Feature, Value

NUMBERS_MOST = 1e12
_YEAR = 365
_WINDOWS = (30, 90, 180, _YEAR)
"""Of purchases and revenue, in days."""
_CLICKS = 90
"""The window of messages and followed links, in days."""
_OPTIONAL = {Aggregation.MEAN_VALUE, Aggregation.MEAN_GAP, Aggregation.LAST_GAP}
_SINCE = {Aggregation.DAYS_SINCE_LAST, Aggregation.DAYS_SINCE_FIRST}
_CENT, _TENTH = 0.011, 0.051
"""Features are rounded: amounts to cents, days to tenths."""

Problem = tuple[str, str]
"""A field of the request, and what to do about it."""
_Told = Callable[..., None]
"""Notes a text, at the first of the named features that was given, unless something holds."""


def _rate_ratio(recent: float, whole: float, days: int, of: int) -> float:
    return _ratio(recent / days, (whole - recent) / (of - days))


def _ratio(above: float, below: float) -> float:
    return round(above / below, 2) if below > 0 else math.nan


_FOLLOWING: dict[str, tuple[tuple[str, str], Callable[[float, float], float]]] = {
    "purchase_lateness": (("days_since_last_purchase", "mean_purchase_gap"), _ratio),
    "purchase_rate_ratio": (("purchases_90d", "purchases_365d"), lambda few, many: _rate_ratio(few, many, 90, _YEAR)),
    "activity_rate_ratio": (("events_30d", "events_90d"), lambda few, many: _rate_ratio(few, many, 30, 90)),
    "clicks_per_message_90d": (("message_clicks_90d", "messages_sent_90d"), _ratio),
}
"""Features that follow from two others, from which, and how."""


@dataclass(frozen=True)
class Rules:
    """What holds for the features that one kind of model looks at.

    kind, told: what people call the models, and what everybody has whom they tell about. buyers: everybody of these
    bought something within a year.
    """

    kind: str
    told: str
    features: Mapping[str, Feature]
    buyers: bool

    def problems_of(self, given: Mapping[str, float]) -> list[Problem]:
        """What is wrong with each of some features by itself."""
        found = []
        # Once: a refusal has room for a few texts of that length.
        instead = f": give {', '.join(self.features)}"
        for name in sorted(given):
            if feature := self.features.get(name):
                problem = self._problem(feature, given[name])
            else:
                problem, instead = f"No feature of {self.kind}{instead}.", ""
            if problem:
                found.append((field_of(name), problem))
        return found

    def _problem(self, feature: Feature, value: float) -> str:
        if math.isnan(value):
            return "" if self._may_be_none(feature) else f"A number: every customer with {self.told} has it."
        days = feature.window.days
        match feature.value:
            case Value.COUNT if feature.aggregation is Aggregation.DISTINCT_DAYS:
                # Windows do not begin with a day of UTC.
                return "" if value % 1 == 0 and 0 <= value <= days + 1 else f"A whole number, 0 to {days + 1}."
            case Value.COUNT:
                return "" if value % 1 == 0 and 0 <= value <= 1e6 else "A whole number, 0 to 1,000,000."
            case Value.DAYS:
                return "" if 0 <= value <= days else f"0 to {days} days."
        return "" if 0 <= value <= NUMBERS_MOST else f"0 to {NUMBERS_MOST:,.0f}."

    def _may_be_none(self, feature: Feature) -> bool:
        optional = _OPTIONAL if self.buyers else _OPTIONAL | _SINCE
        return feature.aggregation in optional or feature.name in _FOLLOWING

    def missing(self, given: Mapping[str, float]) -> list[Problem]:
        """What must be given of somebody of whom nothing is known."""
        return [
            (field_of(name), f"Needed without customer_scores. {feature.documentation}")
            for name, feature in self.features.items()
            if name not in given and not self._may_be_none(feature)
        ]

    def completed(self, known: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
        """All features: those given, the others as they are known, or none; but for what follows from those given."""
        found = {name: given.get(name, known.get(name, math.nan)) for name in self.features}
        for name, (sources, follows) in _FOLLOWING.items():
            if name in found and name not in given and not given.keys().isdisjoint(sources):
                found[name] = follows(*(found[source] for source in sources))
        return found

    def contradictions(self, found: Mapping[str, float], given: Mapping[str, float]) -> list[Problem]:
        """What cannot be of all features together, at fields that were given where there are such."""
        problems: list[Problem] = []

        def told(holds: bool, text: str, *names: str) -> None:
            if not holds:
                problems.append((field_of(next((name for name in names if name in given), names[0])), text))

        if self.buyers:
            text = f"purchases_365d is 1 or more: who bought nothing in {_YEAR} days has left."
            told(found["purchases_365d"] >= 1, text, "purchases_365d")
        else:
            _whether_bought(found, told)
        _purchases(found, told)
        if "events_90d" in found:
            _activity(found, told)
        return problems


def _whether_bought(found: Mapping[str, float], told: _Told) -> None:
    bought = found["purchases_365d"] > 0
    for since in ("days_since_last_purchase", "days_since_first_purchase"):
        text = f"{since} is none where purchases_365d is 0, and only there."
        told(bought != math.isnan(found[since]), text, since, "purchases_365d")
    # What is left of purchases that were refunded in full has no mean either.
    text, mean = "mean_order_value_365d is none where purchases_365d is 0.", "mean_order_value_365d"
    told(bought or math.isnan(found[mean]), text, mean, "purchases_365d")


def _purchases(found: Mapping[str, float], told: _Told) -> None:
    last, first = found["days_since_last_purchase"], found["days_since_first_purchase"]
    days, bought = found["purchase_days_365d"], found["purchases_365d"]
    for what in ("purchases", "revenue"):
        _grows(what, _WINDOWS, found, told)
    for window in _WINDOWS:
        count, revenue = f"purchases_{window}d", f"revenue_{window}d"
        told(found[count] > 0 or found[revenue] == 0, f"{revenue} is 0 where {count} is 0.", revenue, count)
        _since(count, window, "purchase", found, told)
    text = f"days_since_last_purchase is at most what days_since_first_purchase is, {first:g}."
    told(not last > first + _TENTH, text, "days_since_last_purchase", "days_since_first_purchase")
    text = f"purchase_days_365d is {min(bought, 1):g} to what purchases_365d is, {bought:g}."
    told(min(bought, 1) <= days <= bought, text, "purchase_days_365d", "purchases_365d")
    for gap in ("mean_purchase_gap", "last_purchase_gap"):
        text = f"{gap} is none where purchase_days_365d is below 2, and only there."
        told((days < 2) == math.isnan(found[gap]), text, gap, "purchase_days_365d")


def _activity(found: Mapping[str, float], told: _Told) -> None:
    for what in ("events", "active_days"):
        _grows(what, (30, 90), found, told)
    for window in (30, 90):
        events, days = f"events_{window}d", f"active_days_{window}d"
        least = min(found[events], 1)
        text = f"{days} is {least:g} to what {events} is, {found[events]:g}."
        told(least <= found[days] <= found[events], text, days, events)
    bought, followed = found["purchases_90d"], found["message_clicks_90d"]
    text = f"events_90d counts purchases and followed links, too: it is {bought + followed:g} or more."
    told(found["events_90d"] >= bought + followed, text, "events_90d", "message_clicks_90d", "purchases_90d")
    text = f"events_30d counts purchases, too: it is {found['purchases_30d']:g} or more."
    told(found["events_30d"] >= found["purchases_30d"], text, "events_30d", "purchases_30d")
    text = "message_clicks_90d is 0 where days_since_last_click is none."
    none = math.isnan(found["days_since_last_click"])
    told(not none or followed == 0, text, "message_clicks_90d", "days_since_last_click")
    _since("message_clicks_90d", _CLICKS, "click", found, told)


def _grows(what: str, windows: tuple[int, ...], found: Mapping[str, float], told: _Told) -> None:
    """A longer window has no less in it."""
    for short, long in itertools.pairwise(windows):
        few, many = f"{what}_{short}d", f"{what}_{long}d"
        text = f"{few} is at most what {many} is, {found[many]:g}."
        told(found[few] <= found[many] + _CENT, text, few, many)


def _since(count: str, window: int, what: str, found: Mapping[str, float], told: _Told) -> None:
    """A window has something in it exactly where the last time is within it."""
    since = f"days_since_last_{what}"
    last = found[since]
    if last > window + _TENTH:
        text = f"{count} is 0, as the last {what} was {last:g} days ago."
        told(found[count] == 0, text, count, since)
    elif last < window - _TENTH:
        text = f"{count} is 1 or more, as the last {what} was {last:g} days ago."
        told(found[count] > 0, text, count, since)


def field_of(name: str) -> str:
    """Where a feature stands in the request."""
    return f"features.{name}"


CHURN = Rules("churn", "a risk of leaving", {each.name: each for each in churn_rules.LOOKED_AT}, buyers=True)
RESPONSE = Rules(
    "response", "a probability of a response", {each.name: each for each in response_rules.LOOKED_AT}, buyers=False
)
