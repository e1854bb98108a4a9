"""Trains a tenant's model of churn and scores its customers: `python -m scoring.jobs.churn --spec spec.json`.

Purchases are divided into ranges of customers. Of each range rows are made as of several past instants
(`models.churn`); those of the newest test what was trained on those of the others. What scores, the new model or the
champion, tells the risk of all who bought within a year, range by range. The output folder then holds
`scores-<n>.parquet` where anything scores, ascending by customer over all files, `model.json`, `progress.json` and last
`_SUCCESS`. Killed at any instant and run again, it goes on after the last finished file and ends with equal bytes; the
risks do not depend on the number of partitions, files or machines either. Exit codes: see `jobs.program`.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import numpy as np

from scoring.domain import churn_rules
from scoring.features.loading import LEFT_OUT
from scoring.jobs import (
    buyers,
    churn_tasks,
    day_rates,
    layout,
    memory,
    people,
    program,
    propensity,
    propensity_scores,
    propensity_watch,
    refunds,
    tasks,
)
from scoring.jobs.churn_tasks import SCHEMA, Part
from scoring.jobs.executor import Executor, InProcess, chosen, cpus
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.instants import microseconds
from scoring.jobs.progress import Reporter
from scoring.jobs.propensity import Material, Purpose
from scoring.jobs.propensity_scores import FIT
from scoring.jobs.propensity_watch import Current
from scoring.jobs.spec import MOST_THREADS, ChurnJobSpec
from scoring.models import churn, classifier
from scoring.models import propensity as propensity_models
from scoring.models.past_customers import CHECKED, LooksAheadError
from scoring.models.propensity import Propensity

VERSION = "5"
"""Part of every fingerprint: raise it when the same files would give other scores."""
RISK = churn.RISK
TOLD = tuple(name for name in SCHEMA.names[1:] if name not in churn_rules.VERSIONS)
"""The columns that a model tells from the features."""
_STEPS = (("inspect", 1.0), ("divide", 3.0), ("count", 2.0), ("summarise", 4.0), ("fit", 60.0), ("score", 30.0))
_MACHINERY = {"executor", "ray_from_purchases", "threads", "memory_mb"}
"""What a spec says of how to compute: nothing of what comes out."""


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.churn", __doc__, ChurnJobSpec, whole)


def whole(spec: ChurnJobSpec, output: Folder, reporter: Reporter) -> None:
    """`run`, but what cannot be used is told as programs tell it. Raises UnusableError."""
    with program.tidied(output, LooksAheadError):
        run(spec, output, reporter)


def run(spec: ChurnJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableInputError, TooLargeError, LooksAheadError, RatesUnusableError or UnusableError."""
    here = InProcess(spec.threads or min(cpus(), MOST_THREADS))
    reporter.steps = _STEPS
    files = here.run(tasks.inspect, spec.inputs, reporter.counter("inspect", len(spec.inputs)))
    # By content: names and order of files change nothing.
    files = sorted(files, key=lambda file: file.sha256)
    who, aliases, excluded = people.resolve(output, spec.aliases, spec.exclude)
    rates, table = day_rates.read(spec.rates, spec.currency)
    told = spec.model_dump(mode="json", exclude={"output", "inputs", "aliases", "exclude", "rates", *_MACHINERY})
    key = fingerprint(VERSION, told, who, table, [file.sha256 for file in files])
    if program.done(output, key, reporter):
        output.delete(tasks.WORK)
        return
    rows = sum(file.rows for file in files)
    as_of = microseconds(spec.as_of)
    with _executor(spec, rows) as executor:
        if spec.memory_mb:
            # Else a Ray runs what its nodes have memory for, however much there is where the job was started.
            memory.check(spec, rows, executor.width, memory.CHURN)
        reporter.place = executor.place
        division = buyers.Division(
            output=spec.output,
            fingerprint=key,
            until_us=as_of,
            rates=rates,
            bounds=layout.bounds(files, spec.partitions),
            aliases=aliases,
            excluded=excluded,
            refunds=refunds.note(here, files, output),
        )
        groups = [buyers.Group(division, number, pieces) for number, pieces in enumerate(layout.grouped(files))]
        divided = executor.run(buyers.divide, groups, reporter.counter("divide", len(groups)))
        names = tuple(group.file for group in groups)
        moments = _moments(spec, divided, as_of)
        parts = [
            Part(
                spec.output,
                key,
                number,
                spec.partitions,
                names,
                spec.digits,
                as_of,
                moments,
                churn_rules.ROWS_MOST,
            )
            for number in range(spec.partitions)
        ]
        fit = output.read_json(FIT)
        if fit is None or fit["fingerprint"] != key:
            fit = _fit(spec, executor, parts, divided, reporter)
            output.write_json(FIT, {"fingerprint": key, **fit})
        counting = reporter.counter("score", len(parts), rows=lambda scored: scored)
        scored = executor.run(churn_tasks.score, parts if fit["scorer"] else [], counting)
    propensity_scores.finish(output, key, fit["described"], scored, reporter)


