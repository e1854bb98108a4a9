"""Who is in which segment by a plain reading of the rules (README, Segments), from all that was ever told.

It shares no code with what evaluates conditions: everything is looked at in full, at each instant anew.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from docstore import Row
from scoring.domain import conditions as tree
from scoring.domain.conditions import Condition, Consent, Events, InSegment, Not, Score, Trait
from scoring.usecases.settling import milliseconds

HOUR = 3_600_000
DAY = 24 * HOUR
START = milliseconds(datetime(2026, 3, 1, 12, tzinfo=UTC))
NAMES = ("customers/a", "customers/b", "customers/c")
DIGITS = {"EUR": 2, "JPY": 0, "": 0}


@dataclass
class World:
    """All that was ever told, and who belongs where by it."""

    asked: dict[str, Condition]
    now: int = START
    events: dict[int, Row] = field(default_factory=dict)
    traits: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    statements: dict[str, Row] = field(default_factory=dict)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    canonical: dict[str, str] = field(default_factory=lambda: {name: name for name in NAMES})
    objecting: set[str] = field(default_factory=set)

    def members(self, name: str) -> list[str]:
        """The one that stands for a profile first."""
        return sorted((each for each in NAMES if self.canonical[each] == name), key=lambda each: (each != name, each))

    def inside(self, name: str, now: int) -> set[str]:
        """The segments a customer is in at an instant."""
        if self.canonical[name] != name or name in self.deleted or self.objecting.intersection(self.members(name)):
            return set()
        return {uid for uid, condition in self.asked.items() if self._met(condition, name, now) is True}

    def _met(self, asked: Condition, name: str, now: int) -> bool | None:
        """None: neither met nor not."""
        match asked:
            case tree.All(parts):
                found = [self._met(part, name, now) for part in parts]
                return False if False in found else None if None in found else True
            case tree.Any(parts):
                found = [self._met(part, name, now) for part in parts]
                return True if True in found else None if None in found else False
            case Not(part):
                return {True: False, False: True, None: None}[self._met(part, name, now)]
            case InSegment(uid):
                return uid in self.asked and self._met(self.asked[uid], name, now) is True
            case Trait():
                return _trait_met(asked, self.traits.get(name, {}).get(asked.name))
            case Score():
                return _score_met(asked, self.scores.get(name))
            case Consent():
                return self._consent(asked, name) == asked.state
        return self._events_met(asked, name, now)

    def _consent(self, asked: Consent, name: str) -> str:
        """The most restrictive statement of all members, but for those that a standing grant answers."""
        said = [each for each in self.statements.values() if each["customer"] in self.members(name)]
        answered = {record for each in said if each["state"] == "GRANTED" for record in each["answered"]}
        about = {"purpose": asked.purpose, "channel": asked.channel}
        states = {each["state"] for each in said if about.items() <= each.items() and each["record"] not in answered}
        return next((state for state in ("REFUSED", "NONE", "GRANTED") if state in states), "NONE")

    def _events_met(self, asked: Events, name: str, now: int) -> bool:
        members = self.members(name)
        happened = [
            each
            for each in self.events.values()
            if each["c"] in members
            and each["e"] == asked.event
            and each["t"] <= now
            and asked.source in ("", each["s"])
            and asked.currency in ("", each["y"])
        ]
        if asked.measure.endswith("_since_last"):
            unit = DAY if asked.measure.startswith("days") else HOUR
            since = [now - each["t"] for each in happened]
            return bool(since) and _holds(Decimal(min(since)), asked.operator, Decimal(str(asked.value)) * unit)
        if asked.window:
            happened = [each for each in happened if each["t"] > now - asked.window.milliseconds]
        scale = Decimal(10) ** DIGITS[asked.currency]
        if asked.amount:
            bound = Decimal(str(asked.amount.value)) * scale
            happened = [each for each in happened if _holds(Decimal(each["a"]), asked.amount.operator, bound)]
        if asked.measure == "count":
            return _holds(Decimal(len(happened)), asked.operator, Decimal(asked.value))
        total = Decimal(sum(each["a"] for each in happened))
        return _holds(total, asked.operator, Decimal(str(asked.value)) * scale)


def _holds(found: Any, operator: str, value: Any) -> bool:
    below, equal = found < value, found == value
    return {
        "=": equal,
        "!=": not equal,
        "<": below,
        "<=": below or equal,
        ">": not (below or equal),
        ">=": not below,
    }[operator]


def _trait_met(asked: Trait, found: Any) -> bool:
    wanted = asked.value
    match asked.operator:
        case ":*":
            return found is not None
        case ":":
            return isinstance(found, list) and any(_kind(each) == _kind(wanted) and each == wanted for each in found)
        case "!=":
            return _kind(found) != _kind(wanted) or found != wanted
    return _kind(found) == _kind(wanted) and _holds(found, asked.operator, wanted)


def _kind(value: Any) -> str:
    """Texts, numbers, true and false never equal one another."""
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _score_met(asked: Score, scores: dict[str, Any] | None) -> bool | None:
    found = (scores or {}).get(asked.name)
    if asked.operator == ":*":
        return found is not None
    if scores is None or found is None:
        return None
    if isinstance(found, str):
        return (found == asked.value) is (asked.operator == "=")
    scale = 10 ** DIGITS[scores["currency"]] if asked.name in ("lifetime_value", "revenue") else 1
    return _holds(Decimal(str(found)), asked.operator, Decimal(str(asked.value)) * scale)
