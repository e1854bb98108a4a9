"""Finds when in the week a tenant's customers are active: `python -m scoring.jobs.send_times --spec spec.json`.

A model is learned from what came before the last 90 days (a quarter of all time, where that is less) and tested on
these, beside one histogram for all; what customers are told comes from a model of all active hours, or from that
histogram when the test was not passed (`domain.send_time_gates`); with too little to tell either, nobody is told
anything. The output folder then holds `model.json`, `send-times-0.parquet`, `progress.json` and last `_SUCCESS`; run
again with equal events it ends with equal hours. Exit codes: see `jobs.program`.
"""

import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.domain import send_time_gates
from scoring.domain.gates import CHAMPION, Interval, Verdict
from scoring.domain.send_time_gates import TESTED_DAYS, Trial
from scoring.jobs import active_hours, memory, program
from scoring.jobs.active_hours import ActiveHours
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.progress import Reporter, State
from scoring.jobs.send_time_spec import SendTimeJobSpec
from scoring.jobs.tasks import UnusableInputError
from scoring.models import send_time
from scoring.models.churn import hashed
from scoring.models.fitting import Floats
from scoring.models.send_time import HOURS, Activity, QuietHours, SendTime
from scoring.models.summary import Ints

VERSION = "1"
"""Part of every fingerprint: raise it when the same events would give other hours."""
SUCCESS, MODEL, SEND_TIMES = "_SUCCESS", "model.json", "send-times-0.parquet"
FEATURES = {"active_hours": 1, "time_zone": 1}
FORMAT = 1
BEST = 10
"""Hours whose probabilities are kept of a customer."""
LEARNED_MOST = 50_000
"""Customers that are learned from at most; whom more are left out of says a hash of theirs."""
_ROWS = 20_000
_ALWAYS = QuietHours(0, 0)
"""Quiet hours are the sender's matter."""
_SURE = 1.96
_SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("ranking", pa.binary()),
        ("probabilities", pa.list_(pa.float64())),
        ("time_zone", pa.string()),
        ("active_hours", pa.int64()),
        ("reasons", pa.list_(pa.string())),
    ]
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.send_times", __doc__, SendTimeJobSpec, run)


