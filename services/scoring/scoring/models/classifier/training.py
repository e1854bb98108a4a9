"""Training: candidates on out-of-fold rows, the choice among them, calibration, and the final fit.

Everything that is chosen (number of trees, penalty, candidate, way of calibration) is chosen on rows that the model
which scored them had not seen, all inside the rows given: whoever evaluates on other rows sees no leak. Several rows of
a customer are not taken for as many customers', neither in folds nor in standard errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scoring.models import repeated_rows
from scoring.models.classifier import boosting, calibration, encoding, guards, logistic, uncertainty
from scoring.models.classifier.average import Average
from scoring.models.classifier.classifier import (
    AVERAGE,
    BASE_RATE,
    BOOSTING,
    LOGISTIC,
    BaseRate,
    Candidate,
    Classifier,
    Model,
)
from scoring.models.classifier.encoding import Encoder
from scoring.models.classifier.folds import Fold, forward, stratified
from scoring.models.classifier.guards import Finding, FindingKind
from scoring.models.classifier.table import Table, TableError, checked_labels
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

LEAST_EVENTS = 50
"""Of events, and of rows without: with fewer there is no model but the base rate."""
LEAST_CUSTOMERS = 20
"""Whose these are, each: of fewer some would train on nobody's."""
_LEAST_IN_FOLD = 20
_MOST_INNER_ROWS = 100_000
"""Of more rows, so many drawn by the hash of their ids serve the choices; the final fit is on all."""


@dataclass(frozen=True)
class OutOfFold:
    """Rows scored by models that had not seen them, for a paired test of candidates."""

    rows: Ints
    """Indices into the training table."""
    labels: Floats
    probability: Mapping[str, Floats]
    """By candidate, calibrated."""


@dataclass(frozen=True)
class Training:
    """A trained classifier, what was found on the way, and its out-of-fold rows (none for the base rate)."""

    classifier: Classifier
    findings: tuple[Finding, ...]
    out_of_fold: OutOfFold | None


def train(
    table: Table,
    labels: Sequence[bool] | NDArray[Any],
    dates: NDArray[np.datetime64] | None = None,
    horizon_days: int = 0,
    outcome: str = "risk",
    customers: NDArray[Any] | None = None,
) -> Training:
    """A classifier of rows with an event (label 1) from those without.

    `dates` say as of when each row tells; then inner folds go by time, and rows whose label was not known within
    `horizon_days` before a fold do not train for it. An id may have several rows of different dates only. `customers`
    say whose each row is, where ids do not. Equal rows in another order give an equal classifier. Raises TableError.
    """
    truth = checked_labels(labels, len(table))
    moments = checked_dates(dates, len(table))
    guards.refuse_future(table, moments)
    order = _canonical(table, moments)
    findings = guards.dropped(table)
    kept = table.without({finding.column for finding in findings if finding.column}).take(order)
    truth = truth[order]
    rate = BaseRate(len(truth), int(truth.sum()))
    whose = repeated_rows.codes((table.ids if customers is None else customers)[order], len(order))
    too_little = _too_little(rate, kept, [len(np.unique(whose[truth == value])) for value in (1, 0)])
    if too_little:
        nothing = Classifier(table.columns, outcome, rate, Encoder(()), {}, BASE_RATE)
        return Training(nothing, (*findings, too_little), None)
    with threadpool_limits(1):
        inner = slice(_MOST_INNER_ROWS)
        findings += guards.leaks(kept.take(inner), truth[inner], whose[inner])
        ordered = None if moments is None else moments[order]
        encoder, candidates, chosen, seen = _candidates(kept, truth, ordered, horizon_days, whose)
    classifier = Classifier(table.columns, outcome, rate, encoder, candidates, chosen)
    return Training(classifier, tuple(findings), replace(seen, rows=order[seen.rows]))


def _candidates(
    table: Table, labels: Floats, dates: NDArray[np.datetime64] | None, horizon_days: int, whose: Ints
) -> tuple[Encoder, dict[str, Candidate], str, OutOfFold]:
    inner = np.arange(min(len(labels), _MOST_INNER_ROWS))
    folds, by_time = _inner_folds(labels[inner], None if dates is None else dates[inner], horizon_days, whose[inner])
    rows = np.concatenate([fold.test for fold in folds])
    blocks = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds]) if by_time else None
    settings, raws = _settings(table, labels, folds)
    pairs = _of_thirds(table, labels, inner, settings, whose[inner])
    encoder, matrix = encoding.fit(table, labels)
    linear = logistic.fit(matrix, labels, settings[LOGISTIC])
    trees = boosting.fit(matrix, labels, settings[BOOSTING])
    models: dict[str, Model] = {LOGISTIC: linear, BOOSTING: trees, AVERAGE: Average(trees, linear)}
    candidates, probability, losses = {}, {}, {}
    for name, model in models.items():
        way, losses[name] = calibration.fit(raws[name], labels[rows], blocks, whose[rows])
        probability[name] = way.probability(raws[name])
        spread = uncertainty.fit(raws[name], labels[rows], way, pairs[name], whose[rows])
        candidates[name] = Candidate(model, settings.get(name), way, spread, float(losses[name].mean()))
    # From simple to complex: one that is more complex must earn its place. All judged blocks of time count alike: the
    # newest alone, or the newest two, chose no better (bank marketing: AUC within blocks .554 and .566 against .571).
    judged = calibration.judged(labels[rows], blocks, whose[rows])
    chosen = list(candidates)[calibration.simplest(np.stack(list(losses.values())), whose[rows][judged])]
    return encoder, candidates, chosen, OutOfFold(rows, labels[rows], probability)


