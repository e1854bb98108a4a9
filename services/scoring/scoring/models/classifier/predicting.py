"""Predictions: calibrated probability, interval, raw score, and reasons in words."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scoring.models.classifier.calibration import sigmoid
from scoring.models.classifier.classifier import BASE_RATE, Candidate, Classifier
from scoring.models.classifier.encoding import Matrix
from scoring.models.classifier.table import Categories, Column, Kind, Table, TableError
from scoring.models.fitting import Floats

_CHUNK = 131_072
_STEP = 0.05


@dataclass(frozen=True)
class Reason:
    """What one column does to a row's score."""

    column: str
    text: str
    """Such as "Contract is month-to-month: raises the risk by 12 points"."""
    contribution: float
    """Log odds, before calibration."""
    points: float
    """Percentage points; over all columns they sum to the distance from the probability at the base score."""


@dataclass(frozen=True)
class Prediction:
    """One element a row."""

    probability: Floats
    low: Floats
    high: Floats
    """90 percent interval of the probability: how well the data determine it, not how the event falls out."""
    raw: Floats
    """Score before calibration, in log odds: ranks rows for percentiles, as calibration can make scores tie."""
    reasons: list[tuple[Reason, ...]] | None
    """Largest first; None unless asked for."""


@dataclass(frozen=True)
class Explanation:
    """Contributions of each column, shape (rows, columns); with the base they sum to the raw score."""

    columns: tuple[Column, ...]
    base: float
    contributions: Floats
    points: Floats


def predict(classifier: Classifier, table: Table, reasons: int = 0, candidate: str | None = None) -> Prediction:
    """Scores of each row by the chosen candidate or the one named, with so many `reasons` a row at most.

    Values may be missing, categories unknown. Raises TableError where a column is missing, unknown or of another kind.
    """
    _check_names(classifier, table)
    name = candidate or classifier.chosen
    if name == BASE_RATE:
        share = classifier.base_rate.probability
        told = (share, *classifier.base_rate.interval, float(np.log(share / (1 - share))))
        probability, low, high, raw = (np.full(len(table), value) for value in told)
        return Prediction(probability, low, high, raw, [()] * len(table) if reasons else None)
    model = classifier.candidates[name]
    probability, low, high, raw = np.empty((4, len(table)))
    words: list[tuple[Reason, ...]] = []
    for rows in _chunks(len(table)):
        part = table if len(table) <= _CHUNK else table.take(rows)
        matrix = classifier.encoder.transform(part)
        raw[rows] = model.model.raw(matrix)
        log_odds = model.calibration.log_odds(raw[rows])
        probability[rows] = sigmoid(log_odds)
        low[rows], high[rows] = model.spread.interval(raw[rows], log_odds)
        if reasons:
            words += _worded(classifier, part, _explained(classifier, model, matrix, raw[rows]), reasons)
    return Prediction(probability, low, high, raw, words if reasons else None)


def explain(classifier: Classifier, table: Table, candidate: str | None = None) -> Explanation:
    """Contributions of every column to every row's score. Raises TableError, and ValueError for the base rate."""
    _check_names(classifier, table)
    name = candidate or classifier.chosen
    if name == BASE_RATE:
        raise ValueError("the base rate is the same for every row: there is nothing to explain")
    model, matrix = classifier.candidates[name], classifier.encoder.transform(table)
    return _explained(classifier, model, matrix, model.model.raw(matrix))


def _explained(classifier: Classifier, model: Candidate, matrix: Matrix, raw: Floats) -> Explanation:
    contributions = np.add.reduceat(model.model.contributions(matrix), classifier.encoder.starts, axis=1)
    base = model.model.base
    way = model.calibration
    # Points per unit of log odds, from the base to the row; close to the base the slope there.
    near = np.abs(raw - base) < _STEP
    upper, lower = np.where(near, raw + _STEP, raw), np.where(near, raw - _STEP, base)
    slope = (way.probability(upper) - way.probability(lower)) / (upper - lower)
    columns = tuple(slots.column for slots in classifier.encoder.slots)
    return Explanation(columns, base, contributions, 100 * contributions * slope[:, None])


def _worded(classifier: Classifier, table: Table, told: Explanation, most: int) -> list[tuple[Reason, ...]]:
    # Rounded, so that contributions equal but for the last bit rank alike everywhere; the order of columns breaks ties.
    ranked = np.argsort(-np.abs(np.round(told.contributions, 9)), axis=1, kind="stable")[:, :most]
    words = []
    for row, columns in enumerate(ranked.tolist()):
        reasons = []
        for index in columns:
            contribution, points = float(told.contributions[row, index]), float(told.points[row, index])
            if contribution:
                column = told.columns[index]
                text = f"{_value(column, table, row)}: {_effect(contribution, points, classifier.outcome)}"
                reasons.append(Reason(column.name, text, contribution, points))
        words.append(tuple(reasons))
    return words


def _effect(contribution: float, points: float, outcome: str) -> str:
    size = round(abs(points))
    told = "less than 1 point" if size < 1 else "1 point" if size == 1 else f"{size} points"
    return f"{'raises' if contribution > 0 else 'lowers'} the {outcome} by {told}"


def _value(column: Column, table: Table, row: int) -> str:
    if column.personal:
        return column.title
    found = table.values[column.name]
    if isinstance(found, Categories):
        code = int(found.codes[row])
        return f"{column.title} is not known" if code < 0 else f"{column.title} is {found.levels[code]}"
    value = float(found[row])
    if np.isnan(value):
        return f"{column.title} is not known"
    if column.kind is Kind.BOOLEAN:
        return f"{column.title} is {'yes' if value else 'no'}"
    return f"{column.title} is {value:,.6g}"


def _check_names(classifier: Classifier, table: Table) -> None:
    declared = {column.name for column in classifier.columns}
    for column in table.columns:
        if column.name not in declared:
            raise TableError(column.name, "was not there in training", f"leave it out; known are {sorted(declared)}")


def _chunks(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, rows)) for start in range(0, rows, _CHUNK))
