"""What is wrong with a training table: columns from the future, leaks, columns that tell nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata  # type: ignore[import-untyped]

from scoring.models.classifier import encoding, logistic
from scoring.models.classifier.folds import stratified
from scoring.models.classifier.table import Categories, Column, Kind, Table, TableError, Values
from scoring.models.fitting import Floats
from scoring.models.repeated_rows import Keys
from scoring.models.summary import Ints

LEAK_AUC = 0.9
"""One column alone that ranks this well knows more than columns usually can."""
STRONG_AUC = 0.75
"""A column this strong is compared with all the others together."""
LEAST_OTHERS = 10
"""Rows that must differ from the most frequent value: of fewer nothing is learned."""
_LEAST_ROWS = 50
_IDENTIFIER_SHARE = 0.9
_NAMED = 3
"""Columns that tell nothing are named one by one up to so many."""
_BINS = 32
_PRIOR_ROWS = 10.0


class FindingKind(StrEnum):
    """What a finding is about."""

    DROPPED = "dropped"
    LEAK = "leak"
    TOO_LITTLE_DATA = "too_little_data"


@dataclass(frozen=True)
class Finding:
    """Something the owner of the table should know, in words. Holds no value of the table."""

    kind: FindingKind
    column: str | None
    message: str


def in_words(findings: Iterable[Finding]) -> list[str]:
    """What findings say, in their order; of more than a few columns that are not trained on, how many at the end."""
    found = list(findings)
    gone = [each for each in found if each.kind is FindingKind.DROPPED]
    if len(gone) <= _NAMED:
        return [each.message for each in found]
    named = ", ".join(repr(each.column) for each in gone[:_NAMED])
    told = [each.message for each in found if each.kind is not FindingKind.DROPPED]
    return [*told, f"{len(gone)} columns tell nothing and are not trained on: {named} and {len(gone) - _NAMED} more"]


def refuse_future(table: Table, dates: NDArray[np.datetime64] | None) -> None:
    """Raises TableError where a value became known only after its row's date."""
    for name, known in table.known_at.items():
        if dates is None:
            raise TableError("dates", f"is missing while {name!r} tells when its values became known", "give dates")
        late = int((known > dates).sum())
        if late:
            raise TableError(
                name,
                f"was known only after the row's date in {late} of {len(table)} rows",
                "build it as of the date of each row, or leave it out",
            )


def dropped(table: Table) -> list[Finding]:
    """Columns that are not trained on: of one value, or with nearly one value a row, as identifiers have."""
    findings = []
    for column in table.columns:
        found = table.values[column.name]
        codes = found.codes if isinstance(found, Categories) else found
        # NaNs count as one value.
        values, counts = np.unique(codes, return_counts=True)
        others = len(table) - int(counts.max(initial=0))
        if others < LEAST_OTHERS:
            findings.append(_dropped(column, f"has one value in all rows but {others}" if others else "has one value"))
        elif (
            column.personal
            and isinstance(found, Categories)
            and counts[np.asarray(values) != -1].max() < encoding.LEAST_ROWS
        ):
            why = f"is personal and has no value that {encoding.LEAST_ROWS} rows share"
            findings.append(_dropped(column, why))
        elif len(table) >= _LEAST_ROWS and _names_rows(column, codes, values, counts):
            findings.append(_dropped(column, "names rows as an identifier does"))
    return findings


def leaks(table: Table, labels: Floats, customers: Keys = None) -> list[Finding]:
    """Columns that tell the label so well that they may have been filled in after it was known. customers: whose each
    row is.
    """
    alone = {column.name: _auc_alone(table.values[column.name], labels, customers) for column in table.columns}
    findings = [
        Finding(
            FindingKind.LEAK,
            column.name,
            f"{column.name!r} alone ranks with an AUC of {alone[column.name]:.3f}: {_ASK}",
        )
        for column in table.columns
        if alone[column.name] > LEAK_AUC
    ]
    strongest = max(table.columns, key=lambda column: alone[column.name]).name
    if STRONG_AUC < alone[strongest] <= LEAK_AUC and len(table.columns) > 2:
        others = _auc_together(table.without({strongest}), labels, customers)
        if alone[strongest] > others:
            findings.append(
                Finding(
                    FindingKind.LEAK,
                    strongest,
                    f"{strongest!r} alone ranks with an AUC of {alone[strongest]:.3f}, better than all other columns "
                    f"together ({others:.3f}): {_ASK}",
                )
            )
    return findings


_ASK = "is it known before the event it shall predict? If not, leave it out"


def _dropped(column: Column, why: str) -> Finding:
    return Finding(FindingKind.DROPPED, column.name, f"{column.name!r} {why}: it is not trained on")


def _names_rows(column: Column, codes: NDArray[np.int32] | Floats, values: NDArray[Any], counts: Ints) -> bool:
    known = values >= 0 if column.kind is Kind.CATEGORY else ~np.isnan(values)
    if counts[known].sum() < _LEAST_ROWS or known.sum() < _IDENTIFIER_SHARE * counts[known].sum():
        return False
    if column.kind is Kind.CATEGORY:
        return True
    # Amounts may differ in every row, too; numbers given one after the other leave few gaps.
    whole = values[known]
    return bool((whole == np.rint(whole)).all() and whole[-1] - whole[0] < 2 * len(codes))


def _auc_alone(found: Values, labels: Floats, customers: Keys) -> float:
    """AUC of the event rates of the column's levels, or of 32 equal bins; rates are those of rows in other folds."""
    if isinstance(found, Categories):
        codes = found.codes.astype(np.int64)
    else:
        edges = np.unique(np.nanquantile(found, np.arange(1, _BINS) / _BINS))
        codes = np.where(np.isnan(found), -1, np.searchsorted(edges, found))
    codes = codes + 1
    size = int(codes.max()) + 1
    rates = np.empty(len(labels))
    for fold in stratified(labels, customers=customers):
        counts = np.bincount(codes[fold.train], minlength=size)
        events = np.bincount(codes[fold.train], weights=labels[fold.train], minlength=size)
        usual = labels[fold.train].mean()
        rates[fold.test] = ((events + _PRIOR_ROWS * usual) / (counts + _PRIOR_ROWS))[codes[fold.test]]
    return auc(labels, rates)


def _auc_together(table: Table, labels: Floats, customers: Keys) -> float:
    """AUC of a logistic regression on rows of customers it has not seen."""
    raw = np.empty(len(labels))
    for fold in stratified(labels, 3, customers):
        encoder, matrix = encoding.fit(table.take(fold.train), labels[fold.train])
        model = logistic.fit(matrix, labels[fold.train], logistic.SETTINGS[-1])
        raw[fold.test] = model.raw(encoder.transform(table.take(fold.test)))
    return auc(labels, raw)


def auc(labels: Floats, scores: Floats) -> float:
    """Share of pairs of an event and another row that the scores put in order; ties count half."""
    events = labels.sum()
    ranks = rankdata(scores)[labels > 0].sum()
    return float((ranks - events * (events + 1) / 2) / (events * (len(labels) - events)))
