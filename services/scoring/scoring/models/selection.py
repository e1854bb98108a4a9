"""Which model of purchases a tenant gets: the one that best told purchases none of the candidates had seen.

The candidates are fitted to purchases until an earlier day and tell those of the weeks after it; that is another time
than the one the chosen model is tested on in the end. Their error is the Poisson deviance, whose expectation is least
for the true mean. BG/NBD gives way only to a model whose error is less by two standard errors of the difference
(paired by customer): otherwise scores would change their model by chance from one job to the next. The likelihood of
the same purchases is no criterion here: where no model is true, the likeliest need not tell the future best.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.models import bg_nbd, pareto_nbd
from scoring.models.bg_nbd import BgNbd
from scoring.models.fitting import Floats, Histories, Interval, delta_intervals, significant, total
from scoring.models.mbg_nbd import MbgNbd
from scoring.models.pareto_nbd import ParetoNbd
from scoring.models.purchase_model import PurchaseModel
from scoring.models.summary import DAYS_PER_WEEK, Ints, grouped, thinned

DEFAULT = BgNbd.NAME
MOST_CUSTOMERS = 30_000
"""More are compared by that many of them, evenly spread over all in canonical order."""
LEAST_DIFFERENCE = 2.0
"""Standard errors."""
LEAST_REPEATERS = 30
"""Fewer customers who came back do not carry a model's parameters."""
PROFILED_GROUPS = 2_000
"""Up to so many different histories intervals are those of the profile likelihood; beyond, both methods agree."""


@dataclass(frozen=True)
class Candidate:
    """A kind of model."""

    title: str
    fit: Callable[[Histories], BgNbd | MbgNbd | ParetoNbd]
    intervals: Callable[[Any, Histories], dict[str, Interval]]


CANDIDATES = {
    BgNbd.NAME: Candidate("BG/NBD", lambda found: bg_nbd.fit_kind(BgNbd, found), bg_nbd.intervals),
    MbgNbd.NAME: Candidate("MBG/NBD", lambda found: bg_nbd.fit_kind(MbgNbd, found), bg_nbd.intervals),
    ParetoNbd.NAME: Candidate("Pareto/NBD", pareto_nbd.fit_histories, pareto_nbd.intervals),
}


@dataclass(frozen=True)
class Split:
    """What customers had done until a day, and how often they bought in the `weeks` after it; equal ones grouped."""

    x: Ints
    recency_days: Ints
    age_days: Ints
    later: Ints
    """Purchase days after it."""
    counts: Ints
    weeks: float

    @classmethod
    def of(cls, x: Ints, recency_days: Ints, age_days: Ints, later: Ints, weeks: float) -> "Split":
        """From one row a customer, in any order."""
        (x, recency_days, age_days, later), counts = grouped(x, recency_days, age_days, later)
        return cls(x, recency_days, age_days, later, counts, weeks)

    def thinned(self, most: int) -> "Split":
        """At most so many customers, evenly spread over all."""
        counts = thinned(self.counts, most)
        kept = counts > 0
        return Split(
            self.x[kept], self.recency_days[kept], self.age_days[kept], self.later[kept], counts[kept], self.weeks
        )

    @property
    def repeaters(self) -> int:
        """Customers who had come back until the day."""
        return int(self.counts[self.x > 0].sum())

    def histories(self) -> Histories:
        """Until the day."""
        return Histories.of(self.x, self.recency_days, self.age_days, self.counts)

    def expected(self, model: PurchaseModel) -> Floats:
        """Of each group in the weeks after it."""
        recency, age = self.recency_days / DAYS_PER_WEEK, self.age_days / DAYS_PER_WEEK
        return model.expected_purchases(self.x, recency, age, self.weeks)


