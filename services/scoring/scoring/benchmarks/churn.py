"""Churn: contracts in IBM's Telco table, five stratified folds (shuffled, seed 42), every figure out of fold; and
customers without contracts, split by time (`repeat_churn`).

Nothing is set to these data: trees, penalty, candidate and calibration are chosen inside each fold's training rows.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedKFold

from scoring.benchmarks import repeat_churn, tables
from scoring.benchmarks.datasets import DataFolder, from_each
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models.classifier import Fold, compare, evaluate, train

_DATA = "Telco churn"
_REFERENCES = {
    "logistic": {"auc": 0.8450, "average_precision": 0.654, "brier": 0.1356, "lift": 2.87},
    "catboost": {"auc": 0.8477, "average_precision": 0.666, "brier": 0.1341, "lift": 2.89},
    "average": {},
    "chosen": {"auc": 0.847, "brier": 0.1345},
}
_PEER = {"auc": 0.8472, "average_precision": 0.662, "brier": 0.1345, "lift": 2.86}

MARKS = (
    Mark(data=_DATA, metric="chosen auc", at_least=0.847, source="CatBoost of depth 5 and 300 trees: .8477"),
    Mark(data=_DATA, metric="chosen brier", at_most=0.1345, source="CatBoost of depth 5 and 300 trees: .1341"),
    Mark(data=_DATA, metric="columns warned of as leaks", equal=0, source="there is none"),
    tables.rate_mark(_DATA),
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Contracts, then customers without any."""
    yield from from_each(data, _telco, repeat_churn.measure_cdnow, repeat_churn.measure_online_retail)


def _telco(data: DataFolder) -> Iterator[Line]:
    """Figures of each candidate and of the chosen one, beside the best published of a peer and one of this run."""
    given = tables.telco(data)
    splits = StratifiedKFold(5, shuffle=True, random_state=42).split(given.labels, given.labels)
    folds = [Fold(*fold) for fold in splits]
    found = evaluate(given.table, given.labels, folds=folds)
    for name, references in _REFERENCES.items():
        yield from tables.lines("churn", _DATA, name, found.metrics[name], references)
    yield from tables.lines("churn", _DATA, "peer HistGradientBoosting", tables.peer(given, folds), _PEER)
    for name in ("catboost", "average", "chosen"):
        test = compare(found.labels, found.probability["logistic"], found.probability[name])
        yield Line(
            task="churn",
            data=_DATA,
            metric=f"{name} against logistic, p-value of AUC (DeLong)",
            value=test.auc.p_value,
            note=f"difference {test.auc.value:+.4f}, 95 % {test.auc.low:+.4f} to {test.auc.high:+.4f}",
        )
    of_folds = tables.auc_by_fold(found)
    yield Line(
        task="churn",
        data=_DATA,
        metric="chosen auc, mean of folds",
        value=float(np.mean(of_folds)),
        note=f"sd {np.std(of_folds, ddof=1):.4f}; chosen: {', '.join(found.choices)}; calibration: "
        f"{', '.join(found.calibrations)}",
    )
    yield Line(task="churn", data=_DATA, metric="columns warned of as leaks", value=len(found.findings), reference=0)
    yield from tables.rate_lines("churn", _DATA, train(given.table, given.labels).classifier, given.table)
