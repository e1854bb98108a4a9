"""Stores what a job program made: chunk by chunk, each in one transaction with its memberships, its events and the
count of chunks stored. A crash between two chunks is gone on from there; inside one it never happened.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import docstore
from chassis import clock
from chassis.errors import Unavailable
from chassis.lifecycle import Stopping
from docstore import Row, aliases
from docstore.blobs import BlobStore
from docstore.records import Record
from eventing import tombstones
from scoring import decisions, parquet
from scoring.decisions import Decision
from scoring.domain.percentiles import Ranking
from scoring.settings import ScoringSettings
from scoring.store import ScoringJob
from scoring.store.histories import CURRENT, LeftToScoreWith
from scoring.store.objections import objecting
from scoring.usecases import memberships, preparing
from scoring.usecases.leased_jobs import RunnerStops, note, prove
from scoring.usecases.memberships import Cause

SUCCESS = "_SUCCESS"
CHUNK = decisions.BATCH
_STORED_PERCENT = (80, 99)


@dataclass(frozen=True)
class Result:
    """The job program's scores, in files."""

    blobs: BlobStore
    subject: str
    files: list[str]
    rankings: Mapping[str, Ranking]
    """Of the columns that have percentiles."""
    count: int

    @classmethod
    def read(cls, blobs: BlobStore, subject: str, ranked: Sequence[str]) -> "Result":
        """Opens the result of a run."""
        files = sorted(name for name in blobs.list(subject) if name.startswith("scores-"))
        columns: dict[str, list[float]] = {name: [] for name in ranked}
        for file in files:
            with blobs.open(subject, file) as opened:
                for name, found in parquet.values(opened, ranked).items():
                    # Rows of people who were erased since hold nulls.
                    columns[name] += [value for value in found if value is not None]
        rankings = {name: Ranking.of(values) for name, values in columns.items()}
        return cls(blobs, subject, files, rankings, len(columns[ranked[0]]))

    @classmethod
    def unranked(cls, blobs: BlobStore, subject: str, files: str, count: int) -> "Result":
        """Opens the result of a run whose rows have no percentiles. files: what their names begin with."""
        found = sorted(name for name in blobs.list(subject) if name.startswith(files))
        return cls(blobs, subject, found, {}, count)

    def chunks(self) -> Iterator[list[Row]]:
        """The rows in an order that is the same every time."""
        for file in self.files:
            with self.blobs.open(self.subject, file) as opened:
                yield from parquet.chunks(opened, CHUNK)


def place(blobs: BlobStore, subject: str) -> str:
    """Where a job's program computed, to be said after what came of it; nothing where none did, or did not tell."""
    told = json.loads(blobs.get(subject, SUCCESS)).get("place") if SUCCESS in blobs.list(subject) else None
    return f" Computed {told}." if told else ""


Put = Callable[[list[Row], Mapping[str, Decision]], None]
"""Stores the rows of those who may be scored, in the transaction of their chunk."""


def store(job: ScoringJob, settings: ScoringSettings, result: Result, stopping: Stopping, put: Put) -> None:
    """Stores the chunks that are not stored yet.

    Raises Unavailable when consent does not answer or the process stops, Conflict when somebody else holds the job.
    """
    for index, rows in enumerate(result.chunks()):
        if index >= job.stored:
            _stop_if_asked(stopping)
            _store_chunk(job, settings, result.count, rows, put)


def keep_scorer(job: ScoringJob, told: type[LeftToScoreWith], scorer: Row) -> None:
    """From now on what is asked between two jobs is told by what this one scored with. scorer: what its kind adds."""
    left = {"job": job.uid, "model": job.scorer, "currency": job.spec["currency"], **scorer}

    def once() -> None:
        prove(job)
        told.rows().update_one({"uid": CURRENT}, {"$set": left}, upsert=True)

    docstore.in_transaction(once)


def remove_earlier(
    job: ScoringJob, stopping: Stopping, told: type[Record], by: str, remove: Callable[[list[Row]], None]
) -> None:
    """Takes away what earlier jobs told of customers of whom this one told nothing.

    told: what is made anew by each job; by: its field that holds the uid of the job. remove: takes rows (uid, customer)
    away, or writes this job into those it leaves, in the transaction of their chunk.

    Raises RunnerStops when the process stops, Conflict when somebody else holds the job.
    """

    def once() -> int:
        # Else a runner that stood still would take away what a later job has stored since.
        prove(job)
        of_others = {by: {"$gt": "", "$ne": job.uid}}
        rows = list(told.rows().find(of_others, {"uid": 1, "customer": 1}, limit=CHUNK))
        remove(rows)
        return len(rows)

    while docstore.in_transaction(once):
        _stop_if_asked(stopping)


def remove_refused(
    job: ScoringJob, blobs: BlobStore, stopping: Stopping, remove: Callable[[list[str]], object]
) -> None:
    """Takes away what earlier jobs told of the customers whom consent refused to one that tells nobody anything new.

    remove: does it of customers (resource names), in a transaction of a chunk. Raises as `remove_earlier` does.
    """
    names = sorted(preparing.refused_by(job, blobs) or ())
    for start in range(0, len(names), CHUNK):

        def once(chunk: list[str] = names[start : start + CHUNK]) -> None:
            prove(job)
            remove(chunk)

        _stop_if_asked(stopping)
        docstore.in_transaction(once)


def remove_scores(customers: list[str]) -> None:
    """Takes all scores of these customers (resource names) away, whom consent refuses; part of a transaction."""
    memberships.remove([name.rpartition("/")[2] for name in customers], Cause.CAUSE_SCORES_REMOVED)


def _stop_if_asked(stopping: Stopping) -> None:
    if stopping.is_set():
        raise RunnerStops


def _store_chunk(job: ScoringJob, settings: ScoringSettings, count: int, rows: list[Row], put: Put) -> None:
    # Rows without a name are those of people who were erased since, and tell nothing.
    rows = [row for row in rows if row["customer"]]
    names = [row["customer"] for row in rows]
    decided = decisions.decide(settings, names)
    done = job.scored + len(rows)
    low, high = _STORED_PERCENT
    percent = low + (high - low) * done // max(1, count)

    def once() -> int:
        if any(clock.real_now() >= decision.good_until for decision in decided.values()):
            raise Unavailable("DECISIONS_TOO_OLD", "Decisions of consent are too old to act on; asked again.")
        refused = {name for name in names if not decided[name].allowed} | objecting(names) | _merged(names)
        refused |= tombstones.erased(names)
        counts = {"percent": percent, "scored": job.scored + len(names) - len(refused)}
        prove(job, {"$set": counts, "$inc": {"stored": 1}}, stored=job.stored)
        put([row for row in rows if row["customer"] not in refused], decided)
        remove_scores(list(refused))
        return len(names) - len(refused)

    job.scored += docstore.in_transaction(once)
    job.stored += 1
    note(job)


def _merged(names: list[str]) -> set[str]:
    """Those that were merged into another customer meanwhile; the next job scores them together."""
    return {name for name, canonical in aliases.resolve(names).items() if canonical != name}
