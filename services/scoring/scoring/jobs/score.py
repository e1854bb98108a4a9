"""Scores a tenant's customers: `python -m scoring.jobs.score --spec spec.json`.

Purchases are divided into ranges of customers, summed up, the models are fitted to all, and each range is scored. The
output folder then holds `scores-<n>.parquet`, ascending by customer over all files, `model.json`, `progress.json` and
last `_SUCCESS`. Killed at any instant and run again, it goes on after the last finished file and ends with equal bytes;
the scores do not depend on the number of partitions, files or machines either.
Exit codes: 0 done, 2 the spec or an input is unusable or too large (the message says how to mend it), 143 cancelled.
"""

import sys
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from scoring.jobs import day_rates, dividing, judge, layout, people, program, refunds, scores, tasks
from scoring.jobs import fit as fitting
from scoring.jobs.executor import Executor, InProcess, chosen, cpus
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.fit import Fitted
from scoring.jobs.holdout import HOLDOUT_WEEKS
from scoring.jobs.instants import microseconds
from scoring.jobs.memory import check, check_fit, task_bytes, widest
from scoring.jobs.program import MODEL, SUCCESS
from scoring.jobs.progress import Reporter, State
from scoring.jobs.spec import MOST_THREADS, JobSpec

VERSION = "9"
"""Part of every fingerprint: raise it when the same inputs would give other scores."""
_EPOCH = date(1970, 1, 1)
_REFUNDS = "refunds"
"""That reduce something; those that do not are left out."""
_SCORING = ("train_and_score", "score")


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.score", __doc__, JobSpec, _whole)


def _whole(spec: JobSpec, output: Folder, reporter: Reporter) -> None:
    with program.tidied(output):
        run(spec, output, reporter)


