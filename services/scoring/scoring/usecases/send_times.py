"""The steps of a job that finds send times: what its program is told, and what comes of its result."""

from collections.abc import Mapping, Sequence

from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from chassis.lifecycle import Stopping
from docstore import Row
from docstore.blobs import BlobStore
from scoring.decisions import Decision
from scoring.settings import ScoringSettings
from scoring.store import CustomerSendTime, Profile, ScoringJob
from scoring.store.jobs import COMPUTING
from scoring.store.scores import tell
from scoring.usecases import customer_send_times, event_programs, models, preparing, results
from scoring.usecases.leased_jobs import note
from scoring.usecases.results import Result

_TIME_ZONE = "time_zone"
_TOLD = ("customer", "probabilities", "time_zone", "active_hours", "reasons")


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    Raises JobFailed without events, Unavailable while files or decisions cannot be had.
    """
    asks = "Asks consent whose habits may be learned."
    spec = event_programs.told_of(job, settings, blobs, asks, zones=_zone_columns())
    note(job, phase=COMPUTING, spec=spec, percent=preparing.PREPARED_PERCENT, message="Starts the computation.")


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Makes the tenant's send times those of the job's result; returns what came of it.

    Where there was too little to tell any they stay as they are, but of whom consent refuses. Raises Unavailable when
    consent does not answer or the process stops, Conflict when somebody else holds the job, JobFailed when somebody
    changed the champion meanwhile.
    """
    told, made, fallback = models.register_anew(job, blobs)
    why = "; ".join(filter(None, [*made.failed, made.message]))
    result = Result.unranked(blobs, job.result_subject, "send-times-", told["customers"])
    if not result.files:
        results.remove_refused(job, blobs, stopping, customer_send_times.remove)
        return f"Nobody has a new send time: {why}."

    def put(rows: list[Row], decided: Mapping[str, Decision]) -> None:
        _put([_values(job, row, decided[row["customer"]], fallback=fallback) for row in rows], job)

    def remove(rows: list[Row]) -> None:
        customer_send_times.remove([row["customer"] for row in rows])

    results.store(job, settings, result, stopping, put)
    results.remove_earlier(job, stopping, CustomerSendTime, "job", remove)
    what = f"{job.scored} customers have new send times"
    return f"{what}: all are told the hours of all, because {why}." if fallback else f"{what} by {job.model}."


def _values(job: ScoringJob, row: Row, decision: Decision, *, fallback: bool) -> Row:
    return {
        **{name: row[name] for name in _TOLD},
        "ranking": bytes(row["ranking"]),
        "fallback": fallback,
        "job": job.uid,
        "model": job.scorer,
        "as_of": job.as_of,
        "decision": decision.name,
        "score_time": docstore.whole_milliseconds(clock.now()),
    }


def _put(rows: Sequence[Row], job: ScoringJob) -> None:
    """Puts new send times in the place of the old ones and tells; part of a transaction."""
    if not rows:
        return
    names = [row["customer"] for row in rows]
    change_time = customer_send_times.change_time(names)
    CustomerSendTime.rows().bulk_write(
        UpdateOne(
            {"uid": row["customer"].rpartition("/")[2]}, {"$set": {**row, "change_time": change_time}}, upsert=True
        )
        for row in rows
    )
    event = events_pb2.SendTimesUpdated(scoring_job=job.name, send_times=map(_told, rows))
    event.change_time.FromDatetime(change_time)
    tell([(event, names)])


def _told(row: Row) -> events_pb2.CustomerSendTimeState:
    return events_pb2.CustomerSendTimeState(
        customer=row["customer"],
        hours_of_week=row["ranking"],
        time_zone=row["time_zone"],
        fallback=row["fallback"],
        model=f"models/{row['model']}",
        decision=row["decision"],
    )


def _zone_columns() -> dict[str, list[str]]:
    """Of whom a time zone is known, as segments know it."""
    named: Row = {"$filter": {"input": "$traits", "cond": {"$eq": [{"$first": "$$this"}, _TIME_ZONE]}}}
    asked: list[Row] = [
        {"$match": {"traits": {"$elemMatch": {"$elemMatch": {"$eq": _TIME_ZONE}}}}},
        {"$project": {"customer": 1, "zone": {"$last": {"$first": named}}}},
    ]
    customers, zones = [], []
    for row in Profile.rows().aggregate(asked):
        customers.append(row["customer"])
        zones.append(row["zone"])
    return {"customer": customers, "time_zone": zones}
