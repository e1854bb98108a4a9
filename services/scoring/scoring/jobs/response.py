"""Trains a tenant's model of responses and scores its customers: `python -m scoring.jobs.response --spec spec.json`.

Events are read bucket by bucket. Of each bucket rows are made as of several past instants (`models.response`); those of
the newest test what was trained on those of the others. What scores, the new model or the champion, tells how probable
a response is of all to whom a message was sent, or who bought, within a year. The output folder then holds
`scores-<n>.parquet` where anything scores, ascending by customer in each file, `model.json`, `progress.json` and last
`_SUCCESS`. Killed at any instant and run again, it goes on after the last finished file and ends with equal bytes. Exit
codes: see `jobs.program`.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scoring.domain import response_rules
from scoring.features.loading import LEFT_OUT
from scoring.jobs import (
    feature_tasks,
    features,
    memory,
    program,
    propensity,
    propensity_scores,
    propensity_watch,
    response_tasks,
)
from scoring.jobs.executor import Executor, chosen
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.instants import microseconds
from scoring.jobs.progress import Reporter
from scoring.jobs.propensity import Material, Purpose
from scoring.jobs.propensity_scores import FIT
from scoring.jobs.propensity_watch import Current
from scoring.jobs.response_tasks import SCHEMA, Part
from scoring.jobs.spec import ResponseJobSpec
from scoring.jobs.tasks import WORK
from scoring.models import classifier, response
from scoring.models import propensity as propensity_models
from scoring.models.past_customers import LooksAheadError
from scoring.models.propensity import Labelled, Propensity

VERSION = "3"
"""Part of every fingerprint: raise it when the same files would give other scores."""
TOLD = tuple(name for name in SCHEMA.names[1:] if name not in response_rules.VERSIONS)
"""The columns that a model tells from the features."""
_STEPS = (("inspect", 3.0), ("move", 5.0), ("summarise", 32.0), ("fit", 40.0), ("score", 20.0))
_TREES = memory.CHURN.task - memory.BYTES_PER_TASK
"""What the library of trees takes of a task's process, in bytes."""
_HORIZON_US = np.timedelta64(response_rules.HORIZON, "us")
_PURPOSE = Purpose(
    name="response",
    outcome=response.OUTCOME,
    horizon_days=response_rules.HORIZON.days,
    features=response_rules.VERSIONS,
    words=response_rules.WORDS,
    without="nobody has a probability of a response",
    in_time=True,
)


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.response", __doc__, ResponseJobSpec, run)


def run(spec: ResponseJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError, telling how to mend it."""
    with program.tidied(output, LooksAheadError):
        _run(spec, output, reporter)


def _run(spec: ResponseJobSpec, output: Folder, reporter: Reporter) -> None:
    reporter.steps = _STEPS
    as_of = microseconds(spec.as_of)
    moments = response.instants(as_of)
    instants = [spec.as_of - response_rules.HORIZON * number for number in range(len(moments) + 1)]
    made = features.planned(spec, instants, output, reporter)
    told = spec.model_dump(mode="json", include={"tenant", "task", "as_of", "models", "consenting", "digits"})
    key = fingerprint(VERSION, made.plan.fingerprint, told)
    if program.done(output, key, reporter):
        output.delete(WORK)
        return
    past = () if spec.task == "score" else moments
    parts = [Part(bucket, key, spec.digits, as_of, past) for bucket in made.buckets]
    with chosen(spec.executor, made.rows, spec.ray_from_events, made.width, made.task_bytes + _TREES) as executor:
        reporter.place = executor.place
        if made.plan.aliases:
            executor.run(feature_tasks.move, made.buckets, reporter.counter("move", len(parts)))
        fit = output.read_json(FIT)
        if fit is None or fit["fingerprint"] != key:
            fit = _fit(spec, executor, parts, reporter)
            output.write_json(FIT, {"fingerprint": key, **fit})
        counting = reporter.counter("score", len(parts), rows=lambda scored: scored)
        scored = executor.run(response_tasks.score, parts if fit["scorer"] else [], counting)
    propensity_scores.finish(output, key, fit["described"], scored, reporter)


def _fit(spec: ResponseJobSpec, executor: Executor, parts: Sequence[Part], reporter: Reporter) -> dict[str, Any]:
    """What the registry is told, and the model that scores, None where nobody is to be scored."""
    counted = executor.run(response_tasks.summarise, parts, reporter.counter("summarise", len(parts)))
    reached = sum(each["scored"] for each in counted)
    learned = customers = 0
    described: dict[str, Any] = {"message": "", "judgement": {}}
    scorer: Propensity | None
    if spec.task == "score":
        scorer = propensity.released(spec)
    else:
        first = min((each["first"] for each in counted if "first" in each), default=None)
        moments = response.learned_from(parts[0].moments, first)
        tally, customers = response_tasks.tally(parts, moments, response_rules.ROWS_MOST)
        memory.check_propensity("responses", tally.learned, spec.memory_mb)
        data = response_tasks.learned(parts, moments, tally.bound)
        learned = len(np.unique(data.table.ids))
        material = _material(data, parts, max(1, reached // propensity_watch.SAMPLE))
        scorer, described = propensity_scores.learned(material, _PURPOSE, spec, VERSION, executor, reporter)
    left_out = {name: sum(counts[name] for counts in counted) for name in LEFT_OUT}
    most = response_rules.ROWS_MOST
    notes = propensity_scores.notes(learned, customers, most, left_out, "amounts", spec.currency)
    return propensity_scores.fit_of(scorer if reached else None, described, notes)


def _material(data: Labelled, parts: Sequence[Part], step: int) -> Material:
    """The rows: those of the newest instant with any test; of the others it was known then who had responded."""
    newest = data.dates.max() if len(data) else np.datetime64(0, "us")
    learn, test = np.flatnonzero(data.dates < newest), np.flatnonzero(data.dates == newest)
    # What happened in the horizon after the newest instant is in the labels: only later instants are new to the model.
    until = int((newest + _HORIZON_US).astype(np.int64)) - 1 if len(data) else 0
    reached = response_tasks.current(parts, step)
    current = Current(reached, np.full(len(reached), np.datetime64(parts[0].as_of, "us")))
    # Later jobs hold those whom they score against these: rows of the past are of several instants.
    return Material(data, learn, test, until, current, reached)


def again(row: Mapping[str, Any], scored_with: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of SCHEMA tells, computed anew from its features by the model that is kept in model.json."""
    values = {column.name: np.array([row[column.name]], dtype=np.float64) for column in response.COLUMNS}
    found = response.told(propensity_models.load(scored_with), classifier.Table.of(response.COLUMNS, values))
    return {name: column[0] for name, column in found.items()}


if __name__ == "__main__":
    sys.exit(main())
