"""Probabilities of a response as they are stored and told."""

from docstore import Row
from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.domain.percentiles import Ranking
from scoring.domain.response_rules import HORIZON
from scoring.store.scores import RESPONSE


def values(row: Row, ranking: Ranking, made_by: Row) -> Row:
    """A row of `jobs.response_tasks.SCHEMA` as `store.Score` keeps it. made_by: see `score_parts.made_by`."""
    return {
        "customer": row["customer"],
        RESPONSE: {
            "probability": row[RESPONSE_PROBABILITY],
            "low": row[f"{RESPONSE_PROBABILITY}_low"],
            "high": row[f"{RESPONSE_PROBABILITY}_high"],
            "percentile": ranking.percentile(row[RESPONSE_PROBABILITY]),
            "reasons": list(row["reasons"]),
            "horizon_days": HORIZON.days,
            **made_by,
        },
    }
