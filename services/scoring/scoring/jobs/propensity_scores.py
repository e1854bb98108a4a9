"""What programs share that tell customers by a model of propensity: the files of its scores, and how a job ends."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.features.loading import LEFT_OUT
from scoring.jobs import propensity as training
from scoring.jobs.executor import Executor, InProcess
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.program import MODEL, SUCCESS
from scoring.jobs.progress import Reporter, State
from scoring.jobs.propensity import Material, Purpose
from scoring.jobs.scores import score_file
from scoring.jobs.spec import PropensitySpec
from scoring.jobs.tasks import WORK
from scoring.models import propensity
from scoring.models.classifier import Column, Table
from scoring.models.propensity import Propensity

FIT = "fit.json"
"""What training found, until the job is done: a job that is killed after it does not train again."""
_FINGERPRINT = b"rapport.fingerprint"
_ROWS = 1 << 14
"""Customers scored at a time."""


def schema(probability: str, columns: Sequence[Column]) -> pa.Schema:
    """Of a file of scores: what is told of each customer, and last what it was told from (NaN where there is none)."""
    reason = pa.struct([("feature", pa.string()), ("points", pa.float64()), ("text", pa.string())])
    return pa.schema(
        [
            ("customer", pa.string()),
            *((name, pa.float64()) for name in (probability, f"{probability}_low", f"{probability}_high")),
            ("reasons", pa.list_(reason)),
            *((each.name, pa.float64()) for each in columns),
        ]
    )


def write(
    output: Folder,
    part: str,
    number: int,
    schema: pa.Schema,
    told: Callable[[Propensity, Table], Mapping[str, Any]],
    customers: Callable[[], tuple[pa.Array, Table]],
) -> int:
    """Writes the scores of a part's customers by the model in FIT, or finds them written; returns how many.

    part: fingerprint of what the customers are made of. customers: their names, ascending, and what is known of them.
    """
    fit = output.read_json(FIT)
    assert fit is not None
    key = fingerprint(part, fit["scorer"]).encode()
    if (rows := _finished(output, score_file(number), key)) is not None:
        return rows
    scorer = propensity.load(fit["scorer"])
    names, table = customers()
    noted = schema.with_metadata({_FINGERPRINT: key})

    def fill(file: Any) -> None:
        with pq.ParquetWriter(file, noted, compression="zstd") as writer:
            for begin in range(0, len(names), _ROWS):
                some = table.take(slice(begin, begin + _ROWS))
                columns = {"customer": names[begin : begin + _ROWS].to_pylist(), **some.values, **told(scorer, some)}
                writer.write_table(pa.Table.from_pydict(columns, noted))

    output.write(score_file(number), fill)
    return len(names)


def _finished(output: Folder, name: str, key: bytes) -> int | None:
    """Rows of a finished file; None when it is not there, or of other inputs."""
    try:
        with output.open(name) as file:
            metadata = pq.read_metadata(file)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return int(metadata.num_rows) if (metadata.metadata or {}).get(_FINGERPRINT) == key else None


def learned(
    material: Material, purpose: Purpose, spec: PropensitySpec, version: str, executor: Executor, reporter: Reporter
) -> tuple[Propensity | None, dict[str, Any]]:
    """What scores, if somebody is to be scored and something may; and what the registry is told."""
    if spec.task == "evaluate":
        return None, training.evaluated(material, purpose, spec)
    # Two trainings side by side in one process would need its memory twice.
    trainer = InProcess() if isinstance(executor, InProcess) else executor
    trained = training.train(material, purpose, spec, reporter, trainer)
    found = training.described(trained, material.data, purpose, spec, version)
    return None if spec.task == "train" else trained.scorer, found


def fit_of(scorer: Propensity | None, described: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """What is kept in FIT: the model that scores, None where nobody is to be scored, and what the registry is told."""
    described["message"] = "; ".join(text for text in (described["message"], *notes) if text)
    stored = None if scorer is None else propensity.dump(scorer)
    if stored is not None:
        # With it and the features beside them the scores can be made again.
        described["judgement"]["scored_with"] = stored
    return {"described": described, "scorer": stored}


def notes(
    learned_from: int, customers: int, most: int, left_out: Mapping[str, int], amounts: str, currency: str
) -> list[str]:
    """What is to be known of a job: of how many customers how many were learned from (`most` rows), and what is left
    out (`LEFT_OUT`). amounts: what has no rate, in words.
    """
    assert set(left_out) == set(LEFT_OUT)
    found = []
    if learned_from < customers:
        found.append(
            f"learned from {learned_from} of {customers} customers, chosen by a hash of their names: "
            f"{most} rows are the most"
        )
    if left_out["no_rate"]:
        found.append(f"{left_out['no_rate']} {amounts} without a rate to {currency} are left out")
    if left_out["unusable"]:
        found.append(f"{left_out['unusable']} rows without customer or time are left out")
    return found


def finish(output: Folder, key: str, described: dict[str, Any], scored: Sequence[int], reporter: Reporter) -> None:
    """Leaves what was found, and nothing that passed between steps. scored: customers of each file of scores."""
    output.write_json(MODEL, described)
    wanted = {score_file(number) for number in range(len(scored))}
    for name in output.names():
        if name.startswith("scores-") and name not in wanted:
            output.delete(name)
    output.delete(WORK)
    output.delete(FIT)
    output.write_json(SUCCESS, {"fingerprint": key, "customers": sum(scored), "place": reporter.place})
    reporter.end(State.SUCCEEDED, described["message"])
