"""The last task of a job: scores of one partition, written to `scores-<n>.parquet`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.jobs.columns import column, texts
from scoring.jobs.files import Folder
from scoring.jobs.fit import Fitted
from scoring.jobs.tasks import SUMMARY_COLUMNS, read_columns
from scoring.models import rfm, scorecard
from scoring.models.reasons import Reasons
from scoring.models.rfm import Scales, Scored
from scoring.models.summary import Ints

_FINGERPRINT = b"rapport.fingerprint"
_ROW_GROUP = 1 << 16

SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("recency_weeks", pa.float64()),  # from the first purchase to the last
        ("frequency", pa.int64()),  # repeat purchase days
        ("age_weeks", pa.float64()),  # from the first purchase to as_of
        ("monetary_minor", pa.int64()),  # mean value of a repeat purchase day
        ("repeat_revenue_minor", pa.int64()),  # of all of them
        ("purchases", pa.int64()),
        ("revenue_minor", pa.int64()),
        ("r", pa.int32()),
        ("f", pa.int32()),
        ("m", pa.int32()),
        ("rfm_segment", pa.string()),
        ("p_alive", pa.float64()),
        ("p_alive_low", pa.float64()),
        ("p_alive_high", pa.float64()),
        ("expected_purchases", pa.float64()),
        ("expected_purchases_low", pa.float64()),
        ("expected_purchases_high", pa.float64()),
        ("lifetime_value_minor", pa.int64()),
        ("lifetime_value_minor_low", pa.int64()),
        ("lifetime_value_minor_high", pa.int64()),
        ("reasons", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class ScorePart:
    """One partition to score."""

    output: str
    summary: str
    number: int
    fitted: Fitted
    fingerprint: str
    """Of the inputs, the parameters and the code's version."""

    @property
    def file(self) -> str:
        """The file it makes."""
        return score_file(self.number)


def score_file(number: int) -> str:
    """Name of a partition's scores: sorted by name, files ascend by customer."""
    return f"scores-{number:04d}.parquet"


def score(part: ScorePart) -> int:
    """Scores a partition's customers, ascending; returns how many. A file with its fingerprint is left as it is."""
    output = Folder(part.output)
    rows = _finished(output, part)
    if rows is not None:
        return rows
    table = read_columns(output, part.summary)
    found = columns({name: table.column(name).to_numpy() for name in SUMMARY_COLUMNS}, part.fitted)
    found["customer"] = table.column("customer")
    schema = SCHEMA.with_metadata({_FINGERPRINT: part.fingerprint})
    scores = pa.table([found[field.name] for field in SCHEMA], schema=schema)

    def fill(file: Any) -> None:
        pq.write_table(scores, file, compression="zstd", row_group_size=_ROW_GROUP)

    output.write(part.file, fill)
    return len(scores)


def _finished(output: Folder, part: ScorePart) -> int | None:
    try:
        with output.open(part.file) as file:
            metadata = pq.read_metadata(file)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    if (metadata.metadata or {}).get(_FINGERPRINT) != part.fingerprint.encode():
        return None
    return int(metadata.num_rows)


def columns(of: dict[str, Ints], fitted: Fitted) -> dict[str, Any]:
    """All columns but the customer's name, from those of the summary."""
    card = scorecard.scored(of, fitted.basis, fitted.as_of_day)
    return scorecard.columns(of, card) | _classes(card.classes) | {"reasons": _texts(card.reasons)}


def rfm_columns(scales: Scales, recency: Ints, days: Ints, revenue: Ints) -> dict[str, pa.Array]:
    """Scores and segments as they are written."""
    return _classes(scales.scored(recency, days, revenue))


def _classes(scored: Scored) -> dict[str, pa.Array]:
    return {
        **{name: column(getattr(scored, name).astype(np.int32)) for name in ("r", "f", "m")},
        "rfm_segment": texts(rfm.SEGMENT_NAMES).take(column(scored.segment)),
    }


def _texts(found: Reasons) -> pa.ListArray:
    given = found.indices >= 0
    offsets = np.concatenate([[0], np.cumsum(given.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(column(offsets), texts(found.texts.tolist()).take(column(found.indices[given])))
