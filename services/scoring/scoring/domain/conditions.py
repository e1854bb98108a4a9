"""What a segment asks of a customer: a tree of conditions.

Text (`condition_text`) and protobuf (`condition_messages`) are two views of this tree; `condition_problems` tells
what is wrong with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Operator = Literal["=", "!=", "<", "<=", ">", ">=", ":", ":*"]
Value = str | float | bool
Measure = Literal["count", "sum", "days_since_last", "hours_since_last"]

EQUALITIES: tuple[Operator, ...] = ("=", "!=")
ORDERS: tuple[Operator, ...] = ("<", "<=", ">", ">=")
COMPARISONS: tuple[Operator, ...] = (*EQUALITIES, *ORDERS)
MEASURES: tuple[Measure, ...] = ("count", "sum", "days_since_last", "hours_since_last")

CONDITIONS_MAX = 50
DEPTH_MAX = 20
TEXT_MAX = 200
"""Characters in a name or value."""
EVENTS_MAX = 1_000
"""Of each event name, source and currency the newest so many are kept."""
WINDOW_DAYS_MAX = 366

CLUSTER = "cluster"
USAGE = "usage"
RESPONSE_PROBABILITY = "response_probability"
RENEWAL_PROBABILITY = "renewal_probability"
SCORES: dict[str, Literal["money", "float", "int", "string"]] = {
    "lifetime_value": "money",
    "revenue": "money",
    "p_alive": "float",
    "expected_purchases": "float",
    "churn_risk": "float",
    RESPONSE_PROBABILITY: "float",
    RENEWAL_PROBABILITY: "float",
    "recency_weeks": "float",
    "age_weeks": "float",
    "frequency": "int",
    "purchases": "int",
    "rfm_segment": "string",
    CLUSTER: "string",
    USAGE: "string",
}
TRAITS: dict[str, type] = {
    "region_code": str,
    "language_code": str,
    "time_zone": str,
    "has_email": bool,
    "has_phone": bool,
}
TRAIT_PREFIX = "traits."
CHANNELS = ("EMAIL", "SMS", "PHONE", "PUSH", "POST", "NONE")
GRANTED, REFUSED, NONE = "GRANTED", "REFUSED", "NONE"
CONSENT_STATES = (GRANTED, REFUSED, NONE)
USUAL, DROP, SURGE, NOT_JUDGED = "USUAL", "DROP", "SURGE", "NOT_JUDGED"
USAGE_STATES = (USUAL, DROP, SURGE, NOT_JUDGED)


@dataclass(frozen=True, slots=True)
class Trait:
    """What a trait is; `name` is one of TRAITS or `traits.<any other>`."""

    name: str
    operator: Operator
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What a score is; amounts are in units of the currency of the scores."""

    name: str
    operator: Operator
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """How far back from now: so many days of 24 hours (`d`) or hours (`h`)."""

    length: int
    unit: Literal["d", "h"]

    @property
    def milliseconds(self) -> int:
        """Its length."""
        return self.length * (86_400_000 if self.unit == "d" else 3_600_000)


@dataclass(frozen=True, slots=True)
class Amount:
    """What amount an event has, in units of its currency."""

    operator: Operator
    value: float


@dataclass(frozen=True, slots=True)
class Events:
    """What happened: a measure of the events of a name, narrowed down, compared with a number."""

    measure: Measure
    event: str
    operator: Operator
    value: float
    window: Window | None = None
    source: str = ""
    currency: str = ""
    amount: Amount | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """Where the person stands on a purpose (resource name) and channel."""

    purpose: str
    channel: str
    state: str


@dataclass(frozen=True, slots=True)
class InSegment:
    """That the customer is in the segment of that uid."""

    segment: str


@dataclass(frozen=True, slots=True)
class All:
    """All of these, at least two."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one of these, at least two."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    part: "Condition"


Single = Trait | Score | Events | Consent | InSegment
Condition = Single | All | Any | Not


def singles(condition: Condition) -> Iterator[Single]:
    """All single conditions of a tree, in order."""
    if isinstance(condition, All | Any):
        for part in condition.parts:
            yield from singles(part)
    elif isinstance(condition, Not):
        yield from singles(condition.part)
    else:
        yield condition


def references(condition: Condition) -> frozenset[str]:
    """Uids of the segments a tree asks for."""
    return frozenset(each.segment for each in singles(condition) if isinstance(each, InSegment))
