"""Finds when in the week a tenant's customers are active: `python -m scoring.jobs.send_times --spec spec.json`.

A model is learned from what came before the last 90 days (a quarter of all time, where that is less) and tested on
these, beside one histogram for all; what customers are told comes from a model of all active hours, or from that
histogram when the test was not passed (`domain.send_time_gates`); with too little to tell either, nobody is told
anything. The output folder then holds `model.json`, `send-times-0.parquet`, `progress.json` and last `_SUCCESS`; run
again with equal events it ends with equal hours. Exit codes: see `jobs.program`.
"""

import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.domain import send_time_gates
from scoring.domain.gates import CHAMPION, Interval, Verdict
from scoring.domain.send_time_gates import TESTED_DAYS, Trial
from scoring.jobs import active_hours, description, program
from scoring.jobs.active_hours import ActiveHours
from scoring.jobs.columns import column
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.gains import mean_gain
from scoring.jobs.progress import Reporter
from scoring.jobs.send_time_spec import SendTimeJobSpec
from scoring.models import send_time
from scoring.models.fitting import Floats
from scoring.models.name_hashes import hashed
from scoring.models.rounding import shortened
from scoring.models.send_time import HOURS, Activity, QuietHours, SendTime, Settings
from scoring.models.summary import Ints

VERSION = "4"
"""Part of every fingerprint: raise it when the same events would give other hours."""
SEND_TIMES = "send-times-0.parquet"
FEATURES = {"active_hours": 1, "time_zone": 1}
FORMAT = 1
_WEEKEND = 5 * 24
"""Hour of the week at which Saturday begins."""
BEST = 10
"""Hours whose probabilities are kept of a customer."""
LEARNED_MOST = 50_000
"""Customers that are learned from at most; whom more are left out of says a hash of theirs."""
_ROWS = 20_000
_ALWAYS = QuietHours(0, 0)
"""Quiet hours are the sender's matter."""
_SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("ranking", pa.list_(pa.uint8())),
        ("probabilities", pa.list_(pa.float64())),
        ("time_zone", pa.string()),
        ("active_hours", pa.int64()),
        ("reasons", pa.list_(pa.string())),
        ("segment", pa.int64()),
        ("hours", pa.list_(pa.uint8())),
        ("days", pa.list_(pa.int64())),
    ]
)
"""The last three are what the others were made of: `ActiveHours`."""
TOLD = ("ranking", "probabilities", "active_hours", "reasons")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.send_times", __doc__, SendTimeJobSpec, run)


