"""Usage as it is stored and told."""

from collections.abc import Iterable, Sequence

from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from docstore import Row
from scoring import snapshots
from scoring.domain.conditions import USAGE
from scoring.domain.usage_gates import ANOMALIES
from scoring.store import Score, ScoringJob
from scoring.store.scores import tell
from scoring.usecases import memberships
from scoring.usecases.score_rows import uid_of

_FIGURES = ("expected", "low", "high", "probability", "as_group", "drop_tellable")
"""None of who is not judged."""


def values(row: Row, job: ScoringJob, decision: str, *, fallback: bool) -> Row:
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
            "as_of": job.as_of,
            "job": job.uid,
            "model": job.scorer,
            "decision": decision,
            "score_time": docstore.whole_milliseconds(clock.now()),
        },
    }


def put(usages: Sequence[Row], job: ScoringJob) -> None:
    """Puts what is told of usage in the place of what was, moves the memberships, and tells, of drops and surges that
    have begun apart; part of a transaction.
    """
    if not usages:
        return
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
    Score.rows().bulk_write(UpdateOne({"uid": uid_of(row["customer"])}, {"$set": row}, upsert=True) for row in usages)
    memberships.settle(uids)
    updated = events_pb2.ScoresUpdated(
        scoring_job=job.name, as_of=job.as_of, usages=map(snapshots.customer_usage, usages)
    )
    tell([(updated, [row["customer"] for row in usages])])
    if begun:
        found = events_pb2.UsageAnomaliesDetected(
            scoring_job=job.name, as_of=job.as_of, anomalies=map(snapshots.customer_usage, begun)
        )
        tell([(found, [row["customer"] for row in begun])])


def remove(rows: Iterable[Row]) -> None:
    """Takes what is told of usage of these rows of scores (uid, customer) away; part of a transaction."""
    names = memberships.remove_part(USAGE, rows)
    if names:
        tell([(events_pb2.ScoresUpdated(removed_usage_customers=names), names)])
