"""Response: a bank's calls without `duration`, which is known only after the call; and the guard that finds it.

Five stratified folds (shuffled, seed 42), and five blocks of time, each predicted by the calls before it.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedKFold

from scoring.benchmarks import tables
from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models.classifier import Evaluation, FindingKind, Fold, compare, evaluate, train
from scoring.models.classifier.evaluating import CHOSEN

_DATA = "bank marketing"
_BY_TIME = f"{_DATA}, by time"
_OF_BLOCKS = "chosen auc, mean of blocks"
_LEAK = "duration"
_REFERENCES = {
    "logistic": {"auc": 0.792, "average_precision": 0.451, "lift": 4.36},
    "catboost": {"auc": 0.800, "average_precision": 0.467, "lift": 4.53},
    "average": {},
    "chosen": {"auc": 0.800},
}
_PEER = {"auc": 0.801, "average_precision": 0.465, "lift": 4.57}

MARKS = (
    Mark(data=_DATA, metric="chosen auc", at_least=0.800, source="CatBoost of depth 5 and 300 trees: .800"),
    Mark(data=_DATA, metric=f"columns warned of as leaks, with {_LEAK}", equal=1, source="known after the call only"),
    Mark(data=_DATA, metric=f"columns warned of as leaks, without {_LEAK}", equal=0, source="there is none"),
    Mark(data=_BY_TIME, metric=_OF_BLOCKS, at_least=0.98, times_peer=True, source="best candidate, known only later"),
    tables.rate_mark(_DATA),
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Figures of each candidate and of the chosen one, stratified and by time; the planted leak; rows a second."""
    whole = tables.bank(data)
    given = tables.Labelled(whole.table.without({_LEAK}), whole.labels)
    splits = StratifiedKFold(5, shuffle=True, random_state=42).split(given.labels, given.labels)
    folds = [Fold(*fold) for fold in splits]
    found = evaluate(given.table, given.labels, folds=folds)
    for name, references in _REFERENCES.items():
        yield from tables.lines("response", _DATA, name, found.metrics[name], references)
    yield from tables.lines("response", _DATA, "peer HistGradientBoosting", tables.peer(given, folds), _PEER)
    test = compare(found.labels, found.probability["logistic"], found.probability["chosen"])
    yield Line(
        task="response",
        data=_DATA,
        metric="chosen against logistic, p-value of AUC (DeLong)",
        value=test.auc.p_value,
        note=f"difference {test.auc.value:+.4f}, 95 % {test.auc.low:+.4f} to {test.auc.high:+.4f}; {_choices(found)}",
    )
    yield from _by_time(given)
    planted = train(whole.table, whole.labels)
    for told, findings, expected in ((f"with {_LEAK}", planted.findings, 1), (f"without {_LEAK}", found.findings, 0)):
        leaks = [finding for finding in findings if finding.kind is FindingKind.LEAK]
        yield Line(
            task="response",
            data=_DATA,
            metric=f"columns warned of as leaks, {told}",
            value=len(leaks),
            reference=expected,
            note="; ".join(finding.message for finding in leaks) or None,
        )
    # Trained once more on the table without the leak it would be as fast.
    yield from tables.rate_lines("response", _DATA, planted.classifier, whole.table)


def _by_time(given: tables.Labelled) -> Iterator[Line]:
    """Rows have no dates but are in their order: places stand for seconds.

    Shares of events go from 5 to 36 percent from block to block, so that figures of all blocks together say mostly how
    well that was foreseen. Mean figures of blocks say who was told apart.
    """
    dates = np.datetime64("2008-05-01", "us") + np.arange(len(given.labels)) * np.timedelta64(1, "s")
    found = evaluate(given.table, given.labels, dates)
    mean = {}
    for name in _REFERENCES:
        yield from tables.lines("response", _BY_TIME, name, found.metrics[name], {})
        mean[name] = float(np.mean(tables.auc_by_fold(found, name)))
    chosen = mean.pop(CHOSEN)
    best = max(mean, key=lambda name: mean[name])
    note = "; ".join([*(f"{name} {value:.4f}" for name, value in mean.items()), _choices(found)])
    yield Line(
        task="response", data=_BY_TIME, metric=_OF_BLOCKS, value=chosen, peer=best, peer_value=mean[best], note=note
    )


def _choices(found: Evaluation) -> str:
    return f"chosen: {', '.join(found.choices)}; calibration: {', '.join(found.calibrations)}"
