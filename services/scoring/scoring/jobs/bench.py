"""Measures fitting and scoring in one process: `python -m scoring.jobs.bench [CUSTOMERS]`; one JSON object a line."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from scoring.models import lifetime_value, reasons, rfm
from scoring.models.reasons import Usual
from scoring.models.rfm import Bounds
from scoring.models.summary import Ints, grouped

_HORIZON_WEEKS, _DISCOUNT, _SPAN_DAYS = 52, 0.1, 730


def histories(customers: int, seed: int = 1) -> tuple[Ints, Ints, Ints, Ints]:
    """Simulated x, t_x and T in days, and repeat revenue of BG/NBD and Gamma-Gamma customers within two years."""
    rng = np.random.default_rng(seed)
    age = rng.integers(0, _SPAN_DAYS, customers)
    rate, leave = rng.gamma(0.6, 1 / 60, customers), rng.beta(1, 3, customers)
    x, recency, now = np.zeros(customers, np.int64), np.zeros(customers, np.int64), np.zeros(customers)
    active = np.arange(customers)
    while len(active):
        now[active] += rng.exponential(1 / rate[active])
        active = active[now[active] <= age[active]]
        x[active] += 1
        recency[active] = now[active].astype(np.int64)
        active = active[rng.random(len(active)) >= leave[active]]
    spend = rng.gamma(6 * np.maximum(x, 1)) * 1_500 / rng.gamma(4, 1, customers).clip(0.3)
    return x, recency, age, np.where(x > 0, np.rint(spend), 0).astype(np.int64)


def fit_and_score(customers: int) -> Iterator[dict[str, Any]]:
    """Seconds of each step for that many customers: fits, expectations with intervals, RFM, reasons."""
    x, recency, age, repeat_revenue = histories(customers)
    revenue = repeat_revenue + 2_000
    begun = lap = (time.perf_counter(), time.process_time())

    def step(name: str) -> dict[str, Any]:
        nonlocal lap
        now = (time.perf_counter(), time.process_time())
        seconds, cpu = now[0] - lap[0], now[1] - lap[1]
        lap = now
        return {"step": name, "customers": customers, "seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}

    groups, counts = grouped(x, recency, age)
    purchases, _ = lifetime_value.fit_purchases(groups[0], groups[1], groups[2], counts, _HORIZON_WEEKS)
    yield step("fit BG/NBD") | {"groups": len(counts), **purchases.parameters}
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
    """Prints what `fit_and_score` measures."""
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for measured in fit_and_score(customers):
        print(json.dumps(measured), flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
