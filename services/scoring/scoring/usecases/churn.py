"""The steps of a job that trains a model of churn and scores customers: what its program is told, and its result."""

from collections.abc import Mapping, Sequence
from functools import partial

from chassis import clock, money
from chassis.lifecycle import Stopping
from docstore import Row
from docstore.blobs import BlobStore
from scoring.decisions import Decision
from scoring.domain import churn_rules
from scoring.settings import ScoringSettings
from scoring.store import Model, RiskScorer, Score, ScoringJob, histories
from scoring.store.jobs import COMPUTING
from scoring.usecases import (
    evaluating,
    preparing,
    propensity_models,
    results,
    risk_rows,
    score_parts,
    score_rows,
)
from scoring.usecases.leased_jobs import note
from scoring.usecases.risk_rows import RISK, RiskOrigin
from scoring.usecases.score_parts import CHURN
from scoring.usecases.score_rows import uid_of


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
        "task": preparing.program_task(job),
        "horizon_weeks": job.horizon_weeks,
        "digits": money.digits(given["currency"]) or 0,
        "rates": settings.day_rates_url,
        "partitions": settings.job_partitions,
        "ray_from_purchases": settings.ray_from_purchases,
        "models": propensity_models.known(settings, job, usable),
    }
    note(job, phase=COMPUTING, spec=spec, percent=preparing.PREPARED_PERCENT, message="Starts the computation.")


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Makes the risks of the tenant's customers those of the job's result; returns what came of it.

    Of a task that scores nobody it notes what was found; without a model that scores they stay as they are. Raises
    Unavailable when consent does not answer or the process stops, Conflict when somebody else holds the job, JobFailed
    when somebody changed the champion meanwhile.
    """
    result, came = propensity_models.taken_in(
        job,
        blobs,
        RISK,
        later="risks are told by it from the next job on",
        without="nobody has a risk of leaving by it",
    )
    if result is None:
        return came
    scorer = {"horizon_weeks": job.horizon_weeks, "ranking": result.rankings[RISK].steps}
    results.keep_scorer(job, RiskScorer, scorer)
    origin = RiskOrigin(job.uid, job.scorer, job.horizon_weeks, job.as_of, result.rankings[RISK])

    def put(rows: list[Row], decided: Mapping[str, Decision]) -> None:
        uids = [uid_of(row["customer"]) for row in rows]
        newer = risk_rows.newer(uids, job.as_of)
        # Who has other scores of after the job's instant has bought since.
        _leave_to_online(newer, score_rows.newer(uids, job.as_of), job)
        risks = [risk_rows.values(row, origin, decided[row["customer"]].name) for row in rows]
        risk_rows.put([risk for risk in risks if risk["customer"] not in newer], origin)

    results.store(job, settings, result, stopping, put)
    results.remove_earlier(job, stopping, Score, f"{CHURN}.job", partial(remove_unless_newer, job))
    # Segments that were created or changed while chunks were being stored.
    evaluating.evaluate_all()
    return f"{job.scored} customers have new risks of leaving by {job.model}. {came}".rstrip()


def _leave_to_online(newer: Mapping[str, Row], bought: Mapping[str, Row], job: ScoringJob) -> None:
    """Risks that know purchases the job does not stay until role `run` makes them anew by the job's model.

    bought: others who have bought since.
    """
    if newer:
        uids = [row["uid"] for row in newer.values()]
        Score.rows().update_many({"uid": {"$in": uids}}, {"$set": {"churn.job": job.uid}})
    if newer or bought:
        histories.ask(newer.keys() | bought.keys(), clock.now())


def remove_unless_newer(job: ScoringJob, rows: Sequence[Row]) -> None:
    """Takes away the risks of these customers, whom this job did not score: see `results.remove_earlier`.

    They bought nothing for a year, or consent refuses. Who bought first after the job's instant keeps theirs, and is
    scored anew by what the job found.
    """
    newer = risk_rows.newer([row["uid"] for row in rows], job.as_of)
    _leave_to_online(newer, {}, job)
    score_parts.remove(CHURN, (row for row in rows if row["customer"] not in newer))
