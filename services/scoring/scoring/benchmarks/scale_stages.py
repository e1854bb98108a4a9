"""What `scale` measures, each in a process of its own: arguments are texts, results what JSON holds."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scoring.benchmarks.purchases import AS_OF, Shop
from scoring.jobs import tasks
from scoring.jobs.columns import numbers
from scoring.jobs.files import Folder
from scoring.models.fitting import Floats
from scoring.models.summary import Ints, grouped

AS_OF_DAY = int(AS_OF.timestamp()) // 86_400
CUT_DAY = AS_OF_DAY - 91
_ROUNDS = 3
T = TypeVar("T")
_HORIZON_WEEKS, _DISCOUNT = 52, 0.1
_COLUMNS = ("days", "span", "age", "silence", "gap", "silence_by_gap", "first_weekday", "rate")


def generate(customers: str, folder: str) -> dict[str, float]:
    """Writes the purchases, block by block."""
    begun = _now()
    paths = Shop(int(customers), 10 * int(customers)).write_partitions(Path(folder))
    return {**_since(begun), "files": len(paths)}


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(begun: tuple[float, float]) -> dict[str, float]:
    wall, cpu = _now()
    return {"seconds": wall - begun[0], "cpu_seconds": cpu - begun[1]}


def _fastest(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """What it gave, and the least it took in some rounds: other work on the machine only adds."""
    took = []
    for _ in range(_ROUNDS):
        begun = _now()
        found = work()
        took.append(_since(begun))
    return found, min(took, key=lambda each: each["cpu_seconds"])


def _summaries(folder: str) -> dict[str, Ints]:
    """Of all customers, as the RFM stage left them."""
    names = sorted(path.name for path in (Path(folder) / tasks.WORK).glob("summary-*.arrow"))
    output = Folder(f"file://{folder}")
    parts = [tasks.read_columns(output, f"{tasks.WORK}/{name}", tasks.SUMMARY_COLUMNS) for name in names]
    return {
        name: np.concatenate([numbers(chunk) for part in parts for chunk in part.column(name).chunks])
        for name in tasks.SUMMARY_COLUMNS
    }


def lifetime_values(folder: str) -> dict[str, float]:
    """Fits both models and gives everybody's value with intervals; data in memory."""
    from scoring.models import lifetime_value
    from scoring.models.bg_nbd import BgNbd

    of = _summaries(folder)
    x, recency, age = of["days"] - 1, of["last_day"] - of["first_day"], AS_OF_DAY - of["first_day"]
    begun = _now()
    (gx, g_recency, g_age), counts = grouped(x, recency, age)
    purchases, _ = lifetime_value.fit_purchases(gx, g_recency, g_age, counts, _HORIZON_WEEKS, "bg_nbd")
    (days, revenue, repeat), of_spend = grouped(of["days"], of["revenue"], of["repeat_revenue"])
    spend, _ = lifetime_value.fit_spend(days - 1, repeat, days, revenue, of_spend)
    seen = lifetime_value.outlook(purchases, x, recency, age, _HORIZON_WEEKS, _DISCOUNT)
    found = lifetime_value.predict(seen, spend, x, of["repeat_revenue"])
    took = _since(begun)
    assert isinstance(purchases, BgNbd)
    total = float(found.value_minor.sum())
    return {**took, "log_likelihood": purchases.log_likelihood, "value": total, "rows": len(x)}


