"""All customers as models look at them: what is kept of that with a model, and how far it has moved since."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scoring.jobs.files import Folder
from scoring.jobs.fit import Fitted
from scoring.jobs.known_models import Known
from scoring.jobs.spec import JobSpec
from scoring.jobs.tasks import SUMMARY_COLUMNS, Part, read_columns
from scoring.models import artefact, drift, lifetime_value
from scoring.models.baseline import MeanRate
from scoring.models.drift import Histogram
from scoring.models.fitting import Floats
from scoring.models.lifetime_value import Choice
from scoring.models.rounding import rounded
from scoring.models.summary import DAYS_PER_WEEK, Ints

_SAMPLE = 20_000
"""Customers whose scores are compared with earlier ones."""
FEATURES = {"frequency": 1, "recency_weeks": 1, "age_weeks": 1, "monetary_minor": 1}
"""What the models look at, with the versions of their definitions (`summary.Summary`, `scores.SCHEMA`)."""
_SILENCE_WEEKS = tuple(range(0, 105, 4))
_SCORES = ("p_alive", "expected_purchases", "lifetime_value_minor")


@dataclass(frozen=True)
class Population:
    """All customers, in the order of their names."""

    x: Ints
    recency: Ints
    age: Ints
    repeat_revenue: Ints
    revenue: Ints

    def columns(self) -> dict[str, Floats | Ints]:
        """What models look at."""
        mean = self.repeat_revenue / np.maximum(self.x, 1)
        weeks = (self.recency / DAYS_PER_WEEK, self.age / DAYS_PER_WEEK)
        return dict(zip(FEATURES, (self.x, *weeks, mean), strict=True))

    def scores(self, choice: Choice, horizon_weeks: int, discount: float) -> dict[str, Floats | Ints]:
        """What models tell of some of them, at even distances."""
        step = max(1, len(self.x) // _SAMPLE)
        x, recency, age, spent = (column[::step] for column in (self.x, self.recency, self.age, self.repeat_revenue))
        seen = lifetime_value.outlook(choice.purchases, x, recency, age, horizon_weeks, discount)
        found = lifetime_value.predict(seen, choice.spend, x, spent)
        return dict(zip(_SCORES, (found.p_alive, found.expected_purchases, found.value_minor), strict=True))


def population(output: Folder, parts: Sequence[Part], fitted: Fitted) -> Population:
    """From the summaries of all partitions."""
    tables = [read_columns(output, part.file, SUMMARY_COLUMNS) for part in parts]
    column = {name: np.concatenate([table.column(name).to_numpy() for table in tables]) for name in SUMMARY_COLUMNS}
    first = column["first_day"]
    return Population(
        column["days"] - 1,
        column["last_day"] - first,
        fitted.as_of_day - first,
        column["repeat_revenue"],
        column["revenue"],
    )


def survival(model: Any, people: Population) -> list[dict[str, float]]:
    """How likely one who came back as often as is usual is still a customer, after some weeks of silence."""
    back = people.x > 0
    if isinstance(model, MeanRate) or not back.any():
        return []
    weeks = np.array(_SILENCE_WEEKS, dtype=np.float64)
    x = np.full(len(weeks), int(np.median(people.x[back])))
    recency = np.full(len(weeks), float(np.median(people.recency[back])) / DAYS_PER_WEEK)
    alive = model.p_alive(x, recency, recency + weeks)[0]
    return [{"weeks": float(week), "alive": rounded(each)} for week, each in zip(weeks, alive, strict=True)]


def _histograms(columns: dict[str, Floats | Ints]) -> dict[str, Any]:
    return {name: asdict(Histogram.of(values, ones(values))) for name, values in columns.items()}


def ones(values: Floats | Ints) -> Ints:
    """Each row is one customer."""
    return np.ones(len(values), dtype=np.int64)


def stored_form(
    choice: Choice, fitted: Fitted, spec: JobSpec, people: Population, test: dict[str, Any]
) -> dict[str, Any]:
    """Everything that a later job needs to score with a model and to watch it. test: what it promises, from a test."""
    scores = people.scores(choice, fitted.horizon_weeks, fitted.discount)
    return {
        "choice": artefact.dump(choice),
        "as_of_day": fitted.as_of_day,
        "currency": spec.currency,
        "horizon_weeks": fitted.horizon_weeks,
        "discount": fitted.discount,
        "features": FEATURES,
        "feature_histograms": _histograms(people.columns()),
        "score_histograms": _histograms(scores),
        "promised": test["promised"],
        "promised_revenue": test.get("promised_revenue", {}),
    }


def drifts(model: Known, people: Population) -> list[dict[str, Any]]:
    """How far customers, and what the model tells of them, are from when it was made."""
    scores = people.scores(model.choice, model.stored["horizon_weeks"], model.stored["discount"])
    columns = people.columns() | scores
    stored = model.stored["feature_histograms"] | model.stored["score_histograms"]
    old = {name: Histogram.load(each) for name, each in stored.items() if name in columns}
    new = {name: each.counted(columns[name], ones(columns[name])) for name, each in old.items()}
    return drift.told(old, new, _SCORES)
