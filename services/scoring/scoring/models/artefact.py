"""Fitted models as JSON and back, every number exactly: what is stored scores as what was fitted."""

from dataclasses import fields
from typing import Any

import numpy as np

from scoring.models.baseline import MeanRate, MeanSpend
from scoring.models.bg_nbd import BgNbd
from scoring.models.gamma_gamma import GammaGamma
from scoring.models.lifetime_value import Choice
from scoring.models.mbg_nbd import MbgNbd
from scoring.models.pareto_nbd import ParetoNbd

FORMAT = 1
_CLASSES: dict[str, Any] = {cls.__name__: cls for cls in (BgNbd, MbgNbd, ParetoNbd, MeanRate, GammaGamma, MeanSpend)}


def dump(choice: Choice) -> dict[str, Any]:
    """As JSON holds it; floats are written so that they read as the same."""
    models = {part: _dump(getattr(choice, part)) for part in ("purchases", "spend")}
    return {"format": FORMAT, **models, "messages": list(choice.messages)}


def load(stored: dict[str, Any]) -> Choice:
    """What `dump` was given. Raises ValueError when it is of a format, or a model, this code does not know."""
    if stored.get("format") != FORMAT:
        raise ValueError(f"a stored model of format {stored.get('format')} cannot be read")
    return Choice(_load(stored["purchases"]), _load(stored["spend"]), tuple(stored["messages"]))


def _dump(model: Any) -> dict[str, Any]:
    values = {field.name: getattr(model, field.name) for field in fields(model) if field.init}
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
    return {"class": type(model).__name__, **plain}


def _load(stored: dict[str, Any]) -> Any:
    cls = _CLASSES.get(stored["class"])
    if cls is None:
        raise ValueError(f"a stored model of class {stored['class']} cannot be read")
    values = {name: value for name, value in stored.items() if name != "class"}
    return cls(**{name: np.array(value) if isinstance(value, list) else value for name, value in values.items()})
