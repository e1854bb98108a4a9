"""Renewals of contracts as they are stored and told."""

import docstore
from docstore import Row
from scoring.store import ScoringJob
from scoring.store.scores import RENEWAL
from scoring.usecases.score_parts import made_by

_SAME = (
    "low",
    "high",
    "expected_renewals",
    "expected_low",
    "expected_high",
    "renewals",
    "period_days",
    "due_time",
    "subscriptions",
)


def values(job: ScoringJob, row: Row, decision: str, *, fallback: bool) -> Row:
    """A row of `jobs.renewal_telling.SCHEMA` as `store.Score` keeps it. decision: its name."""
    return {
        "customer": row["customer"],
        RENEWAL: {
            "probability": row["renewal_probability"],
            **{name: row[name] for name in _SAME},
            "due_time": docstore.whole_milliseconds(row["due_time"]),
            "reasons": list(row["reasons"]),
            "fallback": fallback,
            **made_by(job, decision),
        },
    }
