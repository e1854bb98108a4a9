"""Judges what a tenant's customers use: `python -m scoring.jobs.usage --spec spec.json`.

Counts of weeks that end at the instant are held against what is usual of each customer (`models.anomaly`), at a stated
rate of false alarms that their own past weeks verify; with too little for that, cautious thresholds stand in; nobody is
told anything where nobody used something in eight weeks and more. The output folder then holds `scores-0000.parquet`,
`model.json`, `progress.json` and last `_SUCCESS`; run again with equal events it ends with equal rows. Exit codes: see
`jobs.program`.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, timedelta
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scoring.domain import usage_gates
from scoring.domain.conditions import DROP, NOT_JUDGED, SURGE, USAGE_STATES, USUAL
from scoring.domain.gates import CHAMPION, Verdict
from scoring.domain.usage_gates import Trial
from scoring.jobs import description, program, weekly_counts
from scoring.jobs.columns import column
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.progress import Reporter
from scoring.jobs.scores import score_file
from scoring.jobs.usage_spec import UsageJobSpec
from scoring.jobs.weekly_counts import WEEKS, WeeklyCounts
from scoring.models import anomaly
from scoring.models.anomaly import Detector, Finding, Groups, Usage
from scoring.models.fitting import Floats
from scoring.models.name_hashes import hashed
from scoring.models.rounding import shortened
from scoring.models.summary import Ints

VERSION = "2"
"""Part of every fingerprint: raise it when the same events would be judged otherwise."""
FEATURES = {"events_per_week": 1}
FORMAT = 1
LEARNED_MOST = 50_000
"""Customers at most that thresholds, and how all stand, are learned from: by a hash of their names."""
_LEAST_GAIN = 0.01
"""Nats: see `anomaly.train`. Common weeks that customers do follow make their past likelier by 0.02 and more."""
_LOOKED_BACK = anomaly.MOST_CYCLES + max(anomaly.WINDOWS)
"""Weeks that one judgement is made of."""
_ROWS = 20_000
SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("usage", pa.string()),
        ("window_weeks", pa.int64()),
        ("used", pa.int64()),
        # Null of who is not judged, as are the three after `high`.
        ("expected", pa.float64()),
        ("low", pa.int64()),
        ("high", pa.int64()),
        ("probability", pa.float64()),
        ("as_group", pa.float64()),
        ("drop_tellable", pa.bool_()),
        ("reasons", pa.list_(pa.string())),
        # What it was made of: the last weeks, the one the customer began in, and whether groups were told of them.
        ("weeks", pa.list_(pa.int32())),
        ("first", pa.int64()),
        ("inside", pa.bool_()),
    ]
)
TOLD = tuple(SCHEMA.names[1:-3])
"""The columns that are told from the last three."""


@dataclass(frozen=True)
class Judge:
    """What customers are judged by. groups: by window, how all stood."""

    detector: Detector
    groups: Mapping[int, Groups]


@dataclass(frozen=True)
class Learned:
    """What was learned. judge: None where nobody is judged."""

    detector: Detector
    judge: Judge | None
    verdict: Verdict
    inside: NDArray[np.bool_]
    """Which customers it was learned from."""


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.usage", __doc__, UsageJobSpec, run)


def run(spec: UsageJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError for files that cannot be read, or too much for the memory."""
    with program.usable("the events"):
        hashes = weekly_counts.digest(spec)
        own = spec.model_dump(mode="json", include={"tenant", "as_of", "events", "consenting"})
        key = fingerprint(VERSION, own, hashes)
        if program.done(output, key, reporter):
            return
        output.delete(score_file(0))
        reporter.place = InProcess().place
        found = weekly_counts.read(spec, output)
    reporter.done("summarise", 1, 1)
    learned = learn(found, spec.consenting)
    reporter.done("fit", 1, 1)
    told: Counter[str] = Counter()
    if learned.judge is not None:
        judge = learned.judge
        output.write(score_file(0), lambda file: told.update(_write(file, judge, learned.inside, found, reporter)))
    described = _described(spec, found, learned, told, key)
    program.finish(output, key, described, reporter)


