"""Conditions of segments as messages: to the tree and back. A refusal names the part of the message that is wrong."""

from collections.abc import Callable
from typing import Any, cast

from rapport.consent.v1 import purpose_pb2
from rapport.scoring.v1 import condition_pb2 as pb

from chassis import inputs as fields
from scoring.domain import conditions as tree
from scoring.domain.condition_problems import problem_of
from scoring.domain.conditions import (
    CONDITIONS_MAX,
    DEPTH_MAX,
    Amount,
    Condition,
    Consent,
    Events,
    InSegment,
    Measure,
    Not,
    Operator,
    Score,
    Trait,
    Value,
    Window,
)

INVALID_CONDITION = "INVALID_CONDITION"

_OPERATORS: dict[Any, Operator] = {
    pb.OPERATOR_EQUAL: "=",
    pb.OPERATOR_NOT_EQUAL: "!=",
    pb.OPERATOR_LESS: "<",
    pb.OPERATOR_LESS_OR_EQUAL: "<=",
    pb.OPERATOR_GREATER: ">",
    pb.OPERATOR_GREATER_OR_EQUAL: ">=",
    pb.OPERATOR_HAS: ":",
    pb.OPERATOR_PRESENT: ":*",
}
_NUMBERS = {operator: number for number, operator in _OPERATORS.items()}


def to_tree(message: pb.Condition, field: str) -> Condition:
    """The tree of a message. Raises InvalidArgument INVALID_CONDITION, naming what is wrong within `field`."""
    reader = _Reader()
    return reader.read(message, field, 1)


class _Reader:
    def __init__(self) -> None:
        self._count = 0

    def read(self, message: pb.Condition, field: str, depth: int) -> Condition:
        """One condition with all below it."""
        if depth > DEPTH_MAX:
            raise fields.refusal(INVALID_CONDITION, field, f"Nested deeper than {DEPTH_MAX} levels.")
        kind = message.WhichOneof("kind")
        place = f"{field}.{kind}"
        match kind:
            case None:
                raise fields.refusal(INVALID_CONDITION, field, "Empty: set what is asked.")
            case "all" | "any":
                below = getattr(message, kind).conditions
                if not below:
                    raise fields.refusal(INVALID_CONDITION, f"{place}.conditions", "Empty: give at least one.")
                parts = tuple(
                    self.read(part, f"{place}.conditions[{number}]", depth + 1) for number, part in enumerate(below)
                )
                return parts[0] if len(parts) == 1 else (tree.All if kind == "all" else tree.Any)(parts)
            case "negation":
                return Not(self.read(message.negation, place, depth + 1))
        self._count += 1
        if self._count > CONDITIONS_MAX:
            raise fields.refusal(INVALID_CONDITION, field, f"More than {CONDITIONS_MAX} conditions.")
        single = _SINGLES[kind](getattr(message, kind), place)
        if problem := problem_of(single):
            part, text = problem
            raise fields.refusal(INVALID_CONDITION, _field_of(place, part, single), f"{text[0].upper()}{text[1:]}.")
        return single


def _trait(message: pb.TraitCondition, place: str) -> Trait:
    operator, value = _compared(message, place)
    return Trait(message.trait, operator, value)


def _score(message: pb.ScoreCondition, place: str) -> Score:
    operator, value = _compared(message, place)
    return Score(message.score, operator, value)


def _compared(message: pb.TraitCondition | pb.ScoreCondition, place: str) -> tuple[Operator, Value | None]:
    operator = _operator(message.operator, f"{place}.operator")
    kind = message.value.WhichOneof("kind")
    value: Value | None = getattr(message.value, kind) if kind else None
    if operator == ":*" and value is not None:
        raise fields.refusal(INVALID_CONDITION, f"{place}.value", "OPERATOR_PRESENT takes no value; leave it out.")
    return operator, value + 0.0 if kind == "number" else value  # type: ignore[operator] # no negative zero


