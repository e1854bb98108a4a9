"""Renewals of contracts as they are stored and told."""

from collections.abc import Iterable, Sequence

from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from docstore import Row
from scoring import snapshots
from scoring.store import Score, ScoringJob
from scoring.store.scores import RENEWAL, tell
from scoring.usecases import memberships
from scoring.usecases.score_rows import uid_of

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


def values(row: Row, job: ScoringJob, decision: str, *, fallback: bool) -> Row:
    """A row of `jobs.renewal_telling.SCHEMA` as `store.Score` keeps it. decision: its name."""
    return {
        "customer": row["customer"],
        RENEWAL: {
            "probability": row["renewal_probability"],
            **{name: row[name] for name in _SAME},
            "due_time": docstore.whole_milliseconds(row["due_time"]),
            "reasons": list(row["reasons"]),
            "fallback": fallback,
            "as_of": job.as_of,
            "job": job.uid,
            "model": job.scorer,
            "decision": decision,
            "score_time": docstore.whole_milliseconds(clock.now()),
        },
    }


def put(renewals: Sequence[Row], job: ScoringJob) -> None:
    """Puts new renewals in the place of the old ones, moves the memberships, and tells; part of a transaction."""
    if not renewals:
        return
    Score.rows().bulk_write(UpdateOne({"uid": uid_of(row["customer"])}, {"$set": row}, upsert=True) for row in renewals)
    names = [row["customer"] for row in renewals]
    memberships.settle(list(map(uid_of, names)))
    event = events_pb2.ScoresUpdated(
        scoring_job=job.name, as_of=job.as_of, renewals=map(snapshots.customer_renewal, renewals)
    )
    tell([(event, names)])


def remove(rows: Iterable[Row]) -> None:
    """Takes the renewals of these rows of scores (uid, customer) away; part of a transaction."""
    names = memberships.remove_part(RENEWAL, rows)
    if names:
        tell([(events_pb2.ScoresUpdated(removed_renewal_customers=names), names)])
