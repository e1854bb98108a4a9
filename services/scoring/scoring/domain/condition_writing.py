"""Conditions as the text that `condition_text.parse` reads."""

import re

from scoring.domain import conditions as tree
from scoring.domain.conditions import (
    TRAIT_PREFIX,
    TRAITS,
    Condition,
    Consent,
    Events,
    InSegment,
    Not,
    Operator,
    Score,
    Trait,
    Value,
)

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def write(condition: Condition) -> str:
    """The text of a tree, with as many parentheses as make it plain to read; `parse` gives the same tree."""
    match condition:
        case tree.All(parts):
            return " AND ".join(map(_part, parts))
        case tree.Any(parts):
            return " OR ".join(map(_part, parts))
        case Not(part):
            return f"NOT ({write(part)})" if isinstance(part, Not) else f"NOT {_part(part)}"
        case Trait(name, operator, value):
            return _write_trait(name, operator, value)
        case Score(name, operator, value):
            return f"{name}{_compared(operator, value)}"
        case Consent(purpose, channel, state):
            return f"consent({_quoted(purpose)}, {channel}) = {state}"
        case InSegment(segment):
            return f"in_segment({_quoted(f'segments/{segment}')})"
        case _:
            return _write_events(condition)


def _part(condition: Condition) -> str:
    return f"({write(condition)})" if isinstance(condition, tree.All | tree.Any) else write(condition)


def _write_trait(name: str, operator: Operator, value: Value | None) -> str:
    own = name.removeprefix(TRAIT_PREFIX)
    if name not in TRAITS and not _PLAIN_NAME.fullmatch(own):
        name = f"{TRAIT_PREFIX}{_quoted(own)}"
    return f"{name}{_compared(operator, value)}"


def _write_events(events: Events) -> str:
    arguments = [_quoted(events.event)]
    if events.window:
        arguments.append(f"{events.window.length}{events.window.unit}")
    if events.source:
        arguments.append(f"source = {_quoted(events.source)}")
    if events.currency:
        arguments.append(f"currency = {_quoted(events.currency)}")
    if events.amount:
        arguments.append(f"amount {events.amount.operator} {_number_text(events.amount.value)}")
    return f"{events.measure}({', '.join(arguments)}){_compared(events.operator, events.value)}"


def _compared(operator: Operator, value: Value | None) -> str:
    if operator == ":*":
        return ":*"
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = _quoted(value) if isinstance(value, str) else _number_text(value or 0.0)
    return f":{text}" if operator == ":" else f" {operator} {text}"


def _number_text(value: float) -> str:
    whole = value == int(value) and abs(value) < 1e15
    return str(int(value)) if whole else repr(float(value))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
