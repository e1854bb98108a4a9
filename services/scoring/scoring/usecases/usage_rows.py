"""Usage as it is stored and told."""

from collections.abc import Sequence

from rapport.scoring.v1 import events_pb2

from docstore import Row
from scoring import snapshots
from scoring.domain.conditions import USAGE
from scoring.domain.usage_gates import ANOMALIES
from scoring.store import Score, ScoringJob
from scoring.store.scores import tell
from scoring.usecases import score_parts
from scoring.usecases.score_parts import made_by
from scoring.usecases.score_rows import uid_of

_FIGURES = ("expected", "low", "high", "probability", "as_group", "drop_tellable")
"""None of who is not judged."""


def values(job: ScoringJob, row: Row, decision: str, *, fallback: bool) -> Row:
    """A row of `jobs.usage.SCHEMA` as `store.Score` keeps it, but for when it began. decision: its name."""
    return {
        "customer": row["customer"],
        USAGE: {
            "state": row[USAGE],
            "window_weeks": row["window_weeks"],
            "used": row["used"],
            **{name: row[name] for name in _FIGURES if row[name] is not None},
            "reasons": list(row["reasons"]),
            "fallback": fallback,
            **made_by(job, decision),
        },
    }


def put(job: ScoringJob, usages: Sequence[Row]) -> None:
    """Puts what is told of usage in the place of what was, moves the memberships, and tells, of drops and surges that
    have begun apart; part of a transaction.
    """
    uids = [uid_of(row["customer"]) for row in usages]
    told = {"customer": 1, f"{USAGE}.state": 1, f"{USAGE}.begin_time": 1}
    before = {row["customer"]: row.get(USAGE, {}) for row in Score.rows().find({"uid": {"$in": uids}}, told)}
    begun = []
    for row in usages:
        earlier = before.get(row["customer"], {})
        lasts = earlier.get("state") == row[USAGE]["state"]
        row[USAGE]["begin_time"] = min(earlier["begin_time"], job.as_of) if lasts else job.as_of
        if not lasts and row[USAGE]["state"] in ANOMALIES:
            begun.append(row)
    score_parts.put(USAGE, usages, job.name, job.as_of)
    if begun:
        found = events_pb2.UsageAnomaliesDetected(
            scoring_job=job.name, as_of=job.as_of, anomalies=map(snapshots.customer_usage, begun)
        )
        tell([(found, [row["customer"] for row in begun])])
