"""Trains a tenant's model of churn and scores its customers: `python -m scoring.jobs.churn --spec spec.json`.

Customers are learned from as of several past instants (`models.churn`); those of the newest test what was trained on
those of the others. What scores, the new model or the champion, tells the risk of all who bought within a year. The
output folder then holds `scores-0000.parquet` where anything scores, ascending by customer, `model.json`,
`progress.json` and last `_SUCCESS`; run again with equal files it ends with equal ones. Exit codes: see `jobs.program`.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.domain import churn_rules
from scoring.features.rates import RatesUnusableError
from scoring.jobs import buyers, day_rates, people, program, propensity, propensity_watch, tasks
from scoring.jobs.buyers import Buyers
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.memory import TooLargeError
from scoring.jobs.progress import Reporter, State
from scoring.jobs.propensity import Material, Purpose
from scoring.jobs.propensity_watch import Current
from scoring.jobs.spec import ChurnJobSpec
from scoring.models import churn, classifier
from scoring.models import propensity as propensity_models
from scoring.models.churn import Customers, LooksAheadError
from scoring.models.classifier import Table
from scoring.models.propensity import Propensity

VERSION = "1"
"""Part of every fingerprint: raise it when the same files would give other scores."""
SUCCESS, MODEL, SCORES = "_SUCCESS", "model.json", "scores-0000.parquet"
RISK = churn.RISK
SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        (RISK, pa.float64()),
        ("churn_risk_low", pa.float64()),
        ("churn_risk_high", pa.float64()),
        (
            "reasons",
            pa.list_(pa.struct([("feature", pa.string()), ("points", pa.float64()), ("text", pa.string())])),
        ),
        # What it was told from; NaN where a feature has no value.
        *((column.name, pa.float64()) for column in churn.COLUMNS),
    ]
)
TOLD = tuple(name for name in SCHEMA.names[1:] if name not in churn_rules.VERSIONS)
"""The columns that a model tells from the features."""
_STEPS = (("inspect", 1.0), ("divide", 3.0), ("summarise", 3.0), ("fit", 73.0), ("score", 20.0))
_ROWS = 1 << 14
"""Customers scored at a time."""


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.churn", __doc__, ChurnJobSpec, whole)


def whole(spec: ChurnJobSpec, output: Folder, reporter: Reporter) -> None:
    """`run`, but what cannot be used is told as programs tell it. Raises UnusableError."""
    try:
        run(spec, output, reporter)
    except (tasks.UnusableInputError, TooLargeError, LooksAheadError, RatesUnusableError) as error:
        raise program.UnusableError(str(error)) from error


def run(spec: ChurnJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableInputError, TooLargeError, LooksAheadError, RatesUnusableError or UnusableError."""
    files = InProcess().run(tasks.inspect, spec.inputs, lambda _: None)
    files = sorted(files, key=lambda file: file.sha256)
    who, aliases, _ = people.resolve(output, spec.aliases, spec.exclude)
    rates, table = day_rates.read(spec.rates, spec.currency)
    told = spec.model_dump(mode="json", exclude={"output", "inputs", "aliases", "exclude", "rates"})
    key = fingerprint(VERSION, told, who, table, [file.sha256 for file in files])
    if (output.read_json(SUCCESS) or {}).get("fingerprint") == key:
        output.delete(tasks.WORK)
        reporter.end(State.SUCCEEDED, "was done already")
        return
    output.delete(SUCCESS)
    reporter.steps = _STEPS
    reporter.done("inspect", 1, 1)
    as_of = _microseconds(spec.as_of)
    found = buyers.read(files, output, rates, spec.digits, as_of, aliases=aliases)
    output.delete(tasks.WORK)
    reporter.done("divide", 1, 1)
    learned_from = found.customers
    described: dict[str, Any] = {"message": "", "judgement": {}}
    scorer: Propensity | None
    if spec.task == "score":
        scorer = propensity.released(spec)
    else:
        learned_from, material = _material(spec, found.customers, as_of)
        reporter.done("summarise", 1, 1)
        scorer, described = _learned(spec, material, reporter)
    described["message"] = "; ".join(
        [text for text in (described["message"], *_notes(found, learned_from, spec)) if text]
    )
    scored = score(output, found, scorer, as_of, reporter)
    if scorer is not None:
        # With it and the features beside them the scores can be made again.
        described["judgement"]["scored_with"] = propensity_models.dump(scorer)
    output.write_json(MODEL, described)
    output.write_json(SUCCESS, {"fingerprint": key, "customers": scored, "place": reporter.place})
    reporter.end(State.SUCCEEDED, described["message"])