def run(spec: SendTimeJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError for files that cannot be read, or too many events for the memory."""
    with program.usable("the events"):
        hashes = active_hours.digest(spec)
        key = fingerprint(VERSION, spec.model_dump(mode="json", include={"tenant", "as_of", "consenting"}), hashes)
        if program.done(output, key, reporter):
            return
        output.delete(SEND_TIMES)
        reporter.place = InProcess().place
        found = active_hours.read(spec, output)
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
        today = (spec.as_of - _EPOCH) // timedelta(days=1)
        output.write(SEND_TIMES, lambda file: _write(file, model if passed else usual, found, today, reporter))
    described = _described(spec, found, len(chosen), model, usual, trial, verdict, key)
    program.finish(output, key, described, reporter)


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
    better = mean_gain(usual - mine, later.customer)
    loss, usual_loss = shortened(float(mine.mean())), shortened(float(usual.mean()))
    return Trial(len(before.day), learned_days, customers, days, loss, usual_loss, better)


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


def _write(file: BinaryIO, model: SendTime | Floats, found: ActiveHours, today: int, reporter: Reporter) -> None:
    """One row a customer, in order of the names."""
    activity, segments = found.activity, found.segment
    with pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        for begin in range(0, len(found.names), _ROWS):
            end = min(begin + _ROWS, len(found.names))
            edges = np.searchsorted(activity.customer, np.arange(begin, end + 1))
            mine = slice(edges[0], edges[-1])
            own = Activity(activity.customer[mine] - begin, activity.hour[mine], activity.day[mine])
            offsets = (edges - edges[0]).astype(np.int32)
            columns = {
                "customer": found.names[begin:end],
                **_told(model, own, segments[begin:end], today),
                "time_zone": [found.zones[code] for code in found.zone[begin:end].tolist()],
                "segment": segments[begin:end],
                "hours": pa.ListArray.from_arrays(column(offsets), column(own.hour.astype(np.uint8))),
                "days": pa.ListArray.from_arrays(column(offsets), column(own.day)),
            }
            writer.write_table(pa.table(columns, _SCHEMA))
            reporter.done("score", end, len(found.names), end - begin)


def again(row: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """What a stored row tells, computed anew from what it was made of; described: model.json."""
    judgement = described["judgement"]
    made = judgement.get("stand_in", judgement)["artefact"]
    usual, count = np.array(made["usual"]), len(row["hours"])
    settings = {name: made.get(name, math.inf) for name in Settings._fields}
    model = usual if "stand_in" in judgement else SendTime(usual, Settings(**settings), 0, ())
    own = Activity(np.zeros(count, dtype=np.int64), *(np.array(row[name], np.int64) for name in ("hours", "days")))
    today = (datetime.fromisoformat(described["as_of"]) - _EPOCH) // timedelta(days=1)
    told = _told(model, own, np.array([row["segment"]]), today)
    return {name: values[0] for name, values in told.items()}


def _told(model: SendTime | Floats, own: Activity, segment: Ints, today: int) -> dict[str, list[Any]]:
    """The columns TOLD of customers; by one histogram for all, or each by the model."""
    count = len(segment)
    if isinstance(model, SendTime):
        probabilities = send_time.predict(model, own, segment, today)
        reasons = [list(choice.reasons) for choice in send_time.best(model, own, segment, today, _ALWAYS)]
    else:
        probabilities, reasons = np.tile(model, (count, 1)), [["when customers are most active"]] * count
    # As files hold them: the last bits of a matrix product depend on the processor.
    rounded = np.round(probabilities, 9)
    ranked = np.argsort(-rounded, axis=1, kind="stable")
    return {
        "ranking": ranked.tolist(),
        "probabilities": np.take_along_axis(rounded, ranked[:, :BEST], axis=1).tolist(),
        "active_hours": np.bincount(own.customer, minlength=count).tolist(),
        "reasons": reasons,
    }


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
    test = {"days": trial.days, "customers": trial.tested, "loss": trial.loss, "usual_loss": trial.usual_loss}
    judgement = description.judgement(verdict, FEATURES, spec.consenting, test=test)
    judgement["artefact"] = {"format": FORMAT, **own, "zones": found.zones, "usual": model.usual.tolist()}
    if trial.enough and verdict.state != CHAMPION:
        plain = {"model": "one histogram for all", "hours": HOURS}
        judgement["stand_in"] = description.stand_in(
            "all are told the hours of all",
            messages,
            parameters={"send_time": plain},
            artefact={"format": FORMAT, **plain, "usual": usual.tolist()},
        )
    days = found.activity.day
    metrics = {
        "log_loss_168": trial.loss,
        "usual_log_loss_168": trial.usual_loss,
        "better": vars(trial.better),
        "usual_hours": {"workday": _of_day(usual[:_WEEKEND]), "weekend": _of_day(usual[_WEEKEND:])},
    }
    return description.described(
        spec.tenant,
        spec.as_of,
        key,
        judgement,
        messages,
        window=(_instant(int(days.min())), _instant(int(days.max()))) if len(days) else (None, None),
        customers=len(found.names),
        purchases=len(days),
        parameters={"send_time": own},
        metrics=metrics if trial.enough else {},
    )


def _of_day(usual: Floats) -> list[float]:
    """Of some whole days' hours of the week the share of each hour of the day."""
    hours = usual.reshape(-1, 24).sum(axis=0)
    return [shortened(share) for share in (hours / hours.sum()).tolist()]


def _instant(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


if __name__ == "__main__":
    sys.exit(main())
