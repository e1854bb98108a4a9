"""What became of a model of propensity since it learned: what it expected and what happened, and how far rows have
moved from those it learned from. Only rows count whose outcomes are newer than all it learned from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scoring.domain import gates, propensity_gates
from scoring.models import comparison, drift
from scoring.models.classifier import Categories
from scoring.models.comparison import Rows
from scoring.models.drift import Histogram
from scoring.models.fitting import Floats
from scoring.models.propensity import Labelled, Propensity
from scoring.models.summary import DAYS_PER_WEEK, Ints

SCORE = "probability"


@dataclass(frozen=True)
class Known:
    """A model of an earlier job. role: see `jobs.spec.KnownModel`."""

    name: str
    role: str
    model: Propensity


@dataclass(frozen=True)
class Watched:
    """What is told of the models. champion: who scored so far; standing: who does unless something better is found."""

    outcomes: tuple[dict[str, Any], ...]
    drifts: tuple[dict[str, Any], ...]
    falls: bool
    message: str
    champion: Known | None
    standing: Known | None


def watch(data: Labelled, horizon_days: int, known: Sequence[Known]) -> Watched:
    """Measures each model, and whether the one before the champion comes back. horizon_days: how long outcomes take."""
    of_role = {each.role: each for each in reversed(known)}
    champion, previous = of_role.get("champion"), of_role.get("previous")
    lived = {each.name: new for each in known if _tells(new := since(data, each.model))}
    outcomes = tuple(_outcome(each, lived[each.name], horizon_days) for each in known if each.name in lived)
    if champion is None or champion.name not in lived:
        return Watched(outcomes, (), False, "", champion, champion)
    new = lived[champion.name]
    falls, message = False, ""
    if champion.model.promised is not None:
        before = _error(new, previous.model, horizon_days).value if previous else None
        falls, message = gates.roll_back(_error(new, champion.model, horizon_days), champion.model.promised, before)
    standing = previous if falls else champion
    assert standing is not None
    return Watched(outcomes, tuple(_drifts(standing.model, new)), falls, message, champion, standing)


def since(data: Labelled, model: Propensity) -> Labelled:
    """Those whose outcomes are newer than what the model learned from."""
    return data.take(np.flatnonzero(data.dates > np.datetime64(model.newest, "us")))


def _tells(new: Labelled) -> bool:
    events = int(new.labels.sum())
    return propensity_gates.comparable(events, len(new) - events)


def error_share(data: Labelled, probability: Floats, horizon_days: int) -> gates.Interval:
    """Squared error as a share of that of telling the same of every row (the share that had the event)."""
    return comparison.error_share(_rows(data, horizon_days), probability)


def histograms(data: Labelled, probability: Floats) -> dict[str, Histogram]:
    """How the columns that are numbers or yes and no lie, and what the model tells."""
    columns = _columns(data) | {SCORE: probability}
    return {name: Histogram.of(values, _ones(values)) for name, values in columns.items()}


def _columns(data: Labelled) -> dict[str, Floats]:
    return {
        name: np.nan_to_num(found, nan=0.0)
        for name, found in data.table.values.items()
        if not isinstance(found, Categories)
    }


def _error(data: Labelled, model: Propensity, horizon_days: int) -> gates.Interval:
    return error_share(data, model.probability(data.table), horizon_days)


def _outcome(known: Known, data: Labelled, horizon_days: int) -> dict[str, Any]:
    told = known.model.probability(data.table)
    error = error_share(data, told, horizon_days)
    promised = known.model.promised
    return {
        "model": known.name,
        "weeks": _round(_weeks(known.model, data, horizon_days)),
        "customers": len(data),
        "expected": _round(float(told.sum())),
        "actual": int(data.labels.sum()),
        "error": asdict(error),
        "promised": promised,
        "degraded": promised is not None and gates.degraded(error, promised),
        "deciles": [asdict(tenth) for tenth in comparison.tenths(_rows(data, horizon_days), told)],
    }


def _weeks(model: Propensity, data: Labelled, horizon_days: int) -> float:
    """From the instant the model looked from until the outcome of the newest row was known."""
    known = data.dates.max() + np.timedelta64(horizon_days, "D")
    return float((known - np.datetime64(model.as_of, "us")) / np.timedelta64(DAYS_PER_WEEK, "D"))


def _drifts(model: Propensity, data: Labelled) -> list[dict[str, Any]]:
    columns: Mapping[str, Floats] = _columns(data) | {SCORE: model.probability(data.table)}
    found = []
    for name, old in model.histograms.items():
        moved = drift.between(old.counts, old.counted(columns[name], _ones(columns[name])).counts)
        figures = {**asdict(moved), "bound": gates.DRIFT, "drifted": moved.low >= gates.DRIFT}
        found.append({"feature": name, "score": name == SCORE, **figures})
    return found


def _rows(data: Labelled, horizon_days: int) -> Rows:
    """As `comparison` has customers: each row did nothing before, and had the event later or not."""
    none = np.zeros(len(data), dtype=np.int64)
    return Rows(none, none, none, data.labels.astype(np.int64), _ones(none), horizon_days / DAYS_PER_WEEK)


def _ones(values: Floats | Ints) -> Ints:
    return np.ones(len(values), dtype=np.int64)


def _round(value: float) -> float:
    return float(f"{value:.6g}")
