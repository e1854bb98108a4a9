"""Public tables with a label, and what the tasks on them share: peers, figures, lines."""

import csv
import io
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models.classifier import (
    Categories,
    Classifier,
    Column,
    Evaluation,
    Fold,
    Kind,
    Metrics,
    Table,
    measure,
    predict,
)
from scoring.models.classifier.classifier import BOOSTING
from scoring.models.classifier.encoding import Matrix, fit
from scoring.models.classifier.evaluating import CHOSEN
from scoring.models.classifier.guards import auc
from scoring.models.fitting import Floats

FIGURES = ("auc", "average_precision", "brier", "lift", "ece", "log_loss")
LEAST_RATE = 0.8
"""Of CatBoost's own rows a second."""
_RATE = "catboost scored rows/s"
_RATE_ROWS = 200_000
_RATE_ROUNDS = 5


@dataclass(frozen=True)
class Labelled:
    """A public table."""

    table: Table
    labels: Floats


def telco(data: DataFolder) -> Labelled:
    """IBM's Telco customers: who left (7,043 rows, 26.5 percent)."""
    with data.file("telco-churn", "Telco-Customer-Churn.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    numeric = {"tenure", "MonthlyCharges", "TotalCharges"}
    return _labelled(rows, "Churn", "Yes", numeric, {"customerID"})


def bank(data: DataFolder) -> Labelled:
    """A bank's calls: who subscribed (Moro, Cortez, Rita 2014; 41,188 rows in order of date, 11.3 percent)."""
    with (
        zipfile.ZipFile(data.file("bank-marketing", "bank-additional.zip")) as archive,
        archive.open("bank-additional/bank-additional-full.csv") as raw,
    ):
        rows = list(csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8"), delimiter=";"))
    numeric = {"age", "duration", "campaign", "pdays", "previous"}
    numeric |= {"emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed"}
    return _labelled(rows, "y", "yes", numeric, set())


def lines(task: str, data: str, model: str, found: Metrics, references: dict[str, float]) -> Iterator[Line]:
    """One line a figure."""
    for name in FIGURES:
        figure = getattr(found, name)
        note = f"90 % {figure.low:.4f} to {figure.high:.4f}"
        if name == "ece":
            note += f"; at most {found.ece_by_chance:.4f} by chance if every probability were right"
        yield Line(
            task=task,
            data=data,
            metric=f"{model} {name}",
            value=figure.value,
            reference=references.get(name),
            note=note,
        )


def rate_mark(data: str) -> Mark:
    """Of `rate_lines`."""
    return Mark(
        data=data,
        metric=_RATE,
        at_least=LEAST_RATE,
        times_peer=True,
        source="CatBoost alone on ready numbers, same run",
    )


def auc_by_fold(found: Evaluation, name: str = CHOSEN) -> list[float]:
    """Of a candidate, or what was chosen, on the rows of each fold."""
    folds = [np.flatnonzero(found.fold == fold) for fold in np.unique(found.fold)]
    return [auc(found.labels[rows], found.probability[name][rows]) for rows in folds]


def peer(given: Labelled, folds: Sequence[Fold]) -> Metrics:
    """scikit-learn's histogram booster as it comes, on the same folds and the same matrix."""
    told = np.concatenate([_peer_fold(given, fold) for fold in folds])
    found = measure(given.labels[np.concatenate([fold.test for fold in folds])], told)
    assert found is not None
    return found


def rate_lines(task: str, data: str, classifier: Classifier, table: Table) -> Iterator[Line]:
    """Rows a second, interval and all, beside CatBoost alone on the same rows as numbers; and with three reasons."""
    many = table.take(np.resize(np.arange(len(table)), _RATE_ROWS))
    matrix = classifier.encoder.transform(many)
    trees = cast(Any, classifier.candidates[BOOSTING].model).trees

    def own(rows: Matrix) -> object:
        return trees.predict(rows, prediction_type="Probability", thread_count=1)

    ours, theirs = _rates(lambda: predict(classifier, many, candidate=BOOSTING), lambda: own(matrix), _RATE_ROWS)
    note = (
        "by processor time, best of 5 rounds in turn; reference: the mark, 0.8 of CatBoost's own rate on ready numbers"
    )
    yield Line(
        task=task,
        data=data,
        metric=_RATE,
        value=ours,
        reference=LEAST_RATE * theirs,
        peer="catboost predict",
        peer_value=theirs,
        note=note,
    )
    few = table.take(np.arange(2_000))
    ours, _ = _rates(lambda: predict(classifier, few, reasons=3), lambda: None, len(few))
    yield Line(task=task, data=data, metric=f"{classifier.chosen} rows/s with 3 reasons", value=ours)


def _rates(ours: Callable[[], object], theirs: Callable[[], object], rows: int) -> tuple[float, float]:
    best = [np.inf, np.inf]
    for _ in range(_RATE_ROUNDS):
        for index, work in enumerate((ours, theirs)):
            began = time.process_time()
            work()
            best[index] = min(best[index], time.process_time() - began)
    return rows / best[0], rows / best[1]


def _peer_fold(given: Labelled, fold: Fold) -> Floats:
    encoder, matrix = fit(given.table.take(fold.train), given.labels[fold.train])
    booster = HistGradientBoostingClassifier(random_state=42).fit(matrix, given.labels[fold.train])
    told: Floats = booster.predict_proba(encoder.transform(given.table.take(fold.test)))[:, 1]
    return told


def _labelled(rows: list[dict[str, str]], label: str, event: str, numeric: set[str], left_out: set[str]) -> Labelled:
    columns: list[Column] = []
    values: dict[str, object] = {}
    for name in rows[0]:
        if name == label or name in left_out:
            continue
        texts = [row[name].strip() for row in rows]
        if name in numeric:
            columns.append(Column(name, Kind.NUMERIC))
            values[name] = np.array([float(text) if text else np.nan for text in texts])
        else:
            columns.append(Column(name, Kind.CATEGORY))
            values[name] = Categories.of(texts)
    labels = np.array([row[label] == event for row in rows], dtype=np.float64)
    return Labelled(Table.of(columns, values), labels)
