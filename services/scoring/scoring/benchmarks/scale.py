"""How the work grows: `python -m scoring.benchmarks.scale [--customers N] [--check]`, ten purchases a customer.

Each stage runs in a process of its own at a tenth of the size and at the full one, beside the best single-process peer;
one JSON object a line, progress on standard error. A stage may take twelve times as long for ten times as much.
`--check` ends with a table of the marks on standard error, and with 1 if one is missed. Those beside peers are of the
full size, and hold from 100,000 customers on: with fewer, starting a job is most of what it takes.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scoring.benchmarks import features_peers, rfm_peers, scale_churn, scale_features
from scoring.benchmarks import scale_stages as stages
from scoring.benchmarks.children import Measured, fastest, measured
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Check, Mark
from scoring.benchmarks.rfm import lines, ours, peer_marks
from scoring.benchmarks.waiting import telling
from scoring.jobs.executor import cpus

MOST_GROWTH = 12
FIT_AND_SCORE_S = 5.0
"""BG/NBD and Gamma-Gamma of a million customers, data in memory."""
LEAST_SCORING_RATE = 0.8
"""Of CatBoost's own rows a second."""
_TASK = "scale"
_GENERATE, _FEATURES, _RFM = "generate purchases", "features from files", "RFM from files"
_VALUES, _TRAIN, _SCORE = "BG/NBD and Gamma-Gamma, fit and score", "classifier, train", "classifier, score"
_CHURN = "churn from files, train and score"
_CLOCKS = (("seconds", "seconds"), ("cpu_seconds", "CPU seconds"))
_STAGES = (_GENERATE, _FEATURES, _RFM, _VALUES, _TRAIN, _SCORE, _CHURN)
_DIFFERENT = "features: values that differ from DuckDB's in any bit"


def marks(customers: int) -> tuple[Mark, ...]:
    """What the lines of `measure` must reach. Of CPU seconds: other work on the machine moves them least."""
    return (
        *peer_marks(f"{_FEATURES}, {customers} *"),
        *peer_marks(f"{_RFM}, {customers} *"),
        Mark(data="*", metric=_DIFFERENT, equal=0, source="DuckDB, same run"),
        Mark(
            data=f"{customers} *",
            metric=f"{_VALUES}: CPU seconds",
            at_most=FIT_AND_SCORE_S * customers / 1e6,
            source=f"{FIT_AND_SCORE_S:g} s a million customers",
        ),
        Mark(
            data="*",
            metric=f"{_SCORE}: rows in CPU seconds",
            at_least=LEAST_SCORING_RATE,
            times_peer=True,
            source="CatBoost alone, same run",
        ),
        *(
            Mark(
                data=f"{customers} *",
                metric=f"{stage}: growth of CPU seconds from a tenth",
                at_most=MOST_GROWTH,
                source="10 if it grew with the size",
            )
            for stage in _STAGES
        ),
    )


@dataclass(frozen=True)
class Run:
    """What one size took."""

    name: str
    stages: dict[str, Measured]
    features_peers: dict[str, Measured]
    different_features: int
    rfm_peers: dict[str, Measured]
    by_scipy: Measured
    catboost: Measured


