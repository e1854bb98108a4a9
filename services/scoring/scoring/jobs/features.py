"""Writes the features of a tenant's customers as of an instant: `python -m scoring.jobs.features --spec spec.json`.

The output folder then holds, for each bucket of customers, a file such as `features-20260301T120000.000000Z-07.parquet`
(a customer a row, ascending by name: those with an event in the year before), `features.json` with the declaration and
what was left out, `progress.json` and last `_SUCCESS`. Killed at any instant and run again, it goes on after the last
finished file and ends with equal ones. Nothing at or after the instant comes into them. Exit codes: see `jobs.program`.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scoring.domain.buckets import BUCKETS
from scoring.features.declared import CLICKED, FEATURES, LONGEST, OTHER, PURCHASE, REFUND, SENT, Feature
from scoring.features.loading import ACTIVITY, LEFT_OUT, PURCHASES
from scoring.jobs import day_rates, feature_tasks, people, program
from scoring.jobs.executor import InProcess, chosen, cpus
from scoring.jobs.feature_tasks import Bucket, Plan
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.instants import microseconds
from scoring.jobs.memory import BYTES_PER_TASK, widest_of
from scoring.jobs.progress import Reporter, State
from scoring.jobs.spec import MOST_THREADS, FeatureJobSpec, FeaturesSpec
from scoring.jobs.tasks import WORK

VERSION = "1"
"""Part of every fingerprint: raise it when the same events would give other features."""
SUCCESS, DECLARATION = "_SUCCESS", "features.json"
BYTES_PER_EVENT = 250
"""At the peak of computing a bucket, as measured, with ids of 46 characters."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS_OF = {PURCHASES: (PURCHASE, REFUND), ACTIVITY: (OTHER, SENT, CLICKED)}
"""What each kind of file holds."""
STEPS = (("inspect", 10.0), ("move", 20.0), ("compute", 70.0))


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.features", __doc__, FeatureJobSpec, _one)


def _one(spec: FeatureJobSpec, output: Folder, reporter: Reporter) -> None:
    run(spec, (spec.as_of,), output, reporter)