def lifetime_values_by_scipy(folder: str) -> dict[str, float]:
    """Fader, Hardie and Lee's equations (3), (10) and Gamma-Gamma's, maximised over all customers one by one."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]
    from scipy.special import betaln, gammaln, hyp2f1  # type: ignore[import-untyped]

    of = _summaries(folder)
    x = (of["days"] - 1).astype(np.float64)
    recency, age = (of["last_day"] - of["first_day"]) / 7, (AS_OF_DAY - of["first_day"]) / 7
    begun = _now()

    def of_purchases(logs: Floats) -> float:
        r, alpha, a, b = np.exp(logs)
        first = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
        left = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + recency)
        return -float(np.sum(first + np.where(x > 0, np.logaddexp(alive, left), alive)))

    found = minimize(of_purchases, np.zeros(4), method="L-BFGS-B", bounds=[(-8, 8)] * 4)
    usable = (x > 0) & (of["repeat_revenue"] > 0)
    n, mean = x[usable], of["repeat_revenue"][usable] / x[usable] / 100

    def of_spend(logs: Floats) -> float:
        p, q, gamma = np.exp(logs)
        head = gammaln(p * n + q) - gammaln(p * n) - gammaln(q) + q * np.log(gamma)
        return -float(
            np.sum(head + (p * n - 1) * np.log(mean) + p * n * np.log(n) - (p * n + q) * np.log(gamma + n * mean))
        )

    minimize(of_spend, np.zeros(3), method="L-BFGS-B", bounds=[(-8, 8)] * 3)
    r, alpha, a, b = np.exp(found.x)
    ratio = (alpha + age) / (alpha + recency)
    odds = np.where(x > 0, a / (b + np.maximum(x, 1) - 1) * ratio ** (r + x), 0.0)
    z = _HORIZON_WEEKS / (alpha + age + _HORIZON_WEEKS)
    grown = 1 - ((alpha + age) / (alpha + age + _HORIZON_WEEKS)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, z)
    expected = (a + b + x - 1) / (a - 1) * grown / (1 + odds)
    took = _since(begun)
    return {**took, "log_likelihood": -float(found.fun), "purchases": float(expected.sum())}


def _table(folder: str) -> tuple[Floats, Floats]:
    """What was known of each customer 91 days before the end, and whether they bought after."""
    of = _summaries(folder)
    known = of["early_days"] > 0
    of = {name: values[known] for name, values in of.items()}
    days = of["early_days"].astype(np.float64)
    span = (of["early_last_day"] - of["first_day"]).astype(np.float64)
    age = (CUT_DAY - of["first_day"]).astype(np.float64)
    silence = age - span
    gap = span / np.maximum(days - 1, 1)
    by_gap = silence / np.maximum(gap, 1)
    columns = (days, span, age, silence, gap, by_gap, of["first_day"] % 7, days / np.maximum(age, 1))
    return np.stack(columns, axis=1), (of["days"] > of["early_days"]).astype(np.float64)


def _classifier_table(values: Floats) -> Any:
    from scoring.models.classifier import Column, Kind, Table

    columns = [Column(name, Kind.NUMERIC) for name in _COLUMNS]
    return Table.of(columns, {name: np.ascontiguousarray(values[:, place]) for place, name in enumerate(_COLUMNS)})


def train(folder: str, target: str) -> dict[str, float]:
    """The product's classifier of who buys within 13 weeks, from a table in memory."""
    from scoring.models import classifier

    values, labels = _table(folder)
    table = _classifier_table(values)
    begun = _now()
    trained = classifier.train(table, labels)
    took = _since(begun)
    Path(target).write_bytes(classifier.to_bytes(trained.classifier))
    return {**took, "rows": len(values)}


def score(folder: str, stored: str) -> dict[str, float]:
    """The stored classifier on all rows of a table in memory: its boosted trees, calibrated, with intervals."""
    from scoring.models import classifier
    from scoring.models.classifier.classifier import BOOSTING

    values, _ = _table(folder)
    table = _classifier_table(values)
    model = classifier.from_bytes(Path(stored).read_bytes())
    found, took = _fastest(lambda: classifier.predict(model, table, candidate=BOOSTING))
    trees: Any = model.candidates[BOOSTING].model
    count = int(trees.trees.tree_count_)
    return {**took, "rows": len(values), "trees": count, "mean": float(found.probability.mean())}


def catboost_alone(folder: str, trees: str) -> dict[str, Any]:
    """One fit, and probabilities of all rows; one thread, as ours."""
    from catboost import CatBoostClassifier

    values, labels = _table(folder)
    matrix = np.ascontiguousarray(values, dtype=np.float32)
    model = CatBoostClassifier(
        iterations=int(trees),
        depth=5,
        learning_rate=0.05,
        leaf_estimation_iterations=1,
        thread_count=1,
        random_seed=1,
        allow_writing_files=False,
        logging_level="Silent",
    )
    begun = _now()
    model.fit(matrix, labels)
    trained = _since(begun)
    _, scored = _fastest(lambda: model.predict(matrix, prediction_type="Probability", thread_count=1))
    return {"train": trained, "score": scored, "rows": len(values)}