def _purpose(spec: ChurnJobSpec) -> Purpose:
    return Purpose(
        name="churn",
        outcome=churn.OUTCOME,
        horizon_days=7 * spec.horizon_weeks,
        features=churn_rules.VERSIONS,
        words=churn_rules.words(spec.horizon_weeks),
        without="nobody has a risk of leaving",
        in_time=True,
    )


def _sample(customers: Customers, as_of: int) -> Table:
    """Some of those who are scored, at even distances, as they are now."""
    codes = customers.active(as_of)
    return customers.table(as_of, codes[:: max(1, len(codes) // propensity_watch.SAMPLE)])


def _learned(spec: ChurnJobSpec, material: Material, reporter: Reporter) -> tuple[Propensity | None, dict[str, Any]]:
    """What scores, if somebody is to be scored and something may; and what the registry is told."""
    purpose = _purpose(spec)
    if spec.task == "evaluate":
        return None, propensity.evaluated(material, purpose, spec)
    trained = propensity.train(material, purpose, spec, reporter)
    described = propensity.described(trained, material.data, purpose, spec, VERSION)
    return None if spec.task == "train" else trained.scorer, described


def _material(spec: ChurnJobSpec, customers: Customers, as_of: int) -> tuple[Customers, Material]:
    """Who is learned from, and their rows: the newest instant tests; of the others it was known then who had left."""
    horizon = timedelta(weeks=spec.horizon_weeks)
    moments = churn.instants(customers.events, as_of, horizon)
    learned_from = churn.sampled(customers, moments)
    churn.refuse_looking_ahead(learned_from, moments)
    data = churn.labelled(learned_from, moments, horizon)
    scored = _sample(customers, as_of)
    newest = np.datetime64(moments[0] if moments else 0, "us")
    learn, test = np.flatnonzero(data.dates < newest), np.flatnonzero(data.dates == newest)
    # What happened in the horizon after the newest instant is in the labels: only later instants are new to the model.
    until = moments[0] + horizon // timedelta(microseconds=1) - 1 if moments else 0
    current = Current(scored, np.full(len(scored), np.datetime64(as_of, "us")))
    # Later jobs hold those whom they score against these: rows of the past are of several instants.
    return learned_from, Material(data, learn, test, until, current, scored)


def _notes(found: Buyers, learned_from: Customers, spec: ChurnJobSpec) -> list[str]:
    notes = []
    if len(learned_from) < len(found.customers):
        notes.append(
            f"learned from {len(learned_from)} of {len(found.customers)} customers, chosen by a hash of their names: "
            f"{churn_rules.ROWS_MOST} rows are the most"
        )
    if found.left_out["no_rate"]:
        notes.append(f"{found.left_out['no_rate']} purchases without a rate to {spec.currency} are left out")
    if found.left_out["unusable"]:
        notes.append(f"{found.left_out['unusable']} rows without customer or time are left out")
    return notes


def score(output: Folder, found: Buyers, scorer: Propensity | None, as_of: int, reporter: Reporter) -> int:
    """Writes the risks of all who bought within a year; returns how many. Without a model that scores: of nobody."""
    output.delete(SCORES)
    codes = found.customers.active(as_of)
    if scorer is None or not len(codes):
        return 0
    table = found.customers.table(as_of, codes)

    def parts() -> Iterator[pa.Table]:
        for begin in range(0, len(codes), _ROWS):
            end = min(begin + _ROWS, len(codes))
            names = [found.names[code].as_py() for code in codes[begin:end].tolist()]
            part = table.take(slice(begin, end))
            yield pa.Table.from_pydict({"customer": names, **part.values, **churn.told(scorer, part)}, SCHEMA)
            reporter.done("score", end, len(codes), end - begin)

    def fill(file: Any) -> None:
        with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            for part in parts():
                writer.write_table(part)

    output.write(SCORES, fill)
    return len(codes)


def again(row: Mapping[str, Any], scored_with: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of SCHEMA tells, computed anew from its features by the model that is kept in model.json."""
    values = {column.name: np.array([row[column.name]], dtype=np.float64) for column in churn.COLUMNS}
    found = churn.told(propensity_models.load(scored_with), classifier.Table.of(churn.COLUMNS, values))
    return {name: column[0] for name, column in found.items()}


def _microseconds(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


if __name__ == "__main__":
    sys.exit(main())
