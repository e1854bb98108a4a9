"""Probabilities of a response as they are stored and told."""

from docstore import Row
from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.domain.percentiles import Ranking
from scoring.domain.response_rules import HORIZON
from scoring.store import ScoringJob
from scoring.store.scores import RESPONSE
from scoring.usecases.score_parts import made_by


def values(job: ScoringJob, ranking: Ranking, row: Row, decision: str) -> Row:
    """A row of `jobs.response_tasks.SCHEMA` as `store.Score` keeps it. decision: its name."""
    return {
        "customer": row["customer"],
        RESPONSE: {
            "probability": row[RESPONSE_PROBABILITY],
            "low": row[f"{RESPONSE_PROBABILITY}_low"],
            "high": row[f"{RESPONSE_PROBABILITY}_high"],
            "percentile": ranking.percentile(row[RESPONSE_PROBABILITY]),
            "reasons": list(row["reasons"]),
            "horizon_days": HORIZON.days,
            **made_by(job, decision),
        },
    }