def learn(found: WeeklyCounts, consenting: float | None) -> Learned:
    """Learns the thresholds from the past weeks of all customers, or of `LEARNED_MOST`, and how all stand."""
    inside = np.ones(len(found.names), dtype=bool)
    if len(found.names) > LEARNED_MOST:
        inside[np.argpartition(hashed(found.names.to_pylist()), LEARNED_MOST)[LEARNED_MOST:]] = False
    usage = _usage(found.counts[inside])
    # The week that is judged is none that thresholds come from.
    detector = anomaly.train(usage.until(WEEKS - 1), least_gain=_LEAST_GAIN)
    judged = int(anomaly.judgeable(_usage(found.counts)).sum())
    verdict = usage_gates.judge(Trial(judged, detector.calibrated_on, anomaly.LEAST_CALIBRATION), consenting)
    told_by = detector
    if verdict.state != CHAMPION and not detector.messages:
        # How often these alarmed is not known.
        bounds = anomaly.cautious(detector.rate)
        told_by = replace(detector, drop=bounds, surge=bounds, past=())
    judge = Judge(told_by, anomaly.groups_of(usage, detector.follow)) if judged else None
    return Learned(detector, judge, verdict, inside)


def _usage(counts: NDArray[np.int32], first: Ints | None = None) -> Usage:
    """All customers are one group. first: where it is not the first count."""
    began = (counts > 0).argmax(axis=1) if first is None else first
    return Usage(counts.astype(np.int64), began, np.zeros(len(counts), dtype=np.int64))


def _write(
    file: BinaryIO, judge: Judge, inside: NDArray[np.bool_], found: WeeklyCounts, reporter: Reporter
) -> Counter[str]:
    """One row a customer, in order of the names; returns how many are in each state."""
    states: Counter[str] = Counter()
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for begin in range(0, len(found.names), _ROWS):
            end = min(begin + _ROWS, len(found.names))
            counts = found.counts[begin:end]
            # As one row alone is judged (`again`): of what came before the weeks that are looked at only whether.
            first = np.maximum(_usage(counts).first - (WEEKS - _LOOKED_BACK), -1)
            weeks = counts[:, -_LOOKED_BACK:]
            told = _told(judge, _usage(weeks, first), inside[begin:end])
            states.update(told["usage"])
            offsets = np.arange(0, weeks.size + 1, _LOOKED_BACK, dtype=np.int32)
            columns = {
                "customer": found.names[begin:end],
                **told,
                "weeks": pa.ListArray.from_arrays(column(offsets), column(weeks.ravel())),
                "first": first,
                "inside": inside[begin:end],
            }
            writer.write_table(pa.table(columns, SCHEMA))
            reporter.done("score", end, len(found.names), end - begin)
    return states


def _told(judge: Judge, usage: Usage, inside: NDArray[np.bool_]) -> dict[str, list[Any]]:
    """The columns TOLD of customers."""
    finding = anomaly.detect_against(judge.detector, judge.groups, usage, inside)
    states = np.select([~finding.judged, finding.drop, finding.surge], [NOT_JUDGED, DROP, SURGE], USUAL)
    return {
        "usage": states.tolist(),
        "window_weeks": finding.window.tolist(),
        "used": finding.used.tolist(),
        **{name: _of_judged(finding, getattr(finding, name)) for name in ("expected", "probability", "as_group")},
        **{name: _of_judged(finding, getattr(finding, name)) for name in ("low", "high")},
        "drop_tellable": _of_judged(finding, finding.drop_tellable),
        "reasons": [list(reasons) for reasons in anomaly.explain(finding)],
    }