@dataclass(frozen=True)
class Selection:
    """The model chosen, and why."""

    name: str
    reason: str
    weeks: float = 0.0
    customers: int = 0
    deviance: dict[str, float] | None = None
    """Mean of each candidate's."""
    difference: dict[str, float] | None = None
    """From BG/NBD's, in standard errors of the difference; negative is better."""

    @property
    def title(self) -> str:
        """The model's usual name."""
        return CANDIDATES[self.name].title

    @property
    def metrics(self) -> dict[str, Any]:
        """As JSON holds them."""
        told: dict[str, Any] = {"model": self.name, "reason": self.reason}
        if self.deviance is not None:
            told |= {"weeks": self.weeks, "customers": self.customers, "deviance": self.deviance}
            told["difference_in_standard_errors"] = self.difference
        return told


def without_comparison(reason: str) -> Selection:
    """The default model, and why no other was tried."""
    return Selection(DEFAULT, reason)


def select(split: Split) -> Selection:
    """Compares the candidates; equal whatever the order of rows."""
    split = split.thinned(MOST_CUSTOMERS)
    if split.repeaters < LEAST_REPEATERS:
        return without_comparison(
            f"{split.repeaters} customers had come back before the weeks to compare on; that takes {LEAST_REPEATERS}"
        )
    histories, customers = split.histories(), int(split.counts.sum())
    errors = {
        name: _deviance(split.expected(model), split.later)
        for name, model in ((name, candidate.fit(histories)) for name, candidate in CANDIDATES.items())
        if model.converged
    }
    if DEFAULT not in errors:
        return without_comparison("no model could be fitted to the purchases before the weeks to compare on")
    mean = {name: significant(total(split.counts, error) / customers) for name, error in errors.items()}
    difference = {
        name: _difference(error - errors[DEFAULT], split.counts) for name, error in errors.items() if name != DEFAULT
    }
    better = [name for name, distance in difference.items() if distance <= -LEAST_DIFFERENCE]
    name = min(better, key=lambda name: mean[name], default=DEFAULT)
    rival = min(difference, key=lambda name: mean[name], default=DEFAULT) if name == DEFAULT else name
    compared = f"on {split.weeks:g} weeks that no model had seen"
    if name != DEFAULT:
        reason = f"{CANDIDATES[name].title} told purchases better than BG/NBD {compared}"
    elif rival != DEFAULT and mean[rival] < mean[DEFAULT]:
        reason = f"{CANDIDATES[rival].title} was better {compared}, but by less than chance may explain"
    else:
        reason = f"no model told purchases better {compared}"
    return Selection(name, reason, significant(split.weeks), customers, mean, difference)


def fitted(name: str, histories: Histories) -> BgNbd | MbgNbd | ParetoNbd | None:
    """The model of that name, or the first other one whose search ends at a maximum, or none."""
    for candidate in sorted(CANDIDATES, key=lambda other: other != name):
        model = CANDIDATES[candidate].fit(histories)
        if model.converged:
            return model
    return None


def parameter_intervals(model: PurchaseModel, histories: Histories) -> dict[str, Interval]:
    """90 percent intervals of the parameters of a model fitted to these customers."""
    if len(histories) > PROFILED_GROUPS:
        return delta_intervals(model.parameters, model.covariance)
    return CANDIDATES[model.NAME].intervals(model, histories)


def _deviance(expected: Floats, actual: Ints) -> Floats:
    expected = np.maximum(expected, 1e-12)
    # Rounded, so that processors whose logarithms differ in the last bit choose alike.
    surprise = np.where(actual > 0, actual * np.log(np.maximum(actual, 1) / expected), 0.0)
    return np.round(2 * (surprise - (actual - expected)), 9)


def _difference(differences: Floats, counts: Ints) -> float:
    """Mean in standard errors; 0 where nothing differs."""
    customers = int(counts.sum())
    mean = total(counts, differences) / customers
    variance = total(counts, (differences - mean) ** 2) / max(customers - 1, 1)
    return significant(mean / float(np.sqrt(variance / customers))) if variance > 0 else 0.0
