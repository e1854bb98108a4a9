"""What is wrong with a condition, and what to do about it."""

import math
from dataclasses import fields

from scoring.domain.conditions import (
    CHANNELS,
    COMPARISONS,
    CONSENT_STATES,
    EVENTS_MAX,
    MEASURES,
    ORDERS,
    SCORES,
    TEXT_MAX,
    TRAIT_PREFIX,
    TRAITS,
    USAGE,
    USAGE_STATES,
    WINDOW_DAYS_MAX,
    Consent,
    Events,
    Score,
    Single,
    Trait,
    Value,
)

Problem = tuple[str, str]
"""The part of a condition that is wrong, by the name of its attribute, and what to do about it."""


def problem_of(single: Single) -> Problem | None:
    """What is wrong with a single condition, None when nothing is."""
    for field in fields(single):
        text = getattr(single, field.name)
        if isinstance(text, str) and "\0" in text:
            return field.name, "holds a stray character"
    match single:
        case Trait():
            return _trait_problem(single)
        case Score():
            return _score_problem(single)
        case Events():
            return _events_problem(single)
        case Consent():
            return _consent_problem(single)
        case _:
            return None if single.segment else ("segment", "name a segment, such as segments/regulars")


def _trait_problem(trait: Trait) -> Problem | None:
    if trait.name not in TRAITS and not trait.name.removeprefix(TRAIT_PREFIX):
        return "name", "name the trait, such as traits.plan"
    if trait.name not in TRAITS and not trait.name.startswith(TRAIT_PREFIX):
        return "name", f"{trait.name} is nothing to ask for; {_what_there_is()}"
    if len(trait.name) > TEXT_MAX:
        return "name", f"is longer than {TEXT_MAX} characters"
    if trait.operator == ":*":
        return None
    kind = TRAITS.get(trait.name)
    if kind is not None and trait.operator == ":":
        return "operator", f"{trait.name} is no list; ask with {trait.name} = value, or {trait.name}:* for any value"
    if kind is not None and not isinstance(trait.value, kind):
        return "value", "expected true or false" if kind is bool else "expected a text"
    if trait.operator in ORDERS and not _is_number(trait.value):
        return "operator", "only numbers have an order; texts, true and false take = and !="
    return _value_problem(trait.value)


def _score_problem(score: Score) -> Problem | None:
    kind = SCORES.get(score.name)
    if kind is None:
        return "name", f"{score.name} is nothing to ask for; {_what_there_is()}"
    if score.operator == ":*":
        return None
    if score.operator == ":":
        return "operator", f"{score.name} is no list; ask with {score.name} = value, or {score.name}:* for any value"
    if kind == "string":
        if score.operator in ORDERS:
            return "operator", f"{score.name} has no order; it takes = and !="
        if not isinstance(score.value, str):
            return "value", "expected a text"
        if score.name == USAGE and score.value not in USAGE_STATES:
            return "value", f"expected one of {', '.join(USAGE_STATES)}"
        return ("value", f"{score.name} takes no *") if score.value.endswith("*") else _value_problem(score.value)
    if not _is_number(score.value):
        return "value", "expected a whole number" if kind == "int" else "expected a number"
    if kind == "int" and score.value % 1:  # type: ignore[operator] # a number, as was just seen
        return "value", "expected a whole number"
    return _value_problem(score.value)


def _events_problem(events: Events) -> Problem | None:
    if not events.event.strip() or len(events.event) > TEXT_MAX:
        return "event", f"name the event with 1 to {TEXT_MAX} characters"
    if len(events.source) > TEXT_MAX:
        return "source", f"is longer than {TEXT_MAX} characters"
    if events.operator not in COMPARISONS:
        return "operator", f"compare {events.measure} with =, !=, <, <=, > or >="
    if events.window is not None:
        longest = WINDOW_DAYS_MAX if events.window.unit == "d" else WINDOW_DAYS_MAX * 24
        if not 1 <= events.window.length <= longest:
            return "window", f"1 to {longest} {'days' if events.window.unit == 'd' else 'hours'}"
    if events.measure == "sum" and not events.currency:
        return "currency", 'amounts are summed in one currency; add currency = "EUR", say'
    if (problem := _amount_problem(events)) or (problem := _measured_problem(events)):
        return problem
    return _value_problem(events.value)


def _amount_problem(events: Events) -> Problem | None:
    if events.amount is None:
        return None
    if not events.currency:
        return "currency", 'an amount has a currency; add currency = "EUR", say'
    if events.window is None:
        return "window", "amounts are compared within a window; add one, such as 90d"
    if events.amount.operator not in COMPARISONS:
        return "amount", "compare it with =, !=, <, <=, > or >="
    return None if math.isfinite(events.amount.value) else ("amount", "expected a number")


def _measured_problem(events: Events) -> Problem | None:
    if not _is_number(events.value):
        return "value", "expected a number"
    if events.measure.endswith("_since_last"):
        if events.window is not None:
            return "window", f"{events.measure} takes no window"
        if events.operator not in ORDERS:
            return "operator", f"{events.measure} never hits a point of time exactly; ask with <, <=, > or >="
        longest = WINDOW_DAYS_MAX if events.measure.startswith("days") else WINDOW_DAYS_MAX * 24
        return None if 0 <= events.value <= longest else ("value", f"0 to {longest}")
    if events.measure == "count":
        if events.value % 1 or events.value < 0:
            return "value", "expected a whole number, 0 or more"
        if events.window is not None and events.value > EVENTS_MAX:
            return "value", f"up to {EVENTS_MAX} events are counted in a window; ask for fewer, or leave out the window"
    return None


def _consent_problem(consent: Consent) -> Problem | None:
    kind, _, uid = consent.purpose.partition("/")
    if kind != "purposes" or not uid or "/" in uid or len(uid) > TEXT_MAX:
        return "purpose", "name a purpose, such as purposes/news"
    if consent.channel not in CHANNELS:
        return "channel", f"expected one of {', '.join(CHANNELS)}"
    return None if consent.state in CONSENT_STATES else ("state", f"expected one of {', '.join(CONSENT_STATES)}")


def _value_problem(value: Value | None) -> Problem | None:
    if value is None:
        return "value", "expected a value"
    if isinstance(value, str):
        return ("value", f"is longer than {TEXT_MAX} characters") if len(value) > TEXT_MAX else None
    return None if math.isfinite(value) else ("value", "expected a number")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _what_there_is() -> str:
    """What may be asked for, for refusals."""
    functions = ", ".join(f"{name}(...)" for name in (*MEASURES, "consent", "in_segment"))
    return f"there are {', '.join(sorted([*SCORES, *TRAITS]))}, traits.<name>, {functions}"
