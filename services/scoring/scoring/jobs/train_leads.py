"""Trains a tenant's model of lead conversion: `python -m scoring.jobs.train_leads --spec spec.json`.

The newest leads (`domain.lead_gates`) test what was trained on those before them, only of whom it was known by then
how they ended; beside it stand the share of all, the points each lead had, and the champion. What scores is trained on
all of them. The output folder then holds `model.json`, `progress.json` and last `_SUCCESS`; run again with equal leads
it ends with an equal model. Exit codes: see `jobs.program`.
"""

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from scoring.domain import lead_gates
from scoring.domain.gates import CHAMPION, Interval, Verdict
from scoring.jobs import lead_watch, program
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder, fingerprint, opened, sha256
from scoring.jobs.lead_watch import Known, Watched
from scoring.jobs.progress import Reporter, State
from scoring.jobs.spec import KnownModel, LeadJobSpec
from scoring.models import classifier, lead_conversion
from scoring.models.classifier import TableError, Training
from scoring.models.classifier.classifier import BASE_RATE
from scoring.models.classifier.comparison import Difference
from scoring.models.classifier.metrics import calibration_curve
from scoring.models.fitting import Floats
from scoring.models.lead_conversion import LeadConversion, Leads
from scoring.parquet import chunks

VERSION = "1"
"""Part of every fingerprint: raise it when the same leads would give another model."""
SUCCESS, MODEL = "_SUCCESS", "model.json"
_CHUNK = 10_000
_TENTHS = 10
_DAY = np.timedelta64(1, "D")


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.train_leads", __doc__, LeadJobSpec, run)


