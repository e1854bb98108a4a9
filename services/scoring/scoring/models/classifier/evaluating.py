"""Evaluation: whole trainings on some rows, judged on others, as a model card shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.models.classifier import metrics
from scoring.models.classifier.classifier import BASE_RATE
from scoring.models.classifier.folds import Fold, split
from scoring.models.classifier.guards import Finding
from scoring.models.classifier.metrics import CalibrationBin, LiftPoint, Metrics
from scoring.models.classifier.predicting import predict
from scoring.models.classifier.table import Table, checked_labels
from scoring.models.classifier.training import checked_dates, train
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

CHOSEN = "chosen"


@dataclass(frozen=True)
class Evaluation:
    """Rows that were judged, all folds together, and what came of it."""

    by_time: bool
    """Folds are blocks of time, each predicted by what came before; else stratified."""
    rows: Ints
    """Indices into the table."""
    labels: Floats
    fold: Ints
    """Which fold judged the row."""
    probability: Mapping[str, Floats]
    """By candidate, and of what each fold's training chose ("chosen")."""
    choices: tuple[str, ...]
    """What each fold's training chose."""
    calibrations: tuple[str, ...]
    """Which way of calibration the chosen one of each fold has."""
    metrics: Mapping[str, Metrics]
    """By candidate; empty where rows of only one class were judged."""
    calibration_curve: list[CalibrationBin]
    lift_curve: list[LiftPoint]
    """Of what was chosen."""
    findings: tuple[Finding, ...]
    """What the trainings found, each once."""


def evaluate(
    table: Table,
    labels: Sequence[bool] | NDArray[Any],
    dates: NDArray[np.datetime64] | None = None,
    horizon_days: int = 0,
    folds: Sequence[Fold] | None = None,
) -> Evaluation:
    """Trains on each fold's training rows alone and judges on its others: by time where dated, else five stratified.
    Rows of one id are one customer's.

    A candidate that a fold had too little data for counts with the base rate there. Raises TableError.
    """
    truth = checked_labels(labels, len(table))
    moments = checked_dates(dates, len(table))
    given = list(folds) if folds is not None else _folds(table, truth, moments, horizon_days)
    told: dict[str, list[Floats]] = {CHOSEN: []}
    choices, ways, findings = [], [], dict[Finding, None]()
    trainings = []
    for fold in given:
        of_fold = None if moments is None else moments[fold.train]
        training = train(table.take(fold.train), truth[fold.train], of_fold, horizon_days)
        trainings.append(training.classifier)
        findings.update(dict.fromkeys(training.findings))
        choices.append(training.classifier.chosen)
        chosen = training.classifier.candidates.get(training.classifier.chosen)
        ways.append(chosen.calibration.method if chosen else BASE_RATE)
    names = sorted({name for classifier in trainings for name in classifier.candidates})
    told |= {name: [] for name in names}
    for fold, classifier in zip(given, trainings, strict=True):
        unseen = table.take(fold.test)
        told[CHOSEN].append(predict(classifier, unseen).probability)
        for name in names:
            of_name = name if name in classifier.candidates else BASE_RATE
            told[name].append(predict(classifier, unseen, candidate=of_name).probability)
    rows = np.concatenate([fold.test for fold in given])
    probability = {name: np.concatenate(parts) for name, parts in told.items()}
    measured = {name: metrics.measure(truth[rows], found, table.ids[rows]) for name, found in probability.items()}
    return Evaluation(
        by_time=folds is None and moments is not None and len(np.unique(moments)) > 1,
        rows=rows,
        labels=truth[rows],
        fold=np.repeat(np.arange(len(given)), [len(fold.test) for fold in given]),
        probability=probability,
        choices=tuple(choices),
        calibrations=tuple(ways),
        metrics={name: found for name, found in measured.items() if found is not None},
        calibration_curve=metrics.calibration_curve(truth[rows], probability[CHOSEN]),
        lift_curve=metrics.lift_curve(truth[rows], probability[CHOSEN]),
        findings=tuple(findings),
    )


def _folds(table: Table, labels: Floats, dates: NDArray[np.datetime64] | None, horizon_days: int) -> list[Fold]:
    """Folds of rows in an order that tells nothing."""
    order = np.argsort(table.hashes, kind="stable")
    moments = None if dates is None else dates[order]
    found = split(labels[order], moments, horizon_days=horizon_days, customers=table.ids[order])
    return [Fold(order[fold.train], order[fold.test]) for fold in found]
