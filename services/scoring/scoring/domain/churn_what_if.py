"""Features of a customer as somebody thinks of them: what may be given, what follows from it, and what cannot be."""

import itertools
import math
from collections.abc import Mapping

from scoring.domain.churn_rules import ACTIVE_WITHIN, LOOKED_AT
from scoring.features.declared import Aggregation, Feature, Value

FEATURES: dict[str, Feature] = {feature.name: feature for feature in LOOKED_AT}
NUMBERS_MOST = 1e12
_YEAR = ACTIVE_WITHIN.days
_WINDOWS = (30, 90, 180, _YEAR)
_OPTIONAL = {Aggregation.MEAN_VALUE, Aggregation.MEAN_GAP, Aggregation.LAST_GAP}
_FOLLOWING = {
    "purchase_lateness": ("days_since_last_purchase", "mean_purchase_gap"),
    "purchase_rate_ratio": ("purchases_90d", "purchases_365d"),
}
"""Features that follow from others, and from which."""
_CENT, _TENTH = 0.011, 0.051
"""Features are rounded: amounts to cents, days to tenths."""

Problem = tuple[str, str]
"""A field of the request, and what to do about it."""


def field_of(name: str) -> str:
    """Where a feature stands in the request."""
    return f"features.{name}"


def problems_of(given: Mapping[str, float]) -> list[Problem]:
    """What is wrong with each of some features by itself."""
    found = []
    for name in sorted(given):
        feature = FEATURES.get(name)
        problem = _problem(feature, given[name]) if feature else f"No feature of churn: give {', '.join(FEATURES)}."
        if problem:
            found.append((field_of(name), problem))
    return found


def _problem(feature: Feature, value: float) -> str:
    if math.isnan(value):
        return "" if _may_be_none(feature) else "A number: every customer with a risk of leaving has it."
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


def _may_be_none(feature: Feature) -> bool:
    return feature.aggregation in _OPTIONAL or feature.name in _FOLLOWING


def missing(given: Mapping[str, float]) -> list[Problem]:
    """What must be given of somebody of whom nothing is known."""
    return [
        (field_of(name), f"Needed without customer_scores. {feature.documentation}")
        for name, feature in FEATURES.items()
        if name not in given and not _may_be_none(feature)
    ]


def completed(known: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
    """All features: those given, the others as they are known, or none; but for what follows from those given."""
    found = {name: given.get(name, known.get(name, math.nan)) for name in FEATURES}
    for name, sources in _FOLLOWING.items():
        if name not in given and not given.keys().isdisjoint(sources):
            found[name] = _followed(name, found)
    return found


def _followed(name: str, found: Mapping[str, float]) -> float:
    if name == "purchase_lateness":
        above, below = found["days_since_last_purchase"], found["mean_purchase_gap"]
    else:
        recent = found["purchases_90d"]
        above, below = recent / 90, (found["purchases_365d"] - recent) / (_YEAR - 90)
    return round(above / below, 2) if below > 0 else math.nan


def contradictions(found: Mapping[str, float], given: Mapping[str, float]) -> list[Problem]:
    """What cannot be of all features together, at fields that were given where there are such."""
    problems: list[Problem] = []

    def told(holds: bool, text: str, *names: str) -> None:
        if not holds:
            problems.append((field_of(next((name for name in names if name in given), names[0])), text))

    last, first = found["days_since_last_purchase"], found["days_since_first_purchase"]
    days, bought = found["purchase_days_365d"], found["purchases_365d"]
    told(bought >= 1, f"purchases_365d is 1 or more: who bought nothing in {_YEAR} days has left.", "purchases_365d")
    for what in ("purchases", "revenue"):
        for short, long in itertools.pairwise(_WINDOWS):
            few, many = f"{what}_{short}d", f"{what}_{long}d"
            text = f"{few} is at most what {many} is, {found[many]:g}."
            told(found[few] <= found[many] + _CENT, text, few, many)
    for window in _WINDOWS:
        count, revenue = f"purchases_{window}d", f"revenue_{window}d"
        told(found[count] > 0 or found[revenue] == 0, f"{revenue} is 0 where {count} is 0.", revenue, count)
        if last > window + _TENTH:
            text = f"{count} is 0, as the last purchase was {last:g} days ago."
            told(found[count] == 0, text, count, "days_since_last_purchase")
        elif last < window - _TENTH:
            text = f"{count} is 1 or more, as the last purchase was {last:g} days ago."
            told(found[count] > 0, text, count, "days_since_last_purchase")
    text = f"days_since_last_purchase is at most what days_since_first_purchase is, {first:g}."
    told(last <= first + _TENTH, text, "days_since_last_purchase", "days_since_first_purchase")
    text = f"purchase_days_365d is 1 to what purchases_365d is, {bought:g}."
    told(1 <= days <= max(bought, 1), text, "purchase_days_365d", "purchases_365d")
    for gap in ("mean_purchase_gap", "last_purchase_gap"):
        text = f"{gap} is none where purchase_days_365d is 1, and only there."
        told((days == 1) == math.isnan(found[gap]), text, gap, "purchase_days_365d")
    return problems
