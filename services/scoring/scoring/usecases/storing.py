"""Stores the result of a job of lifetime value: see `results`."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from chassis import clock
from chassis.lifecycle import Stopping
from docstore import Row
from docstore.blobs import BlobStore
from scoring.decisions import Decision
from scoring.settings import ScoringSettings
from scoring.store import Score, Scorer, ScoringJob, histories
from scoring.store.jobs import EVALUATE, SCORE, TRAIN
from scoring.store.scores import VALUE
from scoring.usecases import evaluating, memberships, models, preparing, released, results, score_parts, score_rows
from scoring.usecases.leased_jobs import note
from scoring.usecases.memberships import Cause
from scoring.usecases.results import Result
from scoring.usecases.score_rows import RANKED, Origin, uid_of


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str | None:
    """Makes the scores of the tenant those of the job's result, and the memberships follow.

    Of a task that scores nobody it notes what was found; returns that in words.

    Raises Unavailable when consent does not answer or the process stops, Conflict when somebody else holds the job,
    JobFailed when somebody changed the champion meanwhile.
    """
    description = models.description_of(job, blobs)
    if job.task == EVALUATE:
        return released.evaluated(job, description["judgement"])
    if job.task != SCORE:
        models.register(job, description, blobs)
    if job.task == TRAIN:
        return models.came_of_training(job, f"{job.model} scores from the next job on")
    counts = {"converted": description.get("converted", 0), "left_out": description["left_out"].get("no_rate", 0)}
    note(job, conversion={"currency": job.spec["currency"], **counts})
    result = Result.read(blobs, job.result_subject, RANKED)
    _keep_scorer(job, description["judgement"], result)
    origin = Origin(job.uid, job.scorer, job.spec["currency"], job.horizon_weeks, job.as_of, result.rankings)

    def put(rows: list[Row], decided: Mapping[str, Decision]) -> None:
        newer = score_rows.newer([uid_of(row["customer"]) for row in rows], job.as_of)
        _leave_to_online(newer, job)
        scores = [score_rows.values(row, origin, decided[row["customer"]].name) for row in rows]
        score_rows.put([score for score in scores if score["customer"] not in newer], origin)

    results.store(job, settings, result, stopping, put)
    results.remove_earlier(
        job, stopping, Score, "job", partial(remove_unless_newer, job, preparing.refused_by(job, blobs))
    )
    # Segments that were created or changed while chunks were being stored.
    evaluating.evaluate_all()
    return None


def _keep_scorer(job: ScoringJob, told: Mapping[str, Any], result: Result) -> None:
    """From now on customers who buy are scored by what this job scores with."""
    scorer = {
        "choice": told["scored_with"],
        "scales": told["scales"],
        "rankings": {name: ranking.steps for name, ranking in result.rankings.items()},
    }
    results.keep_scorer(job, Scorer, scorer)


def remove_unless_newer(job: ScoringJob, refused: Collection[str] | None, rows: Sequence[Row]) -> None:
    """Takes away the scores of these customers, whom this job did not score: see `results.remove_earlier`.

    Who bought first after the job had begun keeps theirs, and is scored anew by what the job found. What other kinds of
    jobs tell is for these to renew or remove, but not of whom consent refused: they, and where it is not known who that
    is all, lose everything at once.
    """
    newer = score_rows.newer([row["uid"] for row in rows], job.as_of)
    _leave_to_online(newer, job)
    gone = [row for row in rows if row["customer"] not in newer]
    whole = {row["uid"] for row in gone if refused is None or row["customer"] in refused}
    memberships.remove(whole, Cause.CAUSE_SCORES_REMOVED)
    score_parts.remove(VALUE, (row for row in gone if row["uid"] not in whole))


def _leave_to_online(newer: Mapping[str, Row], job: ScoringJob) -> None:
    """Scores that know purchases the job does not stay until role `run` makes them anew by the job's models."""
    if newer:
        Score.rows().update_many({"uid": {"$in": [row["uid"] for row in newer.values()]}}, {"$set": {"job": job.uid}})
        histories.ask(newer, clock.now())
