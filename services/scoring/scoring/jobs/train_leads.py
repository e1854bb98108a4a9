"""Trains a tenant's model of lead conversion: `python -m scoring.jobs.train_leads --spec spec.json`.

The newest leads (`domain.lead_gates`) test what was trained on those before them, only of whom it was known by then
how they ended; beside it stand the share of all, the points each lead had, and the champion. What scores is trained on
all of them. The output folder then holds `model.json`, `progress.json` and last `_SUCCESS`; run again with equal leads
it ends with an equal model. Exit codes: see `jobs.program`.
"""

import itertools
import json
import sys

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scoring.domain import lead_gates
from scoring.jobs import memory, program, propensity
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder, fingerprint, opened, sha256
from scoring.jobs.progress import Reporter, State
from scoring.jobs.propensity import Material, Purpose
from scoring.jobs.propensity_watch import Current, newest_of_each
from scoring.jobs.spec import LeadJobSpec
from scoring.models import lead_conversion
from scoring.models.propensity import Labelled
from scoring.models.summary import Ints
from scoring.parquet import Row, chunks

VERSION = "3"
"""Part of every fingerprint: raise it when the same leads would give another model."""
PURPOSE = Purpose(
    name="lead_conversion",
    outcome=lead_conversion.OUTCOME,
    horizon_days=lead_conversion.HORIZON_DAYS,
    features=lead_conversion.FEATURES,
    words=lead_gates.WORDS,
    without="the points of leads stand",
)
_STEPS = (("inspect", 2.0), ("fit", 98.0))
_CHUNK = 10_000
_MOST_POINTS = 100
_DAY = np.timedelta64(1, "D")


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.train_leads", __doc__, LeadJobSpec, run)


def run(spec: LeadJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError for leads that nothing may be learned from, or too many for the memory."""
    urls = [spec.leads, *([spec.recent] if spec.recent else [])]
    told = spec.model_dump(mode="json", exclude={"output", "leads", "recent"})
    key = fingerprint(VERSION, told, list(map(_hash, urls)))
    if program.done(output, key, reporter):
        return
    executor = InProcess()
    reporter.place = executor.place
    _check(urls)
    mature, *recent = map(_rows, urls)
    leads, current = _leads(mature), _current([*mature, *itertools.chain(*recent)])
    reporter.steps = _STEPS
    reporter.done("inspect", 1, 1)
    learn, test = _split(leads)
    newest = int(leads.dates.max().astype(np.int64)) if len(leads) else 0
    reference = leads.table.take(newest_of_each(leads.customers, leads.dates))
    material = Material(leads, learn, test, newest, current, reference)
    if spec.task == "evaluate":
        described = propensity.evaluated(material, PURPOSE, spec)
    else:
        trained = propensity.train(material, PURPOSE, spec, reporter, executor)
        described = propensity.described(trained, leads, PURPOSE, spec, VERSION)
    output.write_json(program.MODEL, described)
    output.write_json(program.SUCCESS, {"fingerprint": key, "leads": len(leads), "place": reporter.place})
    reporter.end(State.SUCCEEDED, "")


def _hash(url: str) -> str:
    with opened(url) as file:
        return sha256(file)


def _check(urls: list[str]) -> None:
    leads = 0
    for url in urls:
        with opened(url) as file:
            leads += pq.ParquetFile(file).metadata.num_rows
    try:
        memory.check_leads(leads)
    except memory.TooLargeError as error:
        raise program.UnusableError(str(error)) from error


def _rows(url: str) -> list[Row]:
    with opened(url) as file:
        return [row for part in chunks(file, _CHUNK) for row in part]


def _leads(rows: list[Row]) -> Labelled:
    table = lead_conversion.table_of(_facts(rows), [row["lead"] for row in rows], _instants(rows, "know_time"))
    converted, points = (np.array([row[name] for row in rows], dtype=np.float64) for name in ("converted", "points"))
    return Labelled(table, _instants(rows, "create_time"), converted, points / _MOST_POINTS, owners=_owners(rows))


def _current(rows: list[Row]) -> Current:
    return Current(lead_conversion.table_of(_facts(rows)), _instants(rows, "create_time"), _owners(rows))


def _owners(rows: list[Row]) -> NDArray[np.str_]:
    """Whose each lead is; where it names no customer, its own."""
    return np.array([row["customer"] or row["lead"] for row in rows], dtype=np.str_)


def _facts(rows: list[Row]) -> list[Row]:
    return [json.loads(row["facts"]) for row in rows]


def _instants(rows: list[Row], name: str) -> NDArray[np.datetime64]:
    return np.array([row[name].replace(tzinfo=None) for row in rows], dtype="datetime64[us]")


def _split(leads: Labelled) -> tuple[Ints, Ints]:
    """Rows that train for the test, and rows that test: the newest; leads of one instant stay together."""
    if not len(leads):
        return np.arange(0), np.arange(0)
    cut = np.quantile(leads.dates.astype(np.int64), 1 - lead_gates.TESTED_SHARE, method="lower")
    begin = np.datetime64(int(cut), "us")
    known = begin - lead_conversion.HORIZON_DAYS * _DAY
    return np.flatnonzero(leads.dates <= known), np.flatnonzero(leads.dates >= begin)


if __name__ == "__main__":
    sys.exit(main())