def measure(customers: int) -> Iterator[Line]:
    """Lines of all stages: the small size, the full one, and what lies between."""
    with tempfile.TemporaryDirectory(prefix="rapport-scale-") as folder:
        runs = []
        for count in (customers // 10, customers):
            runs.append(_run(count, Path(folder) / str(count)))
            yield from _absolute(runs[-1])
            yield from _beside_peers(runs[-1])
        yield from _growth(*runs)


def _run(customers: int, root: Path) -> Run:
    print(f"{customers} customers", file=sys.stderr, flush=True)  # noqa: T201 - how far it is
    purchases, features, job, classifier = (root / name for name in ("purchases", "features", "job", "classifier"))
    found = {
        _GENERATE: measured(stages.generate, customers, purchases),
        _FEATURES: measured(scale_features.ours, purchases, features, cpus(), one_thread=True),
        _RFM: fastest(
            *(
                measured(ours, purchases, folder, cpus(), 16, "EUR", stages.CUT_DAY, one_thread=True)
                for folder in (root / "first", job)
            )
        ),
        _VALUES: measured(stages.lifetime_values, job, one_thread=True),
        _TRAIN: measured(stages.train, job, classifier, one_thread=True),
        _SCORE: measured(stages.score, job, classifier, one_thread=True),
        _CHURN: measured(scale_churn.ours, purchases, root / "churn", cpus(), one_thread=True),
    }
    trees = found[_SCORE].result["trees"]
    of_peer = root / "features.parquet"
    return Run(
        name=f"{customers} customers, {10 * customers} purchases",
        stages=found,
        features_peers={
            "Polars streaming": measured(features_peers.with_polars, purchases, of_peer),
            "DuckDB": measured(features_peers.with_duckdb, purchases, of_peer),
        },
        different_features=measured(scale_features.different, features, of_peer).result,
        rfm_peers={
            name: fastest(*(measured(peer, purchases, root / "rfm.parquet") for _ in range(2)))
            for name, peer in (("DuckDB", rfm_peers.with_duckdb), ("Polars streaming", rfm_peers.with_polars))
        },
        by_scipy=measured(stages.lifetime_values_by_scipy, job, one_thread=True),
        catboost=measured(stages.catboost_alone, job, trees, one_thread=True),
    )


def _absolute(run: Run) -> Iterator[Line]:
    for stage, seen in run.stages.items():
        for field, unit in _CLOCKS:
            yield _line(run, f"{stage}: {unit}", _of(seen, field))
        yield _line(run, f"{stage}: peak MB", seen.peak_mb)


def _of(seen: Measured, field: str) -> float:
    """Seconds without making ready what the stage finds in memory, by the clock or of the processor."""
    return float(seen.result[field] if isinstance(seen.result, dict) else getattr(seen, field))


def _line(run: Run, metric: str, value: float, reference: float | None = None, note: str | None = None) -> Line:
    return Line(task=_TASK, data=run.name, metric=metric, value=value, reference=reference, note=note)


def _beside_peers(run: Run) -> Iterator[Line]:
    yield from lines(_TASK, f"{_FEATURES}, {run.name}", run.stages[_FEATURES], run.features_peers)
    note = f"of those of {run.stages[_FEATURES].result} customers with a purchase within the year"
    yield _line(run, _DIFFERENT, run.different_features, 0, note)
    yield from lines(_TASK, f"{_RFM}, {run.name}", run.stages[_RFM], run.rfm_peers)
    values, train, score = (run.stages[stage] for stage in (_VALUES, _TRAIN, _SCORE))
    own, trees = run.catboost.result, score.result["trees"]
    for field, unit in _CLOCKS:
        likelihoods = f"{values.result['log_likelihood']:.1f}, peer {run.by_scipy.result['log_likelihood']:.1f}"
        yield Line(
            task=_TASK,
            data=run.name,
            metric=f"{_VALUES}: {unit}",
            value=_of(values, field),
            reference=FIT_AND_SCORE_S * int(values.result["rows"]) / 1e6,
            peer="BG/NBD as printed, by scipy: no groups, no intervals",
            peer_value=_of(run.by_scipy, field),
            note=f"log likelihood {likelihoods}",
        )
        yield Line(
            task=_TASK,
            data=run.name,
            metric=f"{_TRAIN}: {unit}",
            value=_of(train, field),
            peer=f"CatBoost alone, one fit of {trees} trees",
            peer_value=own["train"][field],
            note="ours chooses among three models on out-of-fold rows, calibrates and measures, too",
        )
        rate, peer = score.result["rows"] / _of(score, field), own["rows"] / own["score"][field]
        yield Line(
            task=_TASK,
            data=run.name,
            metric=f"{_SCORE}: rows in {unit}",
            value=rate,
            reference=LEAST_SCORING_RATE * peer,
            peer="CatBoost alone",
            peer_value=peer,
            note=f"{rate / peer:.2f} of the peer; ours gives calibrated probabilities with intervals",
        )


def _growth(small: Run, full: Run) -> Iterator[Line]:
    """Of CPU seconds: other work on the machine moves them least."""
    for stage, more in full.stages.items():
        less = small.stages[stage]
        growth = _of(more, "cpu_seconds") / _of(less, "cpu_seconds")
        wall = _of(more, "seconds") / _of(less, "seconds")
        note = (
            f"exponent {math.log10(growth):.2f}; by the clock {wall:.1f}; memory {more.peak_mb / less.peak_mb:.1f}-fold"
        )
        yield _line(full, f"{stage}: growth of CPU seconds from a tenth", growth, MOST_GROWTH, note)


def main() -> int:
    """Prints the lines as they come; returns 1 where a mark is to be checked and missed."""
    parser = argparse.ArgumentParser(prog="python -m scoring.benchmarks.scale", description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--check", action="store_true", help="compare with the marks; 1 if one is missed")
    arguments = parser.parse_args()
    found, check = list[Line](), Check()
    with telling(_TASK):
        for line in measure(arguments.customers):
            print(line.json(), flush=True)  # noqa: T201 - a program's output
            found.append(line)
    check.task(_TASK, marks(arguments.customers), found, missing_data=False)
    if arguments.check:
        print(check.table(), file=sys.stderr, flush=True)  # noqa: T201 - a program's output
    return 1 if arguments.check and check.missed else 0


if __name__ == "__main__":
    sys.exit(main())
