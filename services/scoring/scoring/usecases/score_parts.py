"""Parts of scores that each kind of job makes by itself (`store.scores.PARTS`): stored, told, and taken away."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.message import Message
from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from chassis.lifecycle import Stopping
from docstore import Row
from scoring import snapshots
from scoring.decisions import Decision
from scoring.domain.conditions import CLUSTER, USAGE
from scoring.settings import ScoringSettings
from scoring.store import Score, ScoringJob
from scoring.store.scores import RENEWAL, RESPONSE, VALUE, tell
from scoring.usecases import evaluating, memberships, results
from scoring.usecases.results import Result
from scoring.usecases.score_rows import uid_of

CHURN = "churn"


class _Told(NamedTuple):
    """How a part is told: a field of `ScoresUpdated`, what stands there of each customer, and the field that names who
    has that part no more.
    """

    field: str
    state: Callable[[Mapping[str, Any]], Message]
    removed: str


_TOLD = {
    VALUE: _Told("scores", snapshots.snapshot, "removed_value_customers"),
    CHURN: _Told("churn_risks", snapshots.churn_risk, "removed_churn_customers"),
    CLUSTER: _Told("clusters", snapshots.customer_cluster, "removed_cluster_customers"),
    RESPONSE: _Told("responses", snapshots.response_propensity, "removed_response_customers"),
    RENEWAL: _Told("renewals", snapshots.customer_renewal, "removed_renewal_customers"),
    USAGE: _Told("usages", snapshots.customer_usage, "removed_usage_customers"),
}


def made_by(job: ScoringJob, decision: str) -> Row:
    """Where a part comes from, as `store.Score` keeps it. decision: its name."""
    return {
        "as_of": job.as_of,
        "job": job.uid,
        "model": job.scorer,
        "decision": decision,
        "score_time": docstore.whole_milliseconds(clock.now()),
    }


def store(
    job: ScoringJob,
    settings: ScoringSettings,
    result: Result,
    stopping: Stopping,
    part: str,
    values: Callable[[Row, str], Row],
    put_all: Callable[[list[Row]], None] | None = None,
) -> None:
    """Makes a part of the scores of all customers what the job's result tells; segments follow.

    values: what is stored of a row of the result, given the name of consent's decision. put_all: does it for a chunk,
    where that is more than `put`. Raises as `results.store` does.
    """

    def chunk(rows: list[Row], decided: Mapping[str, Decision]) -> None:
        told = [values(row, decided[row["customer"]].name) for row in rows]
        if put_all is None:
            put(part, told, job.name, job.as_of)
        else:
            put_all(told)

    results.store(job, settings, result, stopping, chunk)
    results.remove_earlier(job, stopping, Score, f"{part}.job", partial(remove, part))
    # Segments that were created or changed while chunks were being stored.
    evaluating.evaluate_all()


def put(part: str, rows: Sequence[Row], scoring_job: str, as_of: datetime) -> None:
    """Puts a part anew in the place of the old one, moves the memberships, and tells; part of a transaction.

    rows: `customer` and the part. scoring_job: name of the job by whose model they were made.
    """
    if not rows:
        return
    Score.rows().bulk_write(UpdateOne({"uid": uid_of(row["customer"])}, {"$set": row}, upsert=True) for row in rows)
    names = [row["customer"] for row in rows]
    memberships.settle(list(map(uid_of, names)))
    told = _TOLD[part]
    fields: dict[str, Any] = {told.field: map(told.state, rows)}
    tell([(events_pb2.ScoresUpdated(scoring_job=scoring_job, as_of=as_of, **fields), names)])


def remove(part: str, rows: Iterable[Row]) -> None:
    """Takes a part of these rows of scores (uid, customer) away and tells; part of a transaction.

    Other parts are for other jobs to renew or remove.
    """
    names = memberships.remove_part(part, rows)
    if names:
        fields: dict[str, Any] = {_TOLD[part].removed: names}
        tell([(events_pb2.ScoresUpdated(**fields), names)])