def run(spec: JobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableInputError, TooLargeError or RatesUnusableError, telling how to mend it."""
    threads = spec.threads or min(cpus(), MOST_THREADS)
    here = InProcess(threads)
    files = here.run(tasks.inspect, spec.inputs, reporter.counter("inspect", len(spec.inputs)))
    # By content: names and order of files change nothing.
    files = sorted(files, key=lambda file: file.sha256)
    rows = sum(file.rows for file in files)
    who, aliases, excluded = people.resolve(output, spec.aliases, spec.exclude)
    rates, rate_table = day_rates.read(spec.rates, spec.currency)
    instant = spec.as_of.astimezone(UTC).isoformat()
    window = fingerprint(VERSION, instant, spec.currency, rate_table, who, [file.sha256 for file in files])
    known = [model.model_dump(mode="json", exclude={"url"}) for model in spec.models]
    key = fingerprint(window, spec.task, spec.partitions, spec.horizon_weeks, spec.discount, known, spec.consenting)
    if program.done(output, key, reporter):
        output.delete(tasks.WORK)
        return
    with _executor(spec, rows) as executor:
        if spec.memory_mb:
            # Else a Ray runs what its nodes have memory for, however much there is where the job was started.
            check(spec, rows, executor.width)
        reporter.place = executor.place
        division = dividing.Division(
            output=spec.output,
            fingerprint=fingerprint(window, spec.partitions),
            as_of_us=microseconds(spec.as_of),
            rates=rates,
            bounds=layout.bounds(files, spec.partitions),
            aliases=aliases,
            excluded=excluded,
            refunds=refunds.note(here, files, output),
        )
        groups = [dividing.Group(division, number, pieces) for number, pieces in enumerate(layout.grouped(files))]
        divided = executor.run(dividing.divide, groups, reporter.counter("divide", len(groups)))
        as_of_day = (spec.as_of.astimezone(UTC).date() - _EPOCH).days
        cut_day, inner_cut_day = (as_of_day - HOLDOUT_WEEKS * 7 * periods for periods in (1, 2))
        names = tuple(group.file for group in groups)
        parts = [
            tasks.Part(spec.output, division.fingerprint, number, spec.partitions, names, cut_day, inner_cut_day)
            for number in range(spec.partitions)
        ]
        summed = executor.run(tasks.summarise, parts, reporter.counter("summarise", len(parts)))
        check_fit(spec, sum(each.customers for each in summed))
        if spec.task in ("score", "evaluate"):
            judged = judge.released(output, executor, parts, spec, as_of_day)
            fitted = judged.fitted
        else:
            summaries = [part.file for part in parts]
            fitted = fitting.fit(
                output, summaries, as_of_day, cut_day, inner_cut_day, spec.horizon_weeks, spec.discount
            )
            judged = judge.judge(output, executor, parts, fitted, spec)
        reporter.done("fit", 1, 1)
        counted = {name: sum(counts[name] for counts in divided) for name in dividing.COUNTED}
        counted["refund"] += sum(each.idle for each in summed)
        counted[_REFUNDS] = sum(each.refunds - each.idle for each in summed)
        model = {**_model(spec, window, fitted, rows, counted), "judgement": judged.told}
        pieces = [
            scores.ScorePart(spec.output, part.file, part.number, judged.fitted, fingerprint(key, judged.scorer))
            for part in (parts if spec.task in _SCORING else ())
        ]
        executor.run(scores.score, pieces, reporter.counter("score", len(pieces), rows=lambda scored: scored))
    _finish(spec, output, model, key, reporter.place)
    reporter.end(State.SUCCEEDED, model["message"])


def _finish(spec: JobSpec, output: Folder, model: dict[str, Any], key: str, place: str) -> None:
    output.write_json(MODEL, model)
    wanted = {scores.score_file(number) for number in range(spec.partitions if spec.task in _SCORING else 0)}
    for name in output.names():
        if name.startswith("scores-") and name not in wanted:
            output.delete(name)
    output.delete(tasks.WORK)
    done = {"fingerprint": key, "customers": model["customers"], "partitions": spec.partitions, "place": place}
    output.write_json(SUCCESS, done)


def _executor(spec: JobSpec, rows: int) -> AbstractContextManager[Executor]:
    return chosen(
        spec.executor,
        rows,
        spec.ray_from_purchases,
        lambda: widest(spec, rows, spec.threads or min(cpus(), MOST_THREADS)),
        task_bytes(spec, rows),
    )


def _model(spec: JobSpec, window: str, fitted: Fitted, rows: int, counted: dict[str, int]) -> dict[str, Any]:
    parameters = fitted.parameters
    left_out = {name: counted[name] for name in dividing.LEFT_OUT}
    messages = list(fitted.choice.messages)
    messages += day_rates.notes(counted[dividing.CONVERTED], left_out["no_rate"], spec.currency)
    if left_out["unusable"]:
        messages.append(f"{left_out['unusable']} rows without customer, time, amount or currency are left out")
    if not fitted.customers:
        messages = ["there are no purchases to score", *messages]
    return {
        "tenant": spec.tenant,
        "version": fingerprint(window, parameters, spec.horizon_weeks, spec.discount),
        "as_of": spec.as_of.astimezone(UTC).isoformat(),
        "horizon_weeks": spec.horizon_weeks,
        "discount": spec.discount,
        "currency": spec.currency,
        "window_start": _instant(fitted.first_day),
        "window_end": _instant(fitted.last_day),
        "purchases": rows - sum(left_out.values()) - counted[_REFUNDS],
        _REFUNDS: counted[_REFUNDS],
        "left_out": left_out,
        "converted": counted[dividing.CONVERTED],
        "customers": fitted.customers,
        "parameters": parameters,
        "metrics": fitted.metrics,
        "fallback": fitted.choice.fallback,
        "message": "; ".join(messages),
    }


def _instant(day: int | None) -> str | None:
    return None if day is None else datetime.combine(_EPOCH + timedelta(day), datetime.min.time(), UTC).isoformat()


if __name__ == "__main__":
    sys.exit(main())
