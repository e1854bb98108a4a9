"""The language of segments: a subset of AIP-160 over the scores."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from chassis import money
from chassis.errors import InvalidArgument
from docstore import filters
from docstore.filters import FilterField
from scoring.store.scores import currency_of_scores

_DECIMALS_UNTIL_SCORED = 2

MATCHES_NOTHING: dict[str, Any] = {"customer": {"$in": []}}
"""What a deleted segment asks for."""


def matching(expression: str, field: str) -> dict[str, Any]:
    """The filter on scores that an expression means, amounts being in the currency of the scores.

    Raises InvalidArgument INVALID_EXPRESSION, naming the request's `field`, with the place of the mistake.
    """
    if not expression.strip():
        raise _refusal(field, "is empty; give a condition such as `p_alive < 0.5`")
    try:
        return filters.parse(expression, _fields())
    except InvalidArgument as error:
        raise _refusal(field, error.violations[0][1]) from error


def _fields() -> dict[str, FilterField]:
    currency = currency_of_scores()
    decimals = money.check_currency(currency) if currency else _DECIMALS_UNTIL_SCORED
    return {
        "lifetime_value": FilterField("float", path="lifetime_value_minor", convert=_minor(decimals)),
        "revenue": FilterField("float", path="revenue_minor", convert=_minor(decimals)),
        "p_alive": FilterField("float"),
        "expected_purchases": FilterField("float"),
        "recency_weeks": FilterField("float"),
        "age_weeks": FilterField("float"),
        "frequency": FilterField("int"),
        "purchases": FilterField("int"),
        "rfm_segment": FilterField("string", path="rfm.segment"),
    }


def _minor(decimals: int) -> Callable[[float], float]:
    """Amounts are compared as minor units; 100.1 is 10010 of them, not 10009.999999999998."""

    def convert(amount: float) -> float:
        return float(Decimal(str(amount)).scaleb(decimals))

    return convert


def _refusal(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument(
        "INVALID_EXPRESSION", f"{field} {problem}.", violations=[(field, problem[0].upper() + problem[1:] + ".")]
    )
