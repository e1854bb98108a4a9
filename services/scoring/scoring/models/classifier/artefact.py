"""A classifier as bytes: a header, JSON, and CatBoost's own format; nothing in it runs code when read.

Layout: magic (8 bytes), SHA-256 of the rest (32), length of the JSON (8, big-endian), JSON, trees. Equal classifiers
are equal bytes. Categories of personal columns are in it as digests only.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from catboost import CatBoostClassifier

from scoring.models.classifier.average import Average
from scoring.models.classifier.boosting import Boosting
from scoring.models.classifier.calibration import Calibration
from scoring.models.classifier.classifier import AVERAGE, BOOSTING, LOGISTIC, BaseRate, Candidate, Classifier, Model
from scoring.models.classifier.encoding import Encoder, Slots
from scoring.models.classifier.logistic import Logistic
from scoring.models.classifier.table import Column, Kind
from scoring.models.classifier.uncertainty import Spread

_MAGIC = b"RPCLSF01"
_HEAD = len(_MAGIC) + 32 + 8
_OF_THE_RUN = ("train_finish_time", "model_guid", "training", "params", "output_options")
"""What CatBoost notes of a training beside the model (times, settings in no fixed order): equal models would differ."""
_ARRAYS = ("means", "scales", "lows", "highs", "weights", "missing_weights", "missing_means")


class ArtefactError(ValueError):
    """Bytes that are no whole artefact of this format."""


def to_bytes(classifier: Classifier) -> bytes:
    """The classifier's artefact."""
    told: dict[str, Any] = {
        "columns": [asdict(column) for column in classifier.columns],
        "outcome": classifier.outcome,
        "base_rate": asdict(classifier.base_rate),
        "chosen": classifier.chosen,
        "slots": [asdict(slots) for slots in classifier.encoder.slots],
        "candidates": {
            name: {
                "setting": candidate.setting,
                "calibration": asdict(candidate.calibration),
                "spread": asdict(candidate.spread),
                "log_loss": candidate.log_loss,
            }
            for name, candidate in classifier.candidates.items()
        },
    }
    trees = b""
    if classifier.candidates:
        average = classifier.candidates[AVERAGE].model
        assert isinstance(average, Average)
        told["logistic"] = {
            "intercept": average.logistic.intercept,
            **{name: getattr(average.logistic, name).tolist() for name in _ARRAYS},
        }
        told["trees_base"] = average.boosting.base
        trees = _tree_bytes(average.boosting.trees)
    text = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    body = len(text).to_bytes(8, "big") + text + trees
    return _MAGIC + hashlib.sha256(body).digest() + body


def artefact_hash(artefact: bytes) -> str:
    """What a registry names the artefact by: the SHA-256 of its bytes."""
    return hashlib.sha256(artefact).hexdigest()


def from_bytes(artefact: bytes) -> Classifier:
    """The classifier, with predictions equal to the bit. Raises ArtefactError where the bytes are not whole."""
    if artefact[: len(_MAGIC)] != _MAGIC:
        raise ArtefactError("these bytes are no classifier of this format: load what to_bytes gave")
    if (
        len(artefact) < _HEAD
        or hashlib.sha256(artefact[len(_MAGIC) + 32 :]).digest() != artefact[len(_MAGIC) : _HEAD - 8]
    ):
        raise ArtefactError("the classifier's bytes are damaged: load them again, or train anew")
    end = _HEAD + int.from_bytes(artefact[_HEAD - 8 : _HEAD], "big")
    told = json.loads(artefact[_HEAD:end])
    slots = tuple(
        Slots(_column(one["column"]), tuple(one["levels"]), one["rated"], one["rates"], one["usual_rate"])
        for one in told["slots"]
    )
    models: dict[str, Model] = {}
    if told["candidates"]:
        trees = CatBoostClassifier()
        trees.load_model(blob=artefact[end:])
        linear = told["logistic"]
        logistic = Logistic(intercept=linear["intercept"], **{name: np.array(linear[name]) for name in _ARRAYS})
        boosting = Boosting(trees, told["trees_base"])
        models = {LOGISTIC: logistic, BOOSTING: boosting, AVERAGE: Average(boosting, logistic)}
    return Classifier(
        tuple(_column(column) for column in told["columns"]),
        told["outcome"],
        BaseRate(**told["base_rate"]),
        Encoder(slots),
        {name: _candidate(models[name], one) for name, one in told["candidates"].items()},
        told["chosen"],
    )


def _candidate(model: Model, told: dict[str, Any]) -> Candidate:
    way = told["calibration"]
    return Candidate(
        model,
        told["setting"],
        Calibration(**{**way, "knots": tuple(way["knots"]), "values": tuple(way["values"])}),
        Spread(tuple(told["spread"]["knots"]), tuple(told["spread"]["deviations"])),
        told["log_loss"],
    )


def _column(told: dict[str, Any]) -> Column:
    return Column(told["name"], Kind(told["kind"]), told["words"], told["personal"])


def _tree_bytes(trees: CatBoostClassifier) -> bytes:
    # CatBoost writes models to files only; it is a copy whose notes of the run are taken away.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trees.cbm")
        trees.save_model(str(file))
        copy = CatBoostClassifier()
        copy.load_model(str(file))
        notes = copy.get_metadata()
        for name in _OF_THE_RUN:
            if name in notes:
                del notes[name]
        copy.save_model(str(file))
        return file.read_bytes()