def _of_judged(finding: Finding, values: Floats | Ints | NDArray[np.bool_]) -> list[Any]:
    found = values.tolist()
    if values.dtype == np.float64:
        # As files hold them: the last bits depend on the processor.
        found = [shortened(value) for value in found]
    return [value if there else None for value, there in zip(found, finding.judged.tolist(), strict=True)]


def again(row: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """What a stored row tells, computed anew from the customer's weeks and how all stood; described: model.json."""
    judgement = described["judgement"]
    made = judgement.get("stand_in", judgement)["artefact"]
    detector = Detector(made["rate"], made["follow"], tuple(made["drop"]), tuple(made["surge"]), 0, ())
    groups = {
        int(window): Groups(**{name: np.array(values) for name, values in told.items()})
        for window, told in made["groups"].items()
    }
    usage = _usage(np.array([row["weeks"]], dtype=np.int32), np.array([row["first"]], dtype=np.int64))
    told = _told(Judge(detector, groups), usage, np.array([row["inside"]]))
    return {name: values[0] for name, values in told.items()}


def _described(
    spec: UsageJobSpec, found: WeeklyCounts, learned: Learned, told: Counter[str], key: str
) -> dict[str, Any]:
    """What the registry keeps (`usecases.models.register`)."""
    passed = learned.verdict.state == CHAMPION
    count = int(learned.inside.sum())
    messages = [*learned.detector.messages]
    if count < len(found.names):
        messages.append(f"learned from {count} of {len(found.names)} customers, chosen by a hash of their names")
    judgement = description.judgement(learned.verdict, FEATURES, spec.consenting, test={})
    judgement["artefact"] = _artefact(learned.detector, learned.judge)
    own: dict[str, Any] = {"events": list(spec.events)} if spec.events else {}
    metrics = {state.lower(): told[state] for state in USAGE_STATES}
    if learned.judge is not None and not passed:
        stood_in = learned.judge.detector
        judgement["stand_in"] = description.stand_in(
            "drops and surges are told on cautious thresholds",
            messages,
            parameters={"usage": {"model": "cautious thresholds", **own, **_parameters(stood_in)}},
            metrics={**metrics, "weeks": [asdict(week) for week in stood_in.past]},
            artefact=_artefact(stood_in, learned.judge),
        )
    used = np.flatnonzero(found.counts.sum(axis=0, dtype=np.int64))
    return description.described(
        spec.tenant,
        spec.as_of,
        key,
        judgement,
        messages,
        window=(_edge(spec, used[0]), _edge(spec, used[-1] + 1)) if len(used) else (None, None),
        customers=len(found.names),
        purchases=int(found.counts.sum(dtype=np.int64)),
        parameters={"usage": {"model": "calibrated thresholds", **own, **_parameters(learned.detector)}},
        metrics={**metrics, "weeks": [asdict(week) for week in learned.detector.past]} if passed else {},
    )


def _edge(spec: UsageJobSpec, week: int) -> str:
    """When that week begins."""
    return (spec.as_of.astimezone(UTC) - timedelta(weeks=int(WEEKS - week))).isoformat()


def _parameters(detector: Detector) -> dict[str, Any]:
    """As people look at them."""
    thresholds = {
        f"{side}_{window}_weeks": shortened(bound)
        for side, bounds in (("drop", detector.drop), ("surge", detector.surge))
        for window, bound in zip(anomaly.WINDOWS, bounds, strict=True)
    }
    return {
        "rate": detector.rate,
        "calibrated_on": detector.calibrated_on,
        "follow": detector.follow,
        "weeks": WEEKS,
        **thresholds,
    }


def _artefact(detector: Detector, judge: Judge | None) -> dict[str, Any]:
    """All that `again` asks for, exactly."""
    groups = judge.groups if judge else {}
    return {
        "format": FORMAT,
        **{name: getattr(detector, name) for name in ("rate", "follow", "calibrated_on")},
        "drop": list(detector.drop),
        "surge": list(detector.surge),
        "groups": {
            str(window): {name: value.tolist() for name, value in vars(told).items()} for window, told in groups.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