def run(spec: LeadJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError for leads that nothing may be learned from."""
    with opened(spec.leads) as file:
        key = fingerprint(VERSION, spec.model_dump(mode="json", exclude={"output", "leads"}), sha256(file))
    if (output.read_json(SUCCESS) or {}).get("fingerprint") == key:
        reporter.end(State.SUCCEEDED, "was done already")
        return
    output.delete(SUCCESS)
    with opened(spec.leads) as file:
        leads = _leads([row for part in chunks(file, _CHUNK) for row in part])
    executor = InProcess()
    reporter.place = executor.place
    reporter.done("inspect", 1, 1)
    watched = lead_watch.watch(leads, _stored(spec.champion), _stored(spec.previous))
    learn, test = _split(leads)
    try:
        trained, final = executor.run(lead_conversion.fit, [leads.take(learn), leads], _counting(reporter, total=2))
    except TableError as error:
        raise program.UnusableError(f"the leads cannot be learned from: {error}") from error
    data = _known(leads, learn, test)
    standing = watched.standing
    trial = None
    if lead_gates.known(data).passed:
        trial = _trial(trained, leads.take(test), standing.model if standing else None)
    verdict = lead_gates.judge(data, trial.figures if trial else None, spec.consenting, _name(standing))
    output.write_json(MODEL, _described(spec, leads, final, trial, verdict, watched))
    output.write_json(SUCCESS, {"fingerprint": key, "leads": len(leads), "place": reporter.place})
    reporter.end(State.SUCCEEDED, "")


@dataclass(frozen=True)
class _Trial:
    """What was measured on the leads of the test. test: as models keep it."""

    figures: lead_gates.Trial
    metrics: dict[str, Any]
    test: dict[str, Any]
    promised: float


def _leads(rows: list[dict[str, Any]]) -> Leads:
    instants = {
        name: np.array([row[name].replace(tzinfo=None) for row in rows], dtype="datetime64[us]")
        for name in ("create_time", "know_time")
    }
    facts = [json.loads(row["facts"]) for row in rows]
    table = lead_conversion.table_of(facts, [row["lead"] for row in rows], instants["know_time"])
    converted, points = (np.array([row[name] for row in rows], dtype=np.float64) for name in ("converted", "points"))
    return Leads(table, instants["create_time"], converted, points)


def _stored(known: KnownModel | None) -> Known | None:
    if known is None:
        return None
    with opened(known.url) as file:
        if sha256(file) != known.sha256:
            raise program.UnusableError(f"the stored form of {known.name} is damaged: promote another model")
    with opened(known.url) as file:
        return Known(known.name, lead_conversion.load(json.load(file)))


def _split(leads: Leads) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Rows that train for the test, and rows that test: the newest; leads of one instant stay together."""
    if not len(leads):
        return np.arange(0), np.arange(0)
    cut = np.quantile(leads.created.astype(np.int64), 1 - lead_gates.TESTED_SHARE, method="lower")
    begin = np.datetime64(int(cut), "us")
    known = begin - lead_conversion.HORIZON_DAYS * _DAY
    return np.flatnonzero(leads.created <= known), np.flatnonzero(leads.created >= begin)


def _known(leads: Leads, learn: Any, test: Any) -> lead_gates.Known:
    counts = [int(value) for rows in (learn, test) for value in _counts(leads.converted[rows])]
    return lead_gates.Known(len(leads), *counts)


def _counts(converted: Floats) -> tuple[float, float]:
    return converted.sum(), len(converted) - converted.sum()


def _trial(trained: Training, test: Leads, champion: LeadConversion | None) -> _Trial:
    chosen = trained.classifier.chosen
    told = {
        name: classifier.predict(trained.classifier, test.table, candidate=name).probability
        for name in trained.classifier.candidates
    } | {BASE_RATE: np.full(len(test), trained.classifier.base_rate.probability)}
    mine = told[chosen]
    measured = {name: classifier.measure(test.converted, probability) for name, probability in told.items()}
    against_points = classifier.compare(test.converted, test.points / 100, mine)
    of_mine = measured[chosen]
    assert of_mine is not None
    # The champion has learned from some of the tested leads, or from all: held against these it would be flattered.
    new = np.flatnonzero(test.created > np.datetime64(champion.newest if champion else 0, "us"))
    new_conversions, new_others = map(int, _counts(test.converted[new]))
    figures = lead_gates.Trial(
        auc=against_points.auc.challenger,
        points_auc=against_points.auc.champion,
        against_points=_interval(against_points.auc),
        against_base_rate=_share(classifier.compare(test.converted, told[BASE_RATE], mine).log_loss),
        against_champion=_share(_compared(champion, test.take(new), mine[new]).log_loss)
        if champion and lead_gates.comparable(new_conversions, new_others)
        else None,
        new_conversions=new_conversions,
        new_others=new_others,
        calibration_error=of_mine.ece.value,
        chance=of_mine.ece_by_chance,
    )
    metrics = {
        "chosen": chosen,
        "test": {name: _figures(found) for name, found in measured.items() if found is not None},
        "points_auc": _round(figures.points_auc),
        "test_leads": len(test),
        "test_conversions": int(test.converted.sum()),
    }
    curve = calibration_curve(test.converted, mine, _TENTHS)
    kept = {
        "deciles": [
            {"expected": _round(each.predicted), "actual": _round(each.observed), "customers": each.rows}
            for each in curve
        ],
        "miscalibration": _round(of_mine.ece.value),
        "customers": len(test),
    }
    promised = lead_watch.error_share(test, mine).value
    kept["promised"] = {str(lead_conversion.HORIZON_DAYS): promised}
    return _Trial(figures, metrics, kept, promised)


def _compared(champion: LeadConversion, leads: Leads, mine: Floats) -> classifier.Comparison:
    return classifier.compare(leads.converted, champion.probability(leads.table), mine)


def _figures(found: classifier.Metrics) -> dict[str, Any]:
    named = ("auc", "average_precision", "brier", "log_loss", "lift", "ece")
    return {name: _round(getattr(found, name).value) for name in named} | {
        "auc_interval": [_round(found.auc.low), _round(found.auc.high)]
    }


def _described(
    spec: LeadJobSpec, leads: Leads, final: Training, trial: _Trial | None, verdict: Verdict, watched: Watched
) -> dict[str, Any]:
    """What the registry keeps (`usecases.models.register`)."""
    told = classifier.predict(final.classifier, leads.table).probability
    model = LeadConversion(
        final.classifier,
        lead_conversion.reference_of(final),
        int(leads.created.max().astype(np.int64)) if len(leads) else 0,
        trial.promised if trial else None,
        lead_watch.histograms(leads, told),
    )
    artefact = lead_conversion.dump(model)
    messages = [finding.message for finding in final.findings]
    if verdict.state != CHAMPION and not spec.champion:
        messages.insert(0, "no model has passed its gates yet: the points of leads stand")
    candidates = {name: one.setting for name, one in final.classifier.candidates.items()}
    parameters = {
        "lead_conversion": {
            "model": final.classifier.chosen,
            "base_rate": _round(final.classifier.base_rate.probability),
            **{name: setting for name, setting in candidates.items() if setting is not None},
        }
    }
    moments = [None, None] if not len(leads) else [_instant(leads.created.min()), _instant(leads.created.max())]
    return {
        "tenant": spec.tenant,
        "version": fingerprint(VERSION, artefact),
        "as_of": spec.as_of.astimezone(UTC).isoformat(),
        "currency": None,
        "window_start": moments[0],
        "window_end": moments[1],
        "customers": len(leads),
        "purchases": int(leads.converted.sum()),
        "parameters": parameters,
        "metrics": trial.metrics if trial else {},
        "fallback": False,
        "message": "; ".join(messages),
        "judgement": {
            "candidate": {"state": verdict.state, "gates": [gate.to_dict() for gate in verdict.gates]},
            "test": trial.test if trial else {},
            "champion": _name(spec.champion),
            "standing": _name(watched.standing),
            "rollback": {"falls": watched.falls, "message": watched.message},
            "outcomes": watched.outcomes,
            "drifts": watched.drifts,
            "features": lead_conversion.FEATURES,
            "consenting": spec.consenting,
            "artefact": artefact,
        },
    }


def _counting(reporter: Reporter, total: int) -> Any:
    finished = 0

    def count(_training: Training) -> None:
        nonlocal finished
        finished += 1
        reporter.done("fit", finished, total)

    return count


def _name(known: KnownModel | Known | None) -> str:
    return known.name if known else ""


def _interval(found: Difference) -> Interval:
    return Interval(_round(found.value), _round(found.low), _round(found.high))


def _share(found: Difference) -> Interval:
    """As a share of the loss it is held against."""
    return Interval(*(_round(value / found.champion) for value in (found.value, found.low, found.high)))


def _instant(moment: Any) -> str:
    return datetime.fromtimestamp(int(moment.astype(np.int64)) / 1e6, UTC).isoformat()


def _round(value: float) -> float:
    return float(f"{value:.6g}")


if __name__ == "__main__":
    sys.exit(main())
