"""What segments ask, as callers give it: text or tree, checked; and the currencies it names."""

from rapport.scoring.v1 import condition_pb2

from chassis import inputs as fields
from chassis import money
from chassis.errors import InvalidArgument
from scoring import condition_messages
from scoring.condition_messages import INVALID_CONDITION
from scoring.domain import condition_text, condition_writing
from scoring.domain.condition_tokens import ExpressionError
from scoring.domain.conditions import Condition, Events, singles


def of_text(expression: str, field: str) -> Condition:
    """The tree an expression stands for.

    Raises InvalidArgument INVALID_EXPRESSION, naming the request's `field`, with the place of the mistake.
    """
    try:
        found = condition_text.parse(expression)
    except ExpressionError as error:
        raise _refusal(field, str(error)) from None
    for code in _currencies(found):
        if money.digits(code) is None:
            raise _refusal(field, f"names {code!r}, which is no currency; use an ISO 4217 code such as EUR")
    return found


def of_message(condition: condition_pb2.Condition, field: str) -> Condition:
    """The tree a message stands for. Raises InvalidArgument INVALID_CONDITION naming what is wrong within `field`."""
    found = condition_messages.to_tree(condition, field)
    for code in _currencies(found):
        if money.digits(code) is None:
            raise fields.refusal(INVALID_CONDITION, field, "Names no currency; use an ISO 4217 code such as EUR.")
    if len(condition_writing.write(found)) > condition_text.LENGTH_MAX:
        problem = f"As text longer than {condition_text.LENGTH_MAX} characters; ask for less, or name segments."
        raise fields.refusal(INVALID_CONDITION, field, problem)
    return found


def _currencies(condition: Condition) -> set[str]:
    return {each.currency for each in singles(condition) if isinstance(each, Events) and each.currency}


def _refusal(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument(
        "INVALID_EXPRESSION", f"{field} {problem}.", violations=[(field, problem[0].upper() + problem[1:] + ".")]
    )
