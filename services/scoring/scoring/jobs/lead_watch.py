"""What became of a model of lead conversion since it learned: what it expected and what happened, and how far leads
have moved from those it learned from. Only leads count that are newer than all it learned from.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scoring.domain import gates, lead_gates
from scoring.models import comparison, drift
from scoring.models.classifier import Categories
from scoring.models.comparison import Rows
from scoring.models.drift import Histogram
from scoring.models.fitting import Floats
from scoring.models.lead_conversion import LeadConversion, Leads
from scoring.models.summary import Ints

SCORE = "probability"
_WEEK = np.timedelta64(7, "D")


@dataclass(frozen=True)
class Known:
    """A model of an earlier job."""

    name: str
    model: LeadConversion


@dataclass(frozen=True)
class Watched:
    """What is told of the champion. standing: who scores unless something better is found."""

    outcomes: tuple[dict[str, Any], ...]
    drifts: tuple[dict[str, Any], ...]
    falls: bool
    message: str
    standing: Known | None


def watch(leads: Leads, champion: Known | None, previous: Known | None) -> Watched:
    """Measures the champion, and whether the model before it comes back."""
    if champion is None:
        return Watched((), (), False, "", None)
    new = since(leads, champion.model)
    conversions = int(new.converted.sum())
    if not lead_gates.comparable(conversions, len(new) - conversions):
        return Watched((), (), False, "", champion)
    outcome = _outcome(champion, new)
    falls, message = False, ""
    if champion.model.promised is not None:
        before = _error(new, previous.model).value if previous else None
        falls, message = gates.roll_back(_error(new, champion.model), champion.model.promised, before)
    standing = previous if falls else champion
    assert standing is not None
    return Watched((outcome,), tuple(_drifts(standing.model, new)), falls, message, standing)


def since(leads: Leads, model: LeadConversion) -> Leads:
    """Those that are newer than what the model learned from."""
    return leads.take(np.flatnonzero(leads.created > np.datetime64(model.newest, "us")))


def error_share(leads: Leads, probability: Floats) -> gates.Interval:
    """Squared error as a share of that of telling the same of every lead (of the share that was converted)."""
    return comparison.error_share(_rows(leads), probability)


def histograms(leads: Leads, probability: Floats) -> dict[str, Histogram]:
    """How the facts that are numbers or yes and no lie, and what the model tells."""
    columns = _columns(leads) | {SCORE: probability}
    return {name: Histogram.of(values, _ones(values)) for name, values in columns.items()}


def _columns(leads: Leads) -> dict[str, Floats]:
    return {
        name: np.nan_to_num(found, nan=0.0)
        for name, found in leads.table.values.items()
        if not isinstance(found, Categories)
    }


def _error(leads: Leads, model: LeadConversion) -> gates.Interval:
    return error_share(leads, model.probability(leads.table))


def _outcome(known: Known, leads: Leads) -> dict[str, Any]:
    told = known.model.probability(leads.table)
    error = error_share(leads, told)
    promised = known.model.promised
    return {
        "model": known.name,
        "weeks": _round(float((leads.created.max() - leads.created.min()) / _WEEK)),
        "customers": len(leads),
        "expected": _round(float(told.sum())),
        "actual": int(leads.converted.sum()),
        "error": asdict(error),
        "promised": promised,
        "degraded": promised is not None and gates.degraded(error, promised),
        "deciles": [asdict(tenth) for tenth in comparison.tenths(_rows(leads), told)],
    }


def _drifts(model: LeadConversion, leads: Leads) -> list[dict[str, Any]]:
    columns: Mapping[str, Floats] = _columns(leads) | {SCORE: model.probability(leads.table)}
    found = []
    for name, old in model.histograms.items():
        moved = drift.between(old.counts, old.counted(columns[name], _ones(columns[name])).counts)
        figures = {**asdict(moved), "bound": gates.DRIFT, "drifted": moved.low >= gates.DRIFT}
        found.append({"feature": name, "score": name == SCORE, **figures})
    return found


def _rows(leads: Leads) -> Rows:
    """Leads as `comparison` has customers: each did nothing before, and was converted later or not."""
    none = np.zeros(len(leads), dtype=np.int64)
    return Rows(none, none, none, leads.converted.astype(np.int64), _ones(none), lead_gates.WITHIN.days / 7)


def _ones(values: Floats | Ints) -> Ints:
    return np.ones(len(values), dtype=np.int64)


def _round(value: float) -> float:
    return float(f"{value:.6g}")
