"""What became of models of propensity since they learned: what each expected and what happened, and how far rows have
moved. For the former only rows count whose outcomes are newer than all it learned from; for the latter the rows of now,
whose outcomes nobody knows yet. Intervals draw customers, with all their rows.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.domain import gates, propensity_gates
from scoring.jobs.description import Watched
from scoring.models import comparison, drift, repeated_rows
from scoring.models.classifier import Categories, Classifier, Table, predict
from scoring.models.classifier.table import Values
from scoring.models.comparison import Rows
from scoring.models.drift import Histogram
from scoring.models.fitting import Floats
from scoring.models.propensity import Labelled, Propensity
from scoring.models.rounding import shortened
from scoring.models.summary import DAYS_PER_WEEK, Ints

SCORE = "probability"
SAMPLE = 20_000
"""Rows that are compared with earlier ones, at even distances."""


@dataclass(frozen=True)
class Known:
    """A model of an earlier job. role: see `jobs.spec.KnownModel`."""

    name: str
    role: str
    model: Propensity


@dataclass(frozen=True)
class Current:
    """Rows as they are now, whether or not their outcomes are known. dates, owners: as `Labelled` has them."""

    table: Table
    dates: NDArray[np.datetime64]
    owners: NDArray[Any] | None = None

    def since(self, newest: int) -> Table:
        """The newest of each customer, of later dates (microseconds since 1970): several of one are not independent."""
        rows = np.flatnonzero(self.dates > np.datetime64(newest, "us"))
        if self.owners is not None:
            rows = rows[newest_of_each(self.owners[rows], self.dates[rows])]
        return self.table.take(rows)


def watch(data: Labelled, current: Current, horizon_days: int, known: Sequence[Known]) -> Watched[Known]:
    """Measures each model, and whether the one before the champion comes back. horizon_days: how long outcomes take."""
    of_role = {each.role: each for each in reversed(known)}
    champion, previous = of_role.get("champion"), of_role.get("previous")
    lived = {each.name: new for each in known if _tells(new := since(data, each.model))}
    outcomes = tuple(_outcome(each, lived[each.name], horizon_days) for each in known if each.name in lived)
    falls, message = _fall(data, champion, previous, horizon_days) if champion else (False, "")
    standing = previous if falls else champion
    drifts = _drifts(standing.model, current.since(standing.model.newest)) if standing else ()
    return Watched(outcomes, tuple(drifts), falls, message, champion, standing)


def _fall(data: Labelled, champion: Known, previous: Known | None, horizon_days: int) -> tuple[bool, str]:
    """Whether the champion goes, and why. Rows that one of the two has learned from would flatter it."""
    newest = max((champion, previous or champion), key=lambda each: each.model.newest)
    new, promised = since(data, newest.model), champion.model.promised
    if promised is None or not _tells(new):
        return False, ""
    before = _error(new, previous.model, horizon_days).value if previous else None
    return gates.roll_back(_error(new, champion.model, horizon_days), promised, before)


def newest_of_each(owners: NDArray[Any], dates: NDArray[np.datetime64]) -> Ints:
    """The places of each customer's newest row, ascending."""
    order = np.lexsort((dates, owners))
    last = np.append(owners[order][1:] != owners[order][:-1], np.ones(min(len(order), 1), dtype=bool))
    return np.sort(order[last])


def since(data: Labelled, model: Propensity) -> Labelled:
    """Those whose outcomes are newer than what the model learned from."""
    return data.take(np.flatnonzero(data.dates > np.datetime64(model.newest, "us")))


def _tells(new: Labelled) -> bool:
    return propensity_gates.comparable(*new.customer_counts)


def error_share(data: Labelled, probability: Floats, horizon_days: int) -> gates.Interval:
    """Squared error as a share of that of telling the same of every row (the share that had the event)."""
    return comparison.error_share(_rows(data, horizon_days), probability)


def histograms(classifier: Classifier, table: Table) -> dict[str, Histogram]:
    """How rows lie in each column that is not personal, and what the model tells of them."""
    return {name: _histogram(values) for name, values in _columns(classifier, table).items()}


def _histogram(values: Values, old: Histogram | None = None) -> Histogram:
    """old: in whose bins they are counted."""
    if isinstance(values, Categories):
        codes = values.codes.astype(np.int64)
        return old.counted_texts(codes, values.levels) if old else Histogram.of_texts(codes, values.levels)
    return old.counted(values, _ones(values)) if old else Histogram.of(values, _ones(values))


def _columns(classifier: Classifier, table: Table) -> dict[str, Values]:
    some = table.take(slice(None, None, max(1, len(table) // SAMPLE)))
    shown = {column.name: some.values[column.name] for column in some.columns if not column.personal}
    return shown | {SCORE: predict(classifier, some).probability}


def _error(data: Labelled, model: Propensity, horizon_days: int) -> gates.Interval:
    return error_share(data, model.probability(data.table), horizon_days)


def _outcome(known: Known, data: Labelled, horizon_days: int) -> dict[str, Any]:
    told = known.model.probability(data.table)
    error = error_share(data, told, horizon_days)
    promised = known.model.promised
    return {
        "model": known.name,
        "weeks": shortened(_weeks(known.model, data, horizon_days)),
        "customers": len(data),
        "expected": shortened(float(told.sum())),
        "actual": int(data.labels.sum()),
        "error": asdict(error),
        "promised": promised,
        "degraded": promised is not None and gates.degraded(error, promised),
        "deciles": [asdict(tenth) for tenth in comparison.tenths(_rows(data, horizon_days), told)],
    }


def _weeks(model: Propensity, data: Labelled, horizon_days: int) -> float:
    """From the instant the model looked from until the outcome of the newest row was known; 0 where that was before it,
    as of rows that come late.
    """
    known = data.dates.max() + np.timedelta64(horizon_days, "D")
    return max(0.0, float((known - np.datetime64(model.as_of, "us")) / np.timedelta64(DAYS_PER_WEEK, "D")))


def _drifts(model: Propensity, table: Table) -> list[dict[str, Any]]:
    if not len(table):
        return []
    columns = _columns(model.classifier, table)
    new = {name: _histogram(columns[name], old) for name, old in model.histograms.items()}
    return drift.told(model.histograms, new, {SCORE})


def _rows(data: Labelled, horizon_days: int) -> Rows:
    """As `comparison` has rows of customers: in each one did nothing before, and had the event later or not."""
    none = np.zeros(len(data), dtype=np.int64)
    weeks, owner = horizon_days / DAYS_PER_WEEK, repeated_rows.codes(data.customers, len(data))
    return Rows(none, none, none, data.labels.astype(np.int64), _ones(none), weeks, owner=owner)


def _ones(values: Floats | Ints) -> Ints:
    return np.ones(len(values), dtype=np.int64)
