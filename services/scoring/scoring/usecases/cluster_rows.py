"""Clusters as they are stored and told."""

from collections.abc import Iterable, Sequence

from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from docstore import Row
from scoring import snapshots
from scoring.domain.conditions import CLUSTER
from scoring.store import Score, ScoringJob
from scoring.store.scores import tell
from scoring.usecases import memberships
from scoring.usecases.score_rows import uid_of


def values(row: Row, job: ScoringJob, decision: str, *, fallback: bool) -> Row:
    """A row of `jobs.cluster_tasks.SCHEMA` as `store.Score` keeps it. decision: its name."""
    distances = {name: row[name] for name in ("distance", "second", "second_distance") if row[name] is not None}
    return {
        "customer": row["customer"],
        CLUSTER: {
            "name": row[CLUSTER],
            "fallback": fallback,
            **distances,
            "reasons": list(row["reasons"]),
            "as_of": job.as_of,
            "job": job.uid,
            "model": job.scorer,
            "decision": decision,
            "score_time": docstore.whole_milliseconds(clock.now()),
        },
    }


def put(clusters: Sequence[Row], job: ScoringJob) -> None:
    """Puts new clusters in the place of the old ones, moves the memberships, and tells; part of a transaction."""
    if not clusters:
        return
    Score.rows().bulk_write(UpdateOne({"uid": uid_of(row["customer"])}, {"$set": row}, upsert=True) for row in clusters)
    names = [row["customer"] for row in clusters]
    memberships.settle(list(map(uid_of, names)))
    event = events_pb2.ScoresUpdated(
        scoring_job=job.name, as_of=job.as_of, clusters=map(snapshots.customer_cluster, clusters)
    )
    tell([(event, names)])


def remove(rows: Iterable[Row]) -> None:
    """Takes the clusters of these rows of scores (uid, customer) away; part of a transaction."""
    names = memberships.remove_part(CLUSTER, rows)
    if names:
        tell([(events_pb2.ScoresUpdated(removed_cluster_customers=names), names)])