def run(spec: FeaturesSpec, instants: Sequence[datetime], output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError, telling how to mend it."""
    reporter.steps = STEPS
    reporter.end(State.SUCCEEDED, write(spec, instants, output, reporter))


def write(spec: FeaturesSpec, instants: Sequence[datetime], output: Folder, reporter: Reporter) -> str:
    """The same as the first STEPS of another job, which are told of; returns what is to be known of it, in words."""
    with program.tidied(output):
        return _write(spec, instants, output, reporter)


@dataclass(frozen=True)
class Planned:
    """The buckets of a job that reads events, and how to compute them."""

    plan: Plan
    buckets: list[Bucket]
    rows: int
    """Events of all files."""
    width: Callable[[], int]
    """How many buckets at a time fit into the memory. Raises TooLargeError."""
    task_bytes: int
    """What computing the largest bucket needs."""


def planned(spec: FeaturesSpec, instants: Sequence[datetime], output: Folder, reporter: Reporter) -> Planned:
    """Inspects the files of events, and writes down who is who and who is left out (step `inspect`).

    Raises UnusableInputError, RatesUnusableError, and TooLargeError where the spec tells how much memory there is.
    """
    files = [(file.url, str(file.kind)) for file in spec.files]
    found = InProcess().run(feature_tasks.inspect, files, reporter.counter("inspect", len(files)))
    who, aliases, excluded = people.resolve(output, spec.aliases, spec.exclude)
    # By content: names and order of files change nothing.
    contents = sorted((file.bucket, file.kind, each.sha256) for file, each in zip(spec.files, found, strict=True))
    table, rates = day_rates.kept(spec.rates, spec.currency, output, WORK)
    moments = tuple(sorted({microseconds(instant) for instant in instants}))
    missing = _missing(spec, moments[0])
    whole_from = {kind: missing.get(of, 0) for of, kinds in _KINDS_OF.items() for kind in kinds} if missing else {}
    asked = (spec.currency, rates, who, contents, *([missing] if missing else []))
    plan = Plan(
        output=spec.output,
        fingerprint=fingerprint(VERSION, _declared(), *asked),
        instants=moments,
        currency=spec.currency,
        rates=table and f"{spec.output}/{table}",
        aliases=aliases,
        excluded=excluded,
        whole_from=whole_from,
    )
    rows: Counter[int] = Counter()
    for file, each in zip(spec.files, found, strict=True):
        rows[file.bucket] += each.rows
    largest = max(rows.values(), default=0)
    if spec.memory_mb:
        _width(spec, largest)
    needed = BYTES_PER_TASK + BYTES_PER_EVENT * largest
    return Planned(plan, _buckets(spec, plan), rows.total(), lambda: _width(spec, largest), needed)


def _write(spec: FeaturesSpec, instants: Sequence[datetime], output: Folder, reporter: Reporter) -> str:
    made = planned(spec, instants, output, reporter)
    plan, buckets = made.plan, made.buckets
    key = fingerprint(plan.fingerprint, plan.instants)
    if (output.read_json(SUCCESS) or {}).get("fingerprint") == key:
        output.delete(WORK)
        return "was done already"
    output.delete(SUCCESS)
    with chosen(spec.executor, made.rows, spec.ray_from_events, made.width, made.task_bytes) as executor:
        reporter.place = executor.place
        if plan.aliases:
            executor.run(feature_tasks.move, buckets, reporter.counter("move", BUCKETS))
        counter = reporter.counter("compute", BUCKETS, rows=lambda counts: counts["rows"])
        told = executor.run(feature_tasks.compute, buckets, counter)
    totals = sum((Counter(each) for each in told), Counter())
    return _finish(output, plan, totals, key, reporter.place)


def _missing(spec: FeaturesSpec, oldest: int) -> dict[str, int]:
    """By kind of file since when events are kept (microseconds), where features as of `oldest` ask for older ones."""
    kept = {kind: microseconds(since) for kind, since in spec.whole_from.items()}
    return {
        kind: since for kind, since in sorted(kept.items()) if oldest < since + LONGEST // timedelta(microseconds=1)
    }


def _declared() -> list[dict[str, Any]]:
    return [described(feature) for feature in FEATURES]


def described(feature: Feature) -> dict[str, Any]:
    """The declaration of a feature, as JSON can hold it."""
    spans = {"window": feature.window.days, "recent": feature.recent.days if feature.recent else None}
    return {**asdict(feature), **spans, "sources": list(feature.sources), "kinds": list(feature.kinds)}


def _finish(output: Folder, plan: Plan, totals: Counter[str], key: str, place: str) -> str:
    wanted = {feature_tasks.features_file(at, bucket) for at in plan.instants for bucket in range(BUCKETS)}
    for name in output.names():
        if name.startswith("features-") and name not in wanted:
            output.delete(name)
    left_out = {name: totals[name] for name in LEFT_OUT}
    messages = []
    if left_out["no_rate"]:
        messages.append(f"{left_out['no_rate']} amounts without a rate to {plan.currency} are left out")
    if left_out["unusable"]:
        messages.append(f"{left_out['unusable']} rows without customer or time are left out")
    for of, kinds in _KINDS_OF.items():
        if since := max(plan.whole_from.get(kind, 0) for kind in kinds):
            day = (_EPOCH + timedelta(microseconds=since)).date()
            messages.append(f"{of} is kept from {day} on: features that look back past it have no value")
    message = "; ".join(messages)
    instants = [(_EPOCH + timedelta(microseconds=at)).isoformat() for at in plan.instants]
    told = {"currency": plan.currency, "instants": instants, "left_out": left_out, "message": message}
    output.write_json(DECLARATION, {**told, "features": _declared(), "version": plan.fingerprint})
    output.delete(WORK)
    output.write_json(SUCCESS, {"fingerprint": key, "rows": totals["rows"], "place": place})
    return message


def _buckets(spec: FeaturesSpec, plan: Plan) -> list[Bucket]:
    files: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for file in spec.files:
        files[file.bucket].append((file.url, file.kind))
    return [Bucket(plan, number, tuple(files[number])) for number in range(BUCKETS)]


def _width(spec: FeaturesSpec, largest: int) -> int:
    most = spec.threads or min(cpus(), MOST_THREADS)
    return widest_of(BYTES_PER_EVENT * largest, most, spec.memory_mb, f"A bucket of {largest} events")


if __name__ == "__main__":
    sys.exit(main())
