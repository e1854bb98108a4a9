"""How the work grows: `python -m scoring.benchmarks.scale [--customers N]`, ten purchases a customer.

Each stage runs in a process of its own at a tenth of the size and at the full one, beside the best single-process peer;
one JSON object a line, progress on standard error. A stage may take twelve times as long for ten times as much.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scoring.benchmarks import scale_stages as stages
from scoring.benchmarks.children import Measured, measured
from scoring.benchmarks.lines import Line
from scoring.benchmarks.rfm import lines, ours
from scoring.benchmarks.rfm_peers import with_duckdb, with_polars
from scoring.jobs.executor import cpus

MOST_GROWTH = 12
FIT_AND_SCORE_S = 5.0
"""BG/NBD and Gamma-Gamma of a million customers, data in memory."""
LEAST_SCORING_RATE = 0.8
"""Of CatBoost's own rows a second."""
_TASK = "scale"


@dataclass(frozen=True)
class Run:
    """What one size took."""

    name: str
    generated: Measured
    rfm: Measured
    bg_nbd: Measured
    trained: Measured
    scored: Measured


def measure(customers: int) -> Iterator[Line]:
    """Lines of all stages: the small size, the full one, and what lies between."""
    with tempfile.TemporaryDirectory(prefix="rapport-scale-") as folder:
        runs = []
        for count in (customers // 10, customers):
            root = Path(folder) / str(count)
            run = _run(count, root)
            yield from _absolute(run)
            runs.append(run)
        full, root = runs[1], Path(folder) / str(customers)
        yield from lines(
            _TASK,
            f"RFM from files, {full.name}",
            full.rfm,
            {
                "DuckDB": measured(with_duckdb, root / "purchases", root / "duckdb.parquet"),
                "Polars streaming": measured(with_polars, root / "purchases", root / "polars.parquet"),
            },
        )
        yield from _beside_peers(full, root)
        yield from _growth(*runs)


def _run(customers: int, root: Path) -> Run:
    print(f"{customers} customers", file=sys.stderr, flush=True)  # noqa: T201 - how far it is
    generated = measured(stages.generate, customers, root / "purchases")
    rfm = measured(ours, root / "purchases", root / "job", cpus(), 16, "EUR", stages.CUT_DAY, one_thread=True)
    bg_nbd = measured(stages.lifetime_values, root / "job", one_thread=True)
    trained = measured(stages.train, root / "job", root / "classifier", one_thread=True)
    scored = measured(stages.score, root / "job", root / "classifier", one_thread=True)
    return Run(f"{customers} customers, {10 * customers} purchases", generated, rfm, bg_nbd, trained, scored)


def _absolute(run: Run) -> Iterator[Line]:
    for stage, seen in _stages(run).items():
        yield _line(run, f"{stage}: seconds", _of(seen, "seconds"))
        yield _line(run, f"{stage}: CPU seconds", _of(seen, "cpu_seconds"))
        yield _line(run, f"{stage}: peak MB", seen.peak_mb)


def _stages(run: Run) -> dict[str, Measured]:
    return {
        "generate purchases": run.generated,
        "RFM from files": run.rfm,
        "BG/NBD and Gamma-Gamma, fit and score": run.bg_nbd,
        "classifier, train": run.trained,
        "classifier, score": run.scored,
    }


def _of(seen: Measured, field: str) -> float:
    """Seconds without making ready what the stage finds in memory, by the clock or of the processor."""
    return float(seen.result[field] if isinstance(seen.result, dict) else getattr(seen, field))


def _line(run: Run, metric: str, value: float, reference: float | None = None, note: str | None = None) -> Line:
    return Line(task=_TASK, data=run.name, metric=metric, value=value, reference=reference, note=note)


def _beside_peers(full: Run, root: Path) -> Iterator[Line]:
    by_scipy = measured(stages.lifetime_values_by_scipy, root / "job", one_thread=True)
    own = measured(stages.catboost_alone, root / "job", full.scored.result["trees"], one_thread=True)
    for field, unit in (("seconds", "seconds"), ("cpu_seconds", "CPU seconds")):
        likelihoods = f"{full.bg_nbd.result['log_likelihood']:.1f}, peer {by_scipy.result['log_likelihood']:.1f}"
        yield Line(
            task=_TASK,
            data=full.name,
            metric=f"BG/NBD and Gamma-Gamma, fit and score: {unit}",
            value=_of(full.bg_nbd, field),
            reference=FIT_AND_SCORE_S * int(full.bg_nbd.result["rows"]) / 1e6,
            peer="BG/NBD as printed, by scipy: no groups, no intervals",
            peer_value=_of(by_scipy, field),
            note=f"log likelihood {likelihoods}",
        )
        yield Line(
            task=_TASK,
            data=full.name,
            metric=f"classifier, train: {unit}",
            value=_of(full.trained, field),
            peer=f"CatBoost alone, one fit of {full.scored.result['trees']} trees",
            peer_value=own.result["train"][field],
            note="ours chooses among three models on out-of-fold rows, calibrates and measures, too",
        )
        rate, peer = (
            rows["rows"] / seconds
            for rows, seconds in (
                (full.scored.result, _of(full.scored, field)),
                (own.result, own.result["score"][field]),
            )
        )
        yield Line(
            task=_TASK,
            data=full.name,
            metric=f"classifier, score: rows in {unit}",
            value=rate,
            reference=LEAST_SCORING_RATE * peer,
            peer="CatBoost alone",
            peer_value=peer,
            note=f"{rate / peer:.2f} of the peer; ours gives calibrated probabilities with intervals",
        )


def _growth(small: Run, full: Run) -> Iterator[Line]:
    """Of CPU seconds: other work on the machine moves them least."""
    for (stage, less), more in zip(_stages(small).items(), _stages(full).values(), strict=True):
        growth = _of(more, "cpu_seconds") / _of(less, "cpu_seconds")
        wall = _of(more, "seconds") / _of(less, "seconds")
        note = (
            f"exponent {math.log10(growth):.2f}; by the clock {wall:.1f}; memory {more.peak_mb / less.peak_mb:.1f}-fold"
        )
        yield _line(full, f"{stage}: growth of CPU seconds from a tenth", growth, MOST_GROWTH, note)


def main() -> None:
    """Prints the lines as they come."""
    parser = argparse.ArgumentParser(prog="python -m scoring.benchmarks.scale", description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    for line in measure(parser.parse_args().customers):
        print(line.json(), flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
