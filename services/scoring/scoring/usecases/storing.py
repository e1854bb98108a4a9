"""Stores the result of a job: chunk by chunk, each in one transaction with its memberships, its events and the count
of chunks stored. A crash between two chunks is gone on from there; inside one it never happened.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docstore
from chassis import clock
from chassis.errors import Unavailable
from chassis.lifecycle import Stopping
from docstore import Conflict, Row, aliases, leases
from docstore.blobs import BlobStore
from eventing import tombstones
from scoring import decisions, parquet
from scoring.domain.percentiles import Ranking
from scoring.settings import ScoringSettings
from scoring.store import Score, Scorer, ScoringJob, histories
from scoring.store.histories import CURRENT
from scoring.store.objections import objecting
from scoring.usecases import evaluating, memberships, score_rows
from scoring.usecases.leased_jobs import RunnerStops, note
from scoring.usecases.memberships import Cause
from scoring.usecases.models import register
from scoring.usecases.score_rows import RANKED, Origin, uid_of

CHUNK = decisions.BATCH
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
        columns: dict[str, list[float]] = {name: [] for name in RANKED}
        for file in files:
            with blobs.open(subject, file) as opened:
                for name, found in parquet.values(opened, RANKED).items():
                    columns[name] += found
        rankings = {name: Ranking.of(values) for name, values in columns.items()}
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
    description = json.loads(blobs.get(job.result_subject, "model.json"))
    register(job, description, blobs)
    result = _Result.read(blobs, job.result_subject)
    _keep_scorer(job, description["judgement"], result)
    for index, rows in enumerate(result.chunks()):
        if index < job.stored:
            continue
        _stop_if_asked(stopping)
        _store_chunk(job, settings, result, rows)
    while _remove_earlier(job):
        _stop_if_asked(stopping)
    # Segments that were created or changed while chunks were being stored.
    evaluating.evaluate_all()


def _keep_scorer(job: ScoringJob, told: Mapping[str, Any], result: _Result) -> None:
    """From now on customers who buy are scored by what this job scores with."""
    scorer = {
        "job": job.uid,
        "model": job.scorer,
        "currency": job.spec["currency"],
        "choice": told["scored_with"],
        "scales": told["scales"],
        "rankings": {name: ranking.steps for name, ranking in result.rankings.items()},
    }

    def once() -> None:
        if job.rows().update_one(leases.held(job.leased()), {"$inc": {"changes": 1}}).matched_count != 1:
            raise Conflict(job.name)
        Scorer.rows().update_one({"uid": CURRENT}, {"$set": scorer}, upsert=True)

    docstore.in_transaction(once)


def _stop_if_asked(stopping: Stopping) -> None:
    if stopping.is_set():
        raise RunnerStops


def _store_chunk(job: ScoringJob, settings: ScoringSettings, result: _Result, rows: list[Row]) -> None:
    # Rows without a name are those of people who were erased since.
    rows = [row for row in rows if row["customer"]]
    names = [row["customer"] for row in rows]
    decided = decisions.decide(settings, names)
    origin = Origin(job.uid, job.scorer, job.spec["currency"], job.horizon_weeks, job.as_of, result.rankings)
    scores = [score_rows.values(row, origin, decided[row["customer"]].name) for row in rows]
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
        newer = score_rows.newer(map(uid_of, set(names) - refused), job.as_of)
        _leave_to_online(newer, job)
        score_rows.put([score for score in scores if score["customer"] not in refused | newer.keys()], origin)
        memberships.remove(list(map(uid_of, refused)), Cause.CAUSE_SCORES_REMOVED)
        return len(names) - len(refused)

    job.scored += docstore.in_transaction(once)
    job.stored += 1
    note(job)


def _merged(names: list[str]) -> set[str]:
    """Those that were merged into another customer meanwhile; the next job scores them together."""
    return {name for name, canonical in aliases.resolve(names).items() if canonical != name}


def _remove_earlier(job: ScoringJob) -> int:
    """Takes away the scores of some of the customers whom this job did not score; returns of how many.

    Who bought first after the job had begun keeps theirs, and is scored anew by what the job found.
    """

    def once() -> int:
        of_others = {"job": {"$gt": "", "$ne": job.uid}}
        earlier = [row["uid"] for row in Score.rows().find(of_others, {"uid": 1}, limit=CHUNK)]
        newer = score_rows.newer(earlier, job.as_of)
        _leave_to_online(newer, job)
        memberships.remove(
            [uid for uid in earlier if uid not in {row["uid"] for row in newer.values()}], Cause.CAUSE_SCORES_REMOVED
        )
        return len(earlier)

    return docstore.in_transaction(once)


def _leave_to_online(newer: Mapping[str, Row], job: ScoringJob) -> None:
    """Scores that know purchases the job does not stay until role `run` makes them anew by the job's models."""
    if newer:
        Score.rows().update_many({"uid": {"$in": [row["uid"] for row in newer.values()]}}, {"$set": {"job": job.uid}})
        histories.ask(newer, clock.now())
