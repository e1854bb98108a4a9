"""Clusters as they are stored and told."""

from docstore import Row
from scoring.domain.conditions import CLUSTER
from scoring.store import ScoringJob
from scoring.usecases.score_parts import made_by


def values(job: ScoringJob, row: Row, decision: str, *, fallback: bool) -> Row:
    """A row of `jobs.cluster_tasks.SCHEMA` as `store.Score` keeps it. decision: its name."""
    distances = {name: row[name] for name in ("distance", "second", "second_distance") if row[name] is not None}
    return {
        "customer": row["customer"],
        CLUSTER: {
            "name": row[CLUSTER],
            "fallback": fallback,
            **distances,
            "reasons": list(row["reasons"]),
            **made_by(job, decision),
        },
    }
