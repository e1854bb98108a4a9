"""The steps of a job that trains a model of churn and scores customers: what its program is told, and its result."""

import json
from collections.abc import Mapping, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock, money
from chassis.lifecycle import Stopping
from docstore import Row
from docstore.blobs import BlobStore
from scoring import snapshots
from scoring.decisions import Decision
from scoring.domain import churn_rules, gates
from scoring.domain.percentiles import Ranking
from scoring.settings import ScoringSettings
from scoring.store import Model, Score, ScoringJob
from scoring.store.jobs import COMPUTING
from scoring.store.models import CHURN
from scoring.store.scores import tell
from scoring.usecases import evaluating, memberships, models, preparing, propensity_models, results
from scoring.usecases.leased_jobs import note, prove
from scoring.usecases.memberships import Cause
from scoring.usecases.results import CHUNK, Result

PROGRAM = "scoring.jobs.churn"
_RISK = "churn_risk"


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    A champion of another horizon or of other features is of no use to it. Raises JobFailed without purchases,
    Unavailable while files or decisions cannot be had.
    """
    given = preparing.purchases(job, settings, blobs)

    def usable(model: Model) -> bool:
        horizon = model.parameters["churn"]["horizon_days"]
        return bool(horizon == 7 * job.horizon_weeks and dict(model.features) == churn_rules.VERSIONS)

    spec = {
        **given,
        "horizon_weeks": job.horizon_weeks,
        "digits": money.digits(given["currency"]) or 0,
        "rates": settings.day_rates_url,
        "models": propensity_models.known(settings, CHURN, usable),
    }
    note(job, phase=COMPUTING, spec=spec, percent=preparing.PREPARED_PERCENT, message="Trains.")


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Makes the risks of the tenant's customers those of the job's result; returns what came of it.

    Without a model that scores they stay as they are. Raises Unavailable when consent does not answer or the process
    stops, Conflict when somebody else holds the job, JobFailed when somebody changed the champion meanwhile.
    """
    description = json.loads(blobs.get(job.result_subject, "model.json"))
    models.register(job, description, blobs)
    made: Model = Model.get(job.uid)
    result = Result.read(blobs, job.result_subject, [_RISK])
    scored = bool(result.files)
    without = "nobody has a risk of leaving by it"
    why = ""
    if made.state != gates.CHAMPION:
        why = propensity_models.why_not_champion(job, made, description, without, usable=scored)
    if not scored:
        return why

    def put(rows: list[Row], decided: Mapping[str, Decision]) -> None:
        _put([_values(job, row, result.rankings[_RISK], decided[row["customer"]]) for row in rows], job)

    results.store(job, settings, result, stopping, put)
    while _remove_earlier(job):
        results.stop_if_asked(stopping)
    # Segments that were created or changed while chunks were being stored.
    evaluating.evaluate_all()
    return f"{job.scored} customers have new risks of leaving by {job.model}. {why}".rstrip()


def _values(job: ScoringJob, row: Row, ranking: Ranking, decision: Decision) -> Row:
    return {
        "customer": row["customer"],
        "churn": {
            "probability": row[_RISK],
            "low": row["churn_risk_low"],
            "high": row["churn_risk_high"],
            "percentile": ranking.percentile(row[_RISK]),
            "reasons": list(row["reasons"]),
            "horizon_weeks": job.horizon_weeks,
            "as_of": job.as_of,
            "job": job.uid,
            "model": job.scorer,
            "decision": decision.name,
            "score_time": docstore.whole_milliseconds(clock.now()),
        },
    }


def _put(scores: Sequence[Row], job: ScoringJob) -> None:
    """Puts new risks in the place of the old ones, moves the memberships, and tells; part of a transaction."""
    if not scores:
        return
    Score.rows().bulk_write(
        UpdateOne({"uid": _uid(score["customer"])}, {"$set": score}, upsert=True) for score in scores
    )
    names = [score["customer"] for score in scores]
    memberships.settle(list(map(_uid, names)))
    told = events_pb2.ScoresUpdated(
        scoring_job=job.name, as_of=_stamp(job), churn_risks=map(snapshots.churn_risk, scores)
    )
    tell([(told, names)])


def _remove_earlier(job: ScoringJob) -> int:
    """Takes away the risks of some of the customers whom this job did not score; returns of how many.

    They bought nothing for a year, or consent refuses. Their other scores are for other jobs to renew or remove.
    """

    def once() -> int:
        prove(job)
        asked = {"churn.job": {"$gt": "", "$ne": job.uid}}
        rows = list(Score.rows().find(asked, {"uid": 1, "customer": 1, "job": 1}, limit=CHUNK))
        kept = [row["uid"] for row in rows if row.get("job")]
        if kept:
            Score.rows().update_many({"uid": {"$in": kept}}, {"$unset": {"churn": ""}})
            memberships.settle(kept)
            names = [row["customer"] for row in rows if row.get("job")]
            tell([(events_pb2.ScoresUpdated(removed_churn_customers=names), names)])
        memberships.remove([row["uid"] for row in rows if not row.get("job")], Cause.CAUSE_SCORES_REMOVED)
        return len(rows)

    return docstore.in_transaction(once)


def _stamp(job: ScoringJob) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(job.as_of)
    return stamp


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