def _events(message: pb.EventCondition, place: str) -> Events:
    if message.window_days and message.window_hours:
        problem = "Set window_days or window_hours, not both."
        raise fields.refusal(INVALID_CONDITION, f"{place}.window_hours", problem)
    window = None
    if message.window_days:
        window = Window(message.window_days, "d")
    elif message.window_hours:
        window = Window(message.window_hours, "h")
    if not message.measure:
        raise fields.refusal(INVALID_CONDITION, f"{place}.measure", "Unset: say what is measured.")
    amount = None
    if message.HasField("amount"):
        operator = _operator(message.amount.operator, f"{place}.amount.operator")
        amount = Amount(operator, message.amount.value + 0.0)
    return Events(
        cast(Measure, pb.EventCondition.Measure.Name(message.measure).removeprefix("MEASURE_").lower()),
        message.event,
        _operator(message.operator, f"{place}.operator"),
        message.value + 0.0,
        window,
        message.source,
        message.currency_code,
        amount,
    )


def _consent(message: pb.ConsentCondition, _: str) -> Consent:
    channel = purpose_pb2.Channel.Name(message.channel).removeprefix("CHANNEL_")
    state = pb.ConsentCondition.State.Name(message.state).removeprefix("STATE_")
    return Consent(message.purpose, channel, state)


def _segment(message: pb.SegmentCondition, place: str) -> InSegment:
    collection, _, uid = message.segment.partition("/")
    if collection != "segments" or not uid:
        problem = "Name a segment, such as segments/regulars."
        raise fields.refusal(INVALID_CONDITION, f"{place}.segment", problem)
    return InSegment(uid)


_SINGLES: dict[str, Callable[[Any, str], tree.Single]] = {
    "trait": _trait,
    "event": _events,
    "score": _score,
    "consent": _consent,
    "segment": _segment,
}
_FIELDS = {
    (Trait, "name"): "trait",
    (Score, "name"): "score",
    (Events, "currency"): "currency_code",
}


def _field_of(place: str, part: str, single: tree.Single) -> str:
    if part == "window" and isinstance(single, Events):
        part = "window_hours" if single.window and single.window.unit == "h" else "window_days"
    return f"{place}.{_FIELDS.get((type(single), part), part)}"


def _operator(number: pb.Operator, field: str) -> Operator:
    if number not in _OPERATORS:
        raise fields.refusal(INVALID_CONDITION, field, "Unset: say how it is compared.")
    return _OPERATORS[number]


def to_message(condition: Condition) -> pb.Condition:
    """A tree as a message."""
    match condition:
        case tree.All(parts):
            return pb.Condition(all=pb.Conditions(conditions=map(to_message, parts)))
        case tree.Any(parts):
            return pb.Condition(any=pb.Conditions(conditions=map(to_message, parts)))
        case Not(part):
            return pb.Condition(negation=to_message(part))
        case Trait(name, operator, value):
            trait = pb.TraitCondition(trait=name, operator=_NUMBERS[operator], value=_operand(value))
            return pb.Condition(trait=trait)
        case Score(name, operator, value):
            score = pb.ScoreCondition(score=name, operator=_NUMBERS[operator], value=_operand(value))
            return pb.Condition(score=score)
        case Consent(purpose, channel, state):
            consent = pb.ConsentCondition(
                purpose=purpose,
                channel=f"CHANNEL_{channel}",
                state=f"STATE_{state}",
            )
            return pb.Condition(consent=consent)
        case InSegment(segment):
            return pb.Condition(segment=pb.SegmentCondition(segment=f"segments/{segment}"))
        case _:
            return pb.Condition(event=_event_message(condition))


def _event_message(events: Events) -> pb.EventCondition:
    message = pb.EventCondition(
        measure=f"MEASURE_{events.measure.upper()}",
        event=events.event,
        source=events.source,
        currency_code=events.currency,
        operator=_NUMBERS[events.operator],
        value=events.value,
    )
    if events.window and events.window.unit == "d":
        message.window_days = events.window.length
    elif events.window:
        message.window_hours = events.window.length
    if events.amount:
        amount = pb.AmountCondition(operator=_NUMBERS[events.amount.operator], value=events.amount.value)
        message.amount.CopyFrom(amount)
    return message


def _operand(value: Value | None) -> pb.Operand | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return pb.Operand(truth=value)
    return pb.Operand(text=value) if isinstance(value, str) else pb.Operand(number=value)
