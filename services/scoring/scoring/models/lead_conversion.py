"""Whether a lead will be converted, from what is known when it comes: a model of propensity on the facts of leads.

A lead without a fact has it missing, not zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.domain.lead_gates import WITHIN
from scoring.models import classifier
from scoring.models.classifier import Column, Kind, Table
from scoring.models.propensity import Propensity

COLUMNS = (
    Column("source", Kind.CATEGORY, "Source"),
    Column("has_company", Kind.BOOLEAN, "Company named"),
    Column("employee_count", Kind.NUMERIC, "Number of people at the company"),
    Column("has_budget", Kind.BOOLEAN, "Budget named"),
    Column("region_code", Kind.CATEGORY, "Country"),
    Column("has_email", Kind.BOOLEAN, "E-mail address left"),
    Column("has_phone", Kind.BOOLEAN, "Phone number left"),
    Column("message_length", Kind.NUMERIC, "Length of the message in characters"),
    Column("is_customer", Kind.BOOLEAN, "Customer already"),
)
FEATURES = {column.name: 1 for column in COLUMNS}
"""Name -> version of the definition."""
OUTCOME = "chance of conversion"
REASONS = 4
HORIZON_DAYS = WITHIN.days
_MISSING_AT_ZERO = ("employee_count",)


@dataclass(frozen=True)
class Told:
    """What a model tells of one lead. reasons: (fact, percentage points, both in words), the most important first."""

    probability: float
    low: float
    high: float
    percentile: float
    reasons: tuple[tuple[str, float, str], ...]


def tell(model: Propensity, facts: Sequence[Mapping[str, Any]]) -> list[Told]:
    """What is to be told of leads with these facts (see `table_of`)."""
    found = classifier.predict(model.classifier, table_of(facts), reasons=REASONS)
    assert found.reasons is not None
    return [
        Told(
            float(probability),
            float(low),
            float(high),
            float(rank),
            tuple((one.column, one.points, one.text) for one in why),
        )
        for probability, low, high, rank, why in zip(
            found.probability,
            found.low,
            found.high,
            model.percentile(found.probability),
            found.reasons,
            strict=True,
        )
    ]


def table_of(
    facts: Sequence[Mapping[str, Any]],
    ids: Sequence[str] | None = None,
    known: NDArray[np.datetime64] | None = None,
) -> Table:
    """A table of leads by their facts: COLUMNS, `source` as the contract's name. known: when each one's were known."""
    values: dict[str, Any] = {}
    for column in COLUMNS:
        found = [_value(column, row.get(column.name)) for row in facts]
        values[column.name] = found if column.kind is Kind.CATEGORY else np.array(found, dtype=np.float64)
    return Table.of(
        COLUMNS,
        values,
        ids,
        {column.name: known for column in COLUMNS} if known is not None else None,
    )


def _value(column: Column, value: Any) -> Any:
    if column.name == "source":
        return str(value).removeprefix("SOURCE_").replace("_", " ").lower() if value else None
    if column.kind is Kind.CATEGORY:
        return value or None
    if column.name in _MISSING_AT_ZERO and not value:
        return np.nan
    return np.nan if value is None else float(value)
