"""Makes past scores or offers again: `python -m scoring.jobs.reproduce --result ADDRESS --customer customers/ID`.

The result of a job keeps, for RAPPORT_RESULTS_KEPT_DAYS, what each customer's score was made of, the score itself, and
in model.json the models and scales exactly. From the first and the last of these the score is computed anew and held
against the second: bit for bit on the image and the kind of processor it was made on, else within 1e-9. Offers are made
again from what the customer had bought and the model they were made by, which must still be where it was stored.
Prints one JSON object; exit codes: 0 equal, 1 not equal, 2 no such score.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.jobs import churn, cluster_tasks, offer_listing, renewal_telling, response, send_times, usage
from scoring.jobs import fit as fitting
from scoring.jobs.files import Folder
from scoring.jobs.tasks import UnusableInputError
from scoring.models import artefact, scorecard
from scoring.models.summary import DAYS_PER_WEEK, Ints

MODEL = "model.json"
_CLOSE = 1e-9
UNKNOWN = 2
"""Exit code where there is no such score."""


@dataclass(frozen=True)
class Reproduced:
    """A score as it was stored and as it is computed now, column by column."""

    recorded: dict[str, Any]
    computed: dict[str, Any]

    @property
    def equal(self) -> bool:
        """Bit for bit."""
        return self.recorded == self.computed

    @property
    def close(self) -> bool:
        """Numbers within 1e-9 of each other, relative to their size; all else equal."""
        return all(_close(value, self.computed[name]) for name, value in self.recorded.items())

    def to_dict(self) -> dict[str, Any]:
        """As it is printed."""
        return {"equal": self.equal, "close": self.close, "recorded": self.recorded, "computed": self.computed}


def reproduce(result: Folder, customer: str) -> Reproduced | None:
    """Computes the score of a customer (resource name) of a job's result again; None when it has none there."""
    model = result.read_json(MODEL)
    row = _row(result, customer)
    if model is None or row is None:
        return None
    if "products" in row:
        return Reproduced(row, offer_listing.again(result, row, model["scored_with"]))
    if "ranking" in row:
        return Reproduced({name: row[name] for name in send_times.TOLD}, send_times.again(row, model))
    if "usage" in row:
        return Reproduced({name: row[name] for name in usage.TOLD}, usage.again(row, model))
    judgement = model["judgement"]
    if churn.RISK in row:
        return Reproduced({name: row[name] for name in churn.TOLD}, churn.again(row, judgement["scored_with"]))
    if renewal_telling.PROBABILITY in row:
        recorded = {name: row[name] for name in renewal_telling.TOLD}
        return Reproduced(recorded, renewal_telling.again(row, judgement))
    if RESPONSE_PROBABILITY in row:
        return Reproduced({name: row[name] for name in response.TOLD}, response.again(row, judgement["scored_with"]))
    if "cluster" in row:
        return Reproduced({name: row[name] for name in cluster_tasks.TOLD}, cluster_tasks.again(row, judgement))
    fitted = fitting.restored(artefact.load(judgement["scored_with"]), judgement["scales"])
    (computed,) = scorecard.rows([customer], _summary(row, fitted.as_of_day), fitted.basis, fitted.as_of_day)
    return Reproduced(row, computed)


def _row(result: Folder, customer: str) -> dict[str, Any] | None:
    for name in sorted(name for name in result.names() if name.startswith(("scores-", "offers-", "send-times-"))):
        with result.open(name) as file:
            table = pq.read_table(file, use_threads=False, filters=pc.field("customer") == customer)
        if len(table):
            found: dict[str, Any] = table.to_pylist()[0]
            return found
    return None


def _summary(row: dict[str, Any], as_of_day: int) -> dict[str, Ints]:
    """What the score was made of: days are whole, so that the weeks they are told in lose nothing."""
    first = as_of_day - round(row["age_weeks"] * DAYS_PER_WEEK)
    values = {
        "first_day": first,
        "last_day": first + round(row["recency_weeks"] * DAYS_PER_WEEK),
        "days": row["frequency"] + 1,
        "purchases": row["purchases"],
        "revenue": row["revenue_minor"],
        "repeat_revenue": row["repeat_revenue_minor"],
    }
    return {name: np.array([value], dtype=np.int64) for name, value in values.items()}


def _close(value: Any, other: Any) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        return abs(value - other) <= _CLOSE * max(1.0, abs(value), abs(other))
    return bool(value == other)


def tell(found: Reproduced | None, without: str) -> int:
    """Prints what was made again, or on stderr that there is nothing to; returns the exit code (see above)."""
    if found is None:
        sys.stderr.write(f"{without}\n")
        return UNKNOWN
    sys.stdout.write(f"{json.dumps(found.to_dict())}\n")
    return 0 if found.equal else 1


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scoring.jobs.reproduce", description=__doc__)
    parser.add_argument("--result", required=True, help="folder of the job's result, a path or an fsspec address")
    parser.add_argument("--customer", required=True, help="resource name of the customer")
    given = parser.parse_args()
    try:
        found = reproduce(Folder(given.result), given.customer)
    except UnusableInputError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program's message
        return UNKNOWN
    return tell(found, "the result has no score of this customer")


if __name__ == "__main__":
    sys.exit(main())
