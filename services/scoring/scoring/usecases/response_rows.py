"""Probabilities of a response as they are stored and told."""

from collections.abc import Iterable, Sequence

from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from docstore import Row
from scoring import snapshots
from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.domain.percentiles import Ranking
from scoring.domain.response_rules import HORIZON
from scoring.store import Score, ScoringJob
from scoring.store.scores import RESPONSE, tell
from scoring.usecases import memberships
from scoring.usecases.score_rows import uid_of


def values(row: Row, job: ScoringJob, ranking: Ranking, decision: str) -> Row:
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
            "as_of": job.as_of,
            "job": job.uid,
            "model": job.scorer,
            "decision": decision,
            "score_time": docstore.whole_milliseconds(clock.now()),
        },
    }


def put(responses: Sequence[Row], job: ScoringJob) -> None:
    """Puts new probabilities in the place of the old ones, moves the memberships, and tells; part of a transaction."""
    if not responses:
        return
    Score.rows().bulk_write(
        UpdateOne({"uid": uid_of(row["customer"])}, {"$set": row}, upsert=True) for row in responses
    )
    names = [row["customer"] for row in responses]
    memberships.settle(list(map(uid_of, names)))
    event = events_pb2.ScoresUpdated(
        scoring_job=job.name, as_of=job.as_of, responses=map(snapshots.response_propensity, responses)
    )
    tell([(event, names)])


def remove(rows: Iterable[Row]) -> None:
    """Takes the probabilities of these rows of scores (uid, customer) away; part of a transaction."""
    names = memberships.remove_part(RESPONSE, rows)
    if names:
        tell([(events_pb2.ScoresUpdated(removed_response_customers=names), names)])