def run(spec: SendTimeJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError for files that cannot be read, or too many events for the memory."""
    try:
        hashes = active_hours.digest(spec)
        key = fingerprint(VERSION, spec.model_dump(mode="json", include={"tenant", "as_of", "consenting"}), hashes)
        if (output.read_json(SUCCESS) or {}).get("fingerprint") == key:
            reporter.end(State.SUCCEEDED, "was done already")
            return
        output.delete(SUCCESS)
        output.delete(SEND_TIMES)
        reporter.place = "in this process, one thread"
        found = active_hours.read(spec, output)
    except (UnusableInputError, FileNotFoundError) as error:
        raise program.UnusableError(f"the events cannot be used: {error}") from error
    except memory.TooLargeError as error:
        raise program.UnusableError(str(error)) from error
    reporter.done("summarise", 1, 1)
    chosen = _chosen(found)
    learned = _of(found.activity, chosen)
    segment = found.segment[chosen]
    trial = tested(learned, segment)
    verdict = send_time_gates.judge(trial, spec.consenting)
    reporter.done("fit", 1, 2)
    model = send_time.train(learned, segment)
    usual = send_time.everybody(learned)
    reporter.done("fit", 1, 1)
    passed = verdict.state == CHAMPION
    if trial.enough:
        told = _of_each(model, found, spec.as_of) if passed else _of_all(usual, found)
        output.write(SEND_TIMES, lambda file: _write(file, told, found, reporter))
    described = _described(spec, found, len(chosen), model, usual, trial, verdict, key)
    output.write_json(MODEL, described)
    output.write_json(SUCCESS, {"fingerprint": key, "place": reporter.place})
    reporter.end(State.SUCCEEDED, described["message"])


def tested(activity: Activity, segment: Ints) -> Trial:
    """A model of what came before the last days, on when the same customers were then active."""
    end = int(activity.day.max(initial=-1)) + 1
    span = end - int(activity.day.min(initial=end))
    days = max(min(TESTED_DAYS, span // 4), 1)
    before, later = (_when(activity, part) for part in (activity.day < end - days, activity.day >= end - days))
    known = np.bincount(before.customer, minlength=len(segment)) > 0
    later = _when(later, known[later.customer])
    customers, learned_days = len(np.unique(later.customer)), span - days if len(before.day) else 0
    figures = Trial(len(before.day), learned_days, customers, days, 0.0, 0.0, Interval(0.0, 0.0, 0.0))
    if not figures.enough:
        return figures
    told = send_time.predict(send_time.train(before, segment), before, segment, end - days)
    mine = -np.log(told[later.customer, later.hour])
    usual = -np.log(send_time.everybody(before)[later.hour])
    better = _interval(usual - mine, later.customer)
    loss, usual_loss = _round(float(mine.mean())), _round(float(usual.mean()))
    return Trial(len(before.day), learned_days, customers, days, loss, usual_loss, better)


def _interval(gains: Floats, customer: Ints) -> Interval:
    """The mean gain of an hour; customers, whose hours go together, were drawn (a ratio of sums: Cochran 1977)."""
    sums, sizes = np.bincount(customer, weights=gains), np.bincount(customer)
    mean = float(sums.sum() / sizes.sum())
    error = _SURE * float(np.sqrt(((sums - mean * sizes) ** 2).sum())) / float(sizes.sum())
    return Interval(_round(mean), _round(mean - error), _round(mean + error))


def _chosen(found: ActiveHours) -> Ints:
    """The customers that are learned from."""
    if len(found.names) <= LEARNED_MOST:
        return np.arange(len(found.names))
    return np.sort(np.argpartition(hashed(found.names.to_pylist()), LEARNED_MOST)[:LEARNED_MOST])


def _of(activity: Activity, customers: Ints) -> Activity:
    """The active hours of some customers, ascending, coded by their places among these."""
    place = np.searchsorted(customers, activity.customer)
    there = customers[np.minimum(place, len(customers) - 1)] == activity.customer if len(customers) else place < 0
    return Activity(place[there], activity.hour[there], activity.day[there])


def _when(activity: Activity, kept: Any) -> Activity:
    return Activity(activity.customer[kept], activity.hour[kept], activity.day[kept])


_Told = Iterator[tuple[int, Floats, list[list[str]]]]
"""Of some customers each, by place: where they begin, their probabilities (customers, 168), and why."""


def _of_each(model: SendTime, found: ActiveHours, as_of: datetime) -> _Told:
    today, activity = (as_of - _EPOCH) // timedelta(days=1), found.activity
    for begin in range(0, len(found.names), _ROWS):
        end = min(begin + _ROWS, len(found.names))
        low, high = np.searchsorted(activity.customer, (begin, end))
        own = Activity(activity.customer[low:high] - begin, activity.hour[low:high], activity.day[low:high])
        segment = found.segment[begin:end]
        probabilities = send_time.predict(model, own, segment, today)
        reasons = [list(choice.reasons) for choice in send_time.best(model, own, segment, today, _ALWAYS)]
        yield begin, probabilities, reasons


def _of_all(usual: Floats, found: ActiveHours) -> _Told:
    for begin in range(0, len(found.names), _ROWS):
        count = min(_ROWS, len(found.names) - begin)
        yield begin, np.tile(usual, (count, 1)), [["when customers are most active"]] * count


def _write(file: BinaryIO, told: _Told, found: ActiveHours, reporter: Reporter) -> None:
    """One row a customer, in order of the names."""
    counts = np.bincount(found.activity.customer, minlength=len(found.names)).tolist()
    with pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        for begin, probabilities, reasons in told:
            # As files hold them: the last bits of a matrix product depend on the processor.
            rounded = np.round(probabilities, 9)
            ranked = np.argsort(-rounded, axis=1, kind="stable")
            best = np.take_along_axis(rounded, ranked[:, :BEST], axis=1).tolist()
            end = begin + len(ranked)
            columns = {
                "customer": found.names[begin:end],
                "ranking": [row.tobytes() for row in ranked.astype(np.uint8)],
                "probabilities": best,
                "time_zone": [found.zones[code] for code in found.zone[begin:end].tolist()],
                "active_hours": counts[begin:end],
                "reasons": reasons,
            }
            writer.write_table(pa.table(columns, _SCHEMA))
            reporter.done("score", end, len(found.names), len(ranked))


def _described(
    spec: SendTimeJobSpec,
    found: ActiveHours,
    learned: int,
    model: SendTime,
    usual: Floats,
    trial: Trial,
    verdict: Verdict,
    key: str,
) -> dict[str, Any]:
    """What the registry keeps (`usecases.models.register`)."""
    messages = list(model.messages)
    if learned < len(found.names):
        messages.append(f"learned from {learned} of {len(found.names)} customers, chosen by a hash of their names")
    if unknown := int((found.zone == len(found.zones) - 1).sum()):
        messages.append(f"of {unknown} customers no time zone is known: theirs is taken to be {found.zones[-1]}")
    # A half-life that is infinite is none.
    settings = {name: value for name, value in model.settings._asdict().items() if math.isfinite(value)}
    own = {"model": "shrunk histograms", "customers": learned, "hours": HOURS, **settings}
    judgement: dict[str, Any] = {
        "candidate": {"state": verdict.state, "gates": [gate.to_dict() for gate in verdict.gates]},
        "test": {"days": trial.days, "customers": trial.tested, "loss": trial.loss, "usual_loss": trial.usual_loss},
        "champion": "",
        "standing": "",
        "rollback": {"falls": False, "message": ""},
        "outcomes": [],
        "drifts": [],
        "features": FEATURES,
        "consenting": spec.consenting,
        "artefact": {"format": FORMAT, **own, "zones": found.zones, "usual": model.usual.tolist()},
    }
    if trial.enough and verdict.state != CHAMPION:
        plain = {"model": "one histogram for all", "hours": HOURS}
        judgement["stand_in"] = {
            "parameters": {"send_time": plain},
            "message": "; ".join(["all are told the hours of all", *messages]),
            "artefact": {"format": FORMAT, **plain, "usual": usual.tolist()},
        }
    days = found.activity.day
    window = [_instant(int(day)) for day in (days.min(), days.max())] if len(days) else [None, None]
    return {
        "tenant": spec.tenant,
        "version": key,
        "as_of": spec.as_of.astimezone(UTC).isoformat(),
        "currency": None,
        "window_start": window[0],
        "window_end": window[1],
        "customers": len(found.names),
        "purchases": len(days),
        "parameters": {"send_time": own},
        "metrics": {"log_loss_168": trial.loss, "usual_log_loss_168": trial.usual_loss, "better": vars(trial.better)}
        if trial.enough
        else {},
        "fallback": False,
        "message": "; ".join(messages),
        "judgement": judgement,
    }


def _instant(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def _round(value: float) -> float:
    return float(f"{value:.6g}")


if __name__ == "__main__":
    sys.exit(main())
