"""Measures fitting and scoring in one process: `python -m scoring.jobs.bench [CUSTOMERS]`; one JSON object a line."""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.models import lifetime_value, reasons, rfm, selection
from scoring.models.reasons import Usual
from scoring.models.rfm import Bounds
from scoring.models.selection import Split
from scoring.models.summary import DAYS_PER_WEEK, Ints, grouped

_HORIZON_WEEKS, _DISCOUNT, _SPAN_DAYS = 52, 0.1, 730
_VALIDATION_DAYS = 91


@dataclass(frozen=True)
class Simulated:
    """One element a customer; all times are days since the first purchase."""

    x: Ints
    recency: Ints
    age: Ints
    repeat_revenue: Ints
    early_x: Ints
    """Repeat purchases until 91 days before the end."""
    early_recency: Ints

    def split(self) -> Split:
        """What was known then of those who had come by then, and what followed."""
        known = self.age >= _VALIDATION_DAYS
        x, early_x = self.x[known], self.early_x[known]
        age = self.age[known] - _VALIDATION_DAYS
        return Split.of(early_x, self.early_recency[known], age, x - early_x, _VALIDATION_DAYS / DAYS_PER_WEEK)


def histories(customers: int, seed: int = 1, *, leave_by_time: bool = False) -> Simulated:
    """Customers of two years who buy as Gamma-Gamma has it, and leave as BG/NBD has it, or as Pareto/NBD."""
    rng = np.random.default_rng(seed)
    age = rng.integers(0, _SPAN_DAYS, customers)
    rate, leave = rng.gamma(0.6, 1 / 60, customers), rng.beta(1, 3, customers)
    end = age.astype(np.float64)
    if leave_by_time:
        end = np.minimum(end, rng.exponential(1 / rng.gamma(0.6, 1 / 90, customers).clip(1e-12)))
        leave = np.zeros(customers)
    x, recency, now = np.zeros(customers, np.int64), np.zeros(customers, np.int64), np.zeros(customers)
    early_x, early_recency = x.copy(), recency.copy()
    active = np.arange(customers)
    while len(active):
        now[active] += rng.exponential(1 / rate[active])
        active = active[now[active] <= end[active]]
        x[active] += 1
        recency[active] = now[active].astype(np.int64)
        early = active[recency[active] <= age[active] - _VALIDATION_DAYS]
        early_x[early], early_recency[early] = x[early], recency[early]
        active = active[rng.random(len(active)) >= leave[active]]
    spend = rng.gamma(6 * np.maximum(x, 1)) * 1_500 / rng.gamma(4, 1, customers).clip(0.3)
    repeat_revenue = np.where(x > 0, np.rint(spend), 0).astype(np.int64)
    return Simulated(x, recency, age, repeat_revenue, early_x, early_recency)


def fit_and_score(customers: int, *, leave_by_time: bool = False) -> Iterator[dict[str, Any]]:
    """Seconds of each step for that many: choice of the model, fits, expectations with intervals, RFM, reasons."""
    people = histories(customers, leave_by_time=leave_by_time)
    x, recency, age, repeat_revenue = people.x, people.recency, people.age, people.repeat_revenue
    revenue = repeat_revenue + 2_000
    begun = lap = (time.perf_counter(), time.process_time())

    def step(name: str) -> dict[str, Any]:
        nonlocal lap
        now = (time.perf_counter(), time.process_time())
        seconds, cpu = now[0] - lap[0], now[1] - lap[1]
        lap = now
        return {"step": name, "customers": customers, "seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}

    chosen = selection.select(people.split())
    yield step("choose the model of purchases") | chosen.metrics
    groups, counts = grouped(x, recency, age)
    purchases, about = lifetime_value.fit_purchases(
        groups[0], groups[1], groups[2], counts, _HORIZON_WEEKS, chosen.name
    )
    yield step(f"fit {chosen.title}") | {"groups": len(counts), **purchases.parameters, "messages": about}
    (some_x, some_spend), counts = grouped(x, repeat_revenue)
    spend, _ = lifetime_value.fit_spend(some_x, some_spend, some_x + 1, some_spend + 2_000, counts)
    yield step("fit Gamma-Gamma") | spend.parameters
    seen = lifetime_value.outlook(purchases, x, recency, age, _HORIZON_WEEKS, _DISCOUNT)
    lifetime_value.predict(seen, spend, x, repeat_revenue)
    yield step("lifetime value with intervals")
    scores = [
        Bounds.of(*np.unique(values, return_counts=True)).scores(values) for values in (recency - age, x + 1, revenue)
    ]
    rfm.segments(scores[0], scores[1], scores[2])
    yield step("RFM")
    usual = lifetime_value.usual_discounted(purchases, age, _HORIZON_WEEKS, _DISCOUNT)
    mean = Usual(float(seen.alive.mean()), float(usual.mean()), spend.mean, float(revenue.sum() / (x + 1).sum()))
    reasons.explain(mean, seen, usual, spend.expected_spend(x, repeat_revenue), x, recency, age, revenue)
    yield step("reasons")
    lap = begun
    yield step("all") | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def main() -> None:
    """Prints what `fit_and_score` measures, for customers who leave as BG/NBD has it, or else as Pareto/NBD."""
    parser = argparse.ArgumentParser(prog="python -m scoring.jobs.bench", description=__doc__)
    parser.add_argument("customers", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--leave-by-time", action="store_true", help="customers leave as Pareto/NBD has it")
    arguments = parser.parse_args()
    for measured in fit_and_score(arguments.customers, leave_by_time=arguments.leave_by_time):
        print(json.dumps(measured), flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