def _executor(spec: ChurnJobSpec, rows: int) -> AbstractContextManager[Executor]:
    most = spec.threads or min(cpus(), MOST_THREADS)
    return chosen(
        spec.executor,
        rows,
        spec.ray_from_purchases,
        lambda: memory.widest(spec, rows, most, memory.CHURN),
        memory.task_bytes(spec, rows, memory.CHURN),
    )


def _moments(spec: ChurnJobSpec, divided: Sequence[Mapping[str, int]], as_of: int) -> tuple[int, ...]:
    """The instants that are learned from; none where nothing is learned."""
    known = [counts for counts in divided if "first" in counts]
    if spec.task == "score" or not known:
        return ()
    oldest, newest = min(counts["first"] for counts in known), max(counts["last"] for counts in known)
    return tuple(churn.instants_between(oldest, newest, as_of, timedelta(weeks=spec.horizon_weeks)))


def _fit(
    spec: ChurnJobSpec,
    executor: Executor,
    parts: Sequence[Part],
    divided: Sequence[Mapping[str, int]],
    reporter: Reporter,
) -> dict[str, Any]:
    """What the registry is told, and the model that scores, None where nobody is to be scored."""
    counted = executor.run(churn_tasks.count, parts, reporter.counter("count", len(parts)))
    customers, active = sum(each.customers for each in counted), [each.active for each in counted]
    learned_from = customers
    described: dict[str, Any] = {"message": "", "judgement": {}}
    scorer: Propensity | None
    if spec.task == "score":
        scorer = propensity.released(spec)
    else:
        tally = churn_tasks.tally(parts)
        memory.check_propensity("churn", tally.learned, spec.memory_mb)
        step = max(1, sum(active) // propensity_watch.SAMPLE)
        horizon = timedelta(weeks=spec.horizon_weeks)
        pieces = [
            churn_tasks.LearnPart(part, horizon, tally.bound, tally.after(CHECKED), sum(active[:place]), step)
            for place, part in enumerate(parts)
        ]
        learned_from = sum(executor.run(churn_tasks.learn, pieces, reporter.counter("summarise", len(pieces))))
        scorer, described = propensity_scores.learned(
            _material(spec, parts), _purpose(spec), spec, VERSION, executor, reporter
        )
    left_out = {name: sum(counts[name] for counts in divided) for name in LEFT_OUT}
    notes = propensity_scores.notes(
        learned_from, customers, churn_rules.ROWS_MOST, left_out, "purchases", spec.currency
    )
    return propensity_scores.fit_of(scorer if sum(active) else None, described, notes)


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


def _material(spec: ChurnJobSpec, parts: Sequence[Part]) -> Material:
    """The rows: the newest instant tests; of the others it was known then who had left."""
    data, scored = churn_tasks.learned(parts)
    moments, as_of = parts[0].moments, parts[0].as_of
    newest = np.datetime64(moments[0] if moments else 0, "us")
    learn, test = np.flatnonzero(data.dates < newest), np.flatnonzero(data.dates == newest)
    # What happened in the horizon after the newest instant is in the labels: only later instants are new to the model.
    horizon = timedelta(weeks=spec.horizon_weeks) // timedelta(microseconds=1)
    until = moments[0] + horizon - 1 if moments else 0
    current = Current(scored, np.full(len(scored), np.datetime64(as_of, "us")))
    # Later jobs hold those whom they score against these: rows of the past are of several instants.
    return Material(data, learn, test, until, current, scored)


def again(row: Mapping[str, Any], scored_with: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of SCHEMA tells, computed anew from its features by the model that is kept in model.json."""
    values = {column.name: np.array([row[column.name]], dtype=np.float64) for column in churn.COLUMNS}
    found = churn.told(propensity_models.load(scored_with), classifier.Table.of(churn.COLUMNS, values))
    return {name: column[0] for name, column in found.items()}


if __name__ == "__main__":
    sys.exit(main())
