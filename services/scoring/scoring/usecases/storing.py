"""Stores the result of a job: chunk by chunk, each in one transaction with its memberships, its events and the count
of chunks stored. A crash between two chunks is gone on from there; inside one it never happened.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from chassis.errors import Unavailable
from chassis.lifecycle import Stopping
from docstore import Conflict, Row, aliases, leases
from docstore.blobs import BlobStore
from eventing import tombstones
from scoring import decisions, parquet, snapshots
from scoring.decisions import Decision
from scoring.domain.percentiles import Ranking
from scoring.settings import ScoringSettings
from scoring.store import Score, ScoringJob
from scoring.store.objections import objecting
from scoring.store.scores import tell
from scoring.usecases import evaluating, memberships
from scoring.usecases.leased_jobs import RunnerStops, note
from scoring.usecases.memberships import Cause
from scoring.usecases.models import register

CHUNK = decisions.BATCH
_RANKED = ("p_alive", "expected_purchases", "lifetime_value_minor")
_STORED_PERCENT = (80, 99)


@dataclass(frozen=True)
class _Result:
    """The job program's scores, in files."""

    blobs: BlobStore
    subject: str
    files: list[str]
    rankings: Mapping[str, Ranking]
    count: int

    @classmethod
    def read(cls, blobs: BlobStore, subject: str) -> "_Result":
        """Opens the result of a run."""
        files = sorted(name for name in blobs.list(subject) if name.startswith("scores-"))
        columns: dict[str, list[float]] = {name: [] for name in _RANKED}
        for file in files:
            with blobs.open(subject, file) as opened:
                for name, found in parquet.values(opened, _RANKED).items():
                    columns[name] += found
        rankings = {name: Ranking(values) for name, values in columns.items()}
        return cls(blobs, subject, files, rankings, len(columns["p_alive"]))

    def chunks(self) -> Iterator[list[Row]]:
        """The rows in an order that is the same every time."""
        for file in self.files:
            with self.blobs.open(self.subject, file) as opened:
                yield from parquet.chunks(opened, CHUNK)


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> None:
    """Makes the scores of the tenant those of the job's result, and the memberships follow.

    Raises Unavailable when consent does not answer or the process stops, Conflict when somebody else holds the job,
    JobFailed when somebody changed the champion meanwhile.
    """
    register(job, json.loads(blobs.get(job.result_subject, "model.json")), blobs)
    result = _Result.read(blobs, job.result_subject)
    for index, rows in enumerate(result.chunks()):
        if index < job.stored:
            continue
        _stop_if_asked(stopping)
        _store_chunk(job, settings, result, rows)
    while _remove_earlier(job):
        _stop_if_asked(stopping)
    # Segments that were created or changed while chunks were being stored.
    evaluating.evaluate_all()


def _stop_if_asked(stopping: Stopping) -> None:
    if stopping.is_set():
        raise RunnerStops


def _store_chunk(job: ScoringJob, settings: ScoringSettings, result: _Result, rows: list[Row]) -> None:
    # Rows without a name are those of people who were erased since.
    rows = [row for row in rows if row["customer"]]
    names = [row["customer"] for row in rows]
    decided = decisions.decide(settings, names)
    scores = [_values(job, row, result.rankings, decided[row["customer"]]) for row in rows]
    done = job.scored + len(rows)
    low, high = _STORED_PERCENT
    percent = low + (high - low) * done // max(1, result.count)

    def once() -> int:
        if any(clock.real_now() >= decision.good_until for decision in decided.values()):
            raise Unavailable("DECISIONS_TOO_OLD", "Decisions of consent are too old to act on; asked again.")
        refused = {name for name in names if not decided[name].allowed} | objecting(names) | _merged(names)
        refused |= tombstones.erased(names)
        counts = {"percent": percent, "scored": job.scored + len(names) - len(refused)}
        held = {**leases.held(job.leased()), "stored": job.stored}
        if job.rows().update_one(held, {"$set": counts, "$inc": {"stored": 1}}).matched_count != 1:
            raise Conflict(job.name)
        _replace([score for score in scores if score["customer"] not in refused], job)
        memberships.remove([_uid(name) for name in refused], Cause.CAUSE_SCORES_REMOVED)
        return len(names) - len(refused)

    job.scored += docstore.in_transaction(once)
    job.stored += 1
    note(job)


def _merged(names: list[str]) -> set[str]:
    """Those that were merged into another customer meanwhile; the next job scores them together."""
    return {name for name, canonical in aliases.resolve(names).items() if canonical != name}


def _replace(scores: list[Row], job: ScoringJob) -> None:
    """Puts new scores in the place of the old ones, moves the memberships, and tells."""
    if not scores:
        return
    Score.rows().bulk_write(
        UpdateOne({"uid": _uid(score["customer"])}, {"$set": score}, upsert=True) for score in scores
    )
    memberships.settle([_uid(score["customer"]) for score in scores])
    names = [score["customer"] for score in scores]
    event: Message = events_pb2.ScoresUpdated(
        scoring_job=job.name, as_of=_stamp(job.as_of), scores=map(snapshots.snapshot, scores)
    )
    tell([(event, names)])


def _remove_earlier(job: ScoringJob) -> int:
    """Takes away the scores of some of the customers whom this job did not score; returns of how many."""

    def once() -> int:
        earlier = Score.rows().find({"job": {"$ne": job.uid}}, {"uid": 1}, limit=CHUNK)
        return memberships.remove([row["uid"] for row in earlier], Cause.CAUSE_SCORES_REMOVED)

    return docstore.in_transaction(once)


def _values(job: ScoringJob, row: Row, rankings: Mapping[str, Ranking], decision: Decision) -> Row:
    estimates = {name: row[name] for name in _RANKED}
    return {
        "customer": row["customer"],
        "currency": job.spec["currency"],
        **{name: row[name] for name in ("recency_weeks", "age_weeks")},
        **{name: int(row[name]) for name in ("frequency", "monetary_minor", "purchases", "revenue_minor")},
        "rfm": {
            "recency": int(row["r"]),
            "frequency": int(row["f"]),
            "monetary": int(row["m"]),
            "segment": row["rfm_segment"],
        },
        **estimates,
        "lifetime_value_minor": int(row["lifetime_value_minor"]),
        "intervals": {
            "p_alive": [row["p_alive_low"], row["p_alive_high"]],
            "expected_purchases": [row["expected_purchases_low"], row["expected_purchases_high"]],
            "lifetime_value_minor": [int(row["lifetime_value_minor_low"]), int(row["lifetime_value_minor_high"])],
        },
        "percentiles": {name: rankings[name].percentile(value) for name, value in estimates.items()},
        "reasons": list(row["reasons"]),
        "job": job.uid,
        "model": job.scorer,
        "as_of": job.as_of,
        "horizon_weeks": job.horizon_weeks,
        "decision": decision.name,
        "score_time": docstore.whole_milliseconds(clock.now()),
    }


def _stamp(instant: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
