"""Whether a lead will be converted, from what is known when it comes: the tabular classifier on the facts of leads.

Boosted trees (Prokhorenkova et al. 2018, CatBoost), logistic regression and their average, calibrated; which one tells
is chosen on rows that none had seen (`classifier.train`). A lead without a fact has it missing, not zero.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.domain.lead_gates import WITHIN
from scoring.models import classifier
from scoring.models.classifier import Classifier, Column, Kind, Table, Training
from scoring.models.drift import Histogram
from scoring.models.fitting import Floats

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
_QUANTILES = np.linspace(0, 1, 201)
_MISSING_AT_ZERO = ("employee_count",)


@dataclass(frozen=True)
class Leads:
    """Leads whose end is known, in any order. points: those each had at its creation."""

    table: Table
    created: NDArray[np.datetime64]
    converted: Floats
    points: Floats

    def take(self, rows: NDArray[np.int64]) -> "Leads":
        """Some of them."""
        return Leads(self.table.take(rows), self.created[rows], self.converted[rows], self.points[rows])

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class Told:
    """What the model tells of one lead. reasons: (fact, percentage points, both in words), the most important first."""

    probability: float
    low: float
    high: float
    percentile: float
    reasons: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True)
class LeadConversion:
    """A trained model with the probabilities it gave leads it had not seen, for percentiles."""

    classifier: Classifier
    reference: tuple[float, ...]
    """Quantiles, 0 to 1 in steps of half a percent."""
    newest: int
    """When the newest lead it learned from was created, in microseconds since 1970."""
    promised: float | None
    """Squared error on the leads it was tested on, as a share of that of telling all the same; None if not tested."""
    histograms: Mapping[str, Histogram]
    """How the leads it learned from lie, by fact, and what it tells of them."""

    def tell(self, facts: Sequence[Mapping[str, Any]]) -> list[Told]:
        """What is to be told of leads with these facts (see `table_of`)."""
        found = classifier.predict(self.classifier, table_of(facts), reasons=REASONS)
        below = np.searchsorted(np.array(self.reference), found.probability, side="right")
        percentile = np.minimum(100.0, below / len(self.reference) * 100)
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
                found.probability, found.low, found.high, percentile, found.reasons, strict=True
            )
        ]

    def probability(self, table: Table) -> Floats:
        """Of each row to be converted."""
        return classifier.predict(self.classifier, table).probability


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


def fit(leads: Leads) -> Training:
    """Trains on leads. Raises TableError where a fact was known only after its lead's creation."""
    return classifier.train(leads.table, leads.converted, leads.created, HORIZON_DAYS, OUTCOME)


def reference_of(training: Training) -> tuple[float, ...]:
    """How the probabilities of leads lie that the model had not seen: `LeadConversion.reference`."""
    seen = training.out_of_fold
    told = seen.probability[training.classifier.chosen] if seen else [training.classifier.base_rate.probability]
    return tuple(float(f"{q:.9g}") for q in np.quantile(told, _QUANTILES))


def dump(model: LeadConversion) -> dict[str, Any]:
    """The model whole, as JSON holds it."""
    return {
        "classifier": base64.b64encode(classifier.to_bytes(model.classifier)).decode(),
        "reference": list(model.reference),
        "newest": model.newest,
        "promised": model.promised,
        "histograms": {name: asdict(found) for name, found in model.histograms.items()},
    }


def load(stored: Mapping[str, Any]) -> LeadConversion:
    """The model that was dumped. Raises ArtefactError where it is damaged."""
    whole = classifier.from_bytes(base64.b64decode(stored["classifier"]))
    histograms = {
        name: Histogram(tuple(found["edges"]), tuple(found["counts"])) for name, found in stored["histograms"].items()
    }
    return LeadConversion(whole, tuple(stored["reference"]), stored["newest"], stored["promised"], histograms)


def _value(column: Column, value: Any) -> Any:
    if column.name == "source":
        return str(value).removeprefix("SOURCE_").replace("_", " ").lower() if value else None
    if column.kind is Kind.CATEGORY:
        return value or None
    if column.name in _MISSING_AT_ZERO and not value:
        return np.nan
    return np.nan if value is None else float(value)
