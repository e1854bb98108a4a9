"""A fitted model of offers as one file and back, every number exactly: what is stored offers as what was fitted."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, BinaryIO

import numpy as np

from scoring.models.drift import Histogram
from scoring.models.offers.calibration import Calibration
from scoring.models.offers.model import OfferModel

FORMAT = 2
_ARRAYS = ("names", "weights", "popularity", "rebuying", "buyers")
_NUMBERS = ("strength", "half_life_days", "repeat", "prior", "horizon_days")
_CURVES = ("of_new", "of_owned")


@dataclass(frozen=True)
class StoredOffers:
    """A model with all that a later job needs to watch it."""

    model: OfferModel
    end: int
    """The day that all it has learned from was bought before, since 1970-01-01 UTC."""
    promised: Mapping[int, float]
    """Its hit rate (HR@10) within so many days, as measured before it was released; empty when it was not tested."""
    histograms: Mapping[str, Histogram]
    """How customers lay when it was made, by column, and what it tells of them."""


def dump(stored: StoredOffers, file: BinaryIO) -> None:
    """Writes the file (NumPy's npz, nothing pickled); equal models give equal bytes."""
    model = stored.model
    arrays: dict[str, Any] = {name: getattr(model, name) for name in _ARRAYS if getattr(model, name) is not None}
    for name in _CURVES:
        if (curve := getattr(model, name)) is not None:
            arrays |= {f"{name}.{field.name}": getattr(curve, field.name) for field in fields(curve)}
    told = {
        "format": FORMAT,
        "end": stored.end,
        "promised": {str(days): rate for days, rate in stored.promised.items()},
        "histograms": {name: asdict(found) for name, found in stored.histograms.items()},
        "messages": list(model.messages),
        **{name: getattr(model, name) for name in _NUMBERS},
    }
    np.savez(file, told=np.array(json.dumps(told, sort_keys=True)), **arrays)


def load(file: BinaryIO) -> StoredOffers:
    """What `dump` wrote. Raises ValueError when it is of a format that this code does not know, or damaged."""
    try:
        with np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        told = json.loads(str(arrays["told"]))
    except (KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"a stored model of offers cannot be read: {type(error).__name__}") from error
    if told["format"] != FORMAT:
        raise ValueError(f"a stored model of offers of format {told['format']} cannot be read")
    curves: dict[str, Any] = {
        name: Calibration(*(arrays[f"{name}.{field.name}"] for field in fields(Calibration)))
        for name in _CURVES
        if f"{name}.score" in arrays
    }
    values: dict[str, Any] = {name: arrays.get(name) for name in _ARRAYS} | {name: told[name] for name in _NUMBERS}
    model = OfferModel(**values, **curves, messages=tuple(told["messages"]))
    promised = {int(days): rate for days, rate in told["promised"].items()}
    histograms = {name: Histogram.load(each) for name, each in told["histograms"].items()}
    return StoredOffers(model, told["end"], promised, histograms)
