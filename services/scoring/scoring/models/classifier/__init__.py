"""A classifier of a tenant's table: who will leave, convert, respond.

`train` chooses among boosted trees, logistic regression and their average on out-of-fold rows; `predict` gives
calibrated probabilities with intervals and reasons; `evaluate` judges whole trainings on rows they had not seen;
`compare` tests two models on the same rows; `to_bytes` and `from_bytes` store a classifier.
"""

from scoring.models.classifier.artefact import ArtefactError, artefact_hash, from_bytes, to_bytes
from scoring.models.classifier.classifier import BaseRate, Candidate, Classifier
from scoring.models.classifier.comparison import Comparison, Difference, compare
from scoring.models.classifier.evaluating import Evaluation, evaluate
from scoring.models.classifier.folds import Fold
from scoring.models.classifier.guards import Finding, FindingKind, in_words
from scoring.models.classifier.metrics import CalibrationBin, Figure, LiftPoint, Metrics, measure
from scoring.models.classifier.predicting import Explanation, Prediction, Reason, explain, predict
from scoring.models.classifier.table import Categories, Column, Kind, Table, TableError
from scoring.models.classifier.training import OutOfFold, Training, train

__all__ = [
    "ArtefactError",
    "BaseRate",
    "CalibrationBin",
    "Candidate",
    "Categories",
    "Classifier",
    "Column",
    "Comparison",
    "Difference",
    "Evaluation",
    "Explanation",
    "Figure",
    "Finding",
    "FindingKind",
    "Fold",
    "Kind",
    "LiftPoint",
    "Metrics",
    "OutOfFold",
    "Prediction",
    "Reason",
    "Table",
    "TableError",
    "Training",
    "artefact_hash",
    "compare",
    "evaluate",
    "explain",
    "from_bytes",
    "in_words",
    "measure",
    "predict",
    "to_bytes",
    "train",
]