def _settings(table: Table, labels: Floats, folds: list[Fold]) -> tuple[dict[str, float], dict[str, Floats]]:
    """The best setting of each kind of model, and each candidate's raw out-of-fold scores, fold after fold."""
    paths: dict[str, list[Floats]] = {LOGISTIC: [], BOOSTING: []}
    for fold in folds:
        encoder, matrix = encoding.fit(table.take(fold.train), labels[fold.train])
        unseen = encoder.transform(table.take(fold.test))
        paths[LOGISTIC].append(logistic.path(matrix, labels[fold.train], unseen))
        paths[BOOSTING].append(boosting.path(matrix, labels[fold.train], unseen))
    truth = labels[np.concatenate([fold.test for fold in folds])]
    settings, raws = {}, {}
    for name, known in ((LOGISTIC, logistic.SETTINGS), (BOOSTING, boosting.SETTINGS)):
        scores = np.hstack(paths[name])
        best = int(np.argmin([calibration.log_losses(truth, calibration.sigmoid(raw)).mean() for raw in scores]))
        settings[name], raws[name] = float(known[best]), scores[best]
    return settings, {**raws, AVERAGE: (raws[LOGISTIC] + raws[BOOSTING]) / 2}


def _of_thirds(
    table: Table, labels: Floats, inner: Ints, settings: Mapping[str, float], whose: Ints
) -> dict[str, Floats]:
    """For each candidate two scores of each row, by models of the two thirds of the customers that it is not in."""
    thirds = [fold.test for fold in stratified(labels[inner], uncertainty.THIRDS, whose)]
    told = {name: np.empty((2, len(inner))) for name in (LOGISTIC, BOOSTING)}
    for index, rows in enumerate(thirds):
        first, second = thirds[index - 1], thirds[index - 2]
        encoder, matrix = encoding.fit(table.take(rows), labels[rows])
        unseen = encoder.transform(table.take(np.concatenate([first, second])))
        linear = logistic.fit(matrix, labels[rows], settings[LOGISTIC])
        trees = boosting.scores(matrix, labels[rows], unseen, settings[BOOSTING])
        for name, scores in ((LOGISTIC, linear.raw(unseen)), (BOOSTING, trees)):
            told[name][0, first], told[name][1, second] = scores[: len(first)], scores[len(first) :]
    return {**told, AVERAGE: (told[LOGISTIC] + told[BOOSTING]) / 2}


def _inner_folds(
    labels: Floats, dates: NDArray[np.datetime64] | None, horizon_days: int, whose: Ints
) -> tuple[list[Fold], bool]:
    """Folds, and whether they go by time: where dated, and enough of both classes train and judge."""

    def enough(rows: Ints) -> bool:
        return bool(min(labels[rows].sum(), (1 - labels[rows]).sum()) >= _LEAST_IN_FOLD)

    if dates is not None:
        folds = [fold for fold in forward(dates, horizon_days=horizon_days) if enough(fold.train)]
        if folds and enough(np.concatenate([fold.test for fold in folds])):
            return folds, True
    return stratified(labels, customers=whose), False


def _too_little(rate: BaseRate, table: Table, customers: Sequence[int]) -> Finding | None:
    """customers: how many have rows with the event, and how many rows without."""
    if min(rate.events, rate.rows - rate.events) < LEAST_EVENTS:
        why = (
            f"{rate.events} of {rate.rows} rows have the event; at least {LEAST_EVENTS} with and {LEAST_EVENTS} "
            "without are needed for a model"
        )
    elif min(customers) < LEAST_CUSTOMERS:
        why = (
            f"{customers[0]} customers have rows with the event and {customers[1]} rows without; at least "
            f"{LEAST_CUSTOMERS} of each are needed for a model"
        )
    elif not table.columns:
        why = "no column tells rows apart"
    else:
        return None
    return Finding(FindingKind.TOO_LITTLE_DATA, None, f"{why}: every row gets the share of all, with its interval")


def _canonical(table: Table, dates: NDArray[np.datetime64] | None) -> Ints:
    """An order of rows that says nothing, and does not depend on the order they came in. Raises TableError."""
    keys = (table.hashes,) if dates is None else (dates, table.hashes)
    order = np.lexsort(keys)
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    if same.any():
        raise TableError("ids", f"repeats in {int(same.sum())} rows", "give each row an id of its own, or a date")
    return order


def checked_dates(dates: NDArray[np.datetime64] | None, rows: int) -> NDArray[np.datetime64] | None:
    """One date a row, to the microsecond; None where there are none. Raises TableError."""
    if dates is None:
        return None
    try:
        moments = np.asarray(dates, dtype="datetime64[us]")
    except (TypeError, ValueError):
        raise TableError("dates", "holds something else than dates", "give datetime64 values") from None
    if moments.shape != (rows,) or np.isnat(moments).any():
        raise TableError("dates", "is not one date a row", f"give a date for each of the {rows} rows")
    return moments
