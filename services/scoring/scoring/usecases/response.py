"""The steps of a job that trains a model of responses and scores customers: what its program is told, its result."""

from chassis import money
from chassis.lifecycle import Stopping
from docstore import Row
from docstore.blobs import BlobStore
from scoring.domain import response_rules
from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.settings import ScoringSettings
from scoring.store import Model, ResponseScorer, ScoringJob
from scoring.store.jobs import COMPUTING
from scoring.store.scores import RESPONSE
from scoring.usecases import (
    feature_tables,
    preparing,
    propensity_models,
    response_rows,
    results,
    score_parts,
)
from scoring.usecases.leased_jobs import note


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    A champion of other features is of no use to it. Raises Unavailable while files or decisions cannot be had.
    """
    given, consenting = feature_tables.told_of(job, settings, blobs, purchases_needed=False)

    def usable(model: Model) -> bool:
        return dict(model.features) == response_rules.VERSIONS

    spec = {
        **given,
        "task": preparing.program_task(job),
        "as_of": job.as_of.isoformat(),
        "digits": money.digits(given["currency"]) or 0,
        "consenting": consenting,
        "models": propensity_models.known(settings, job, usable),
    }
    note(job, phase=COMPUTING, spec=spec, percent=preparing.PREPARED_PERCENT, message="Starts the computation.")


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Makes the probabilities of the tenant's customers those of the job's result; returns what came of it.

    Of a task that scores nobody it notes what was found; without a model that scores they stay as they are. Raises
    Unavailable when consent does not answer or the process stops, Conflict when somebody else holds the job, JobFailed
    when somebody changed the champion meanwhile.
    """
    result, came = propensity_models.taken_in(
        job,
        blobs,
        RESPONSE_PROBABILITY,
        later="responses are told by it from the next job on",
        without="nobody has a probability of a response by it",
    )
    if result is None:
        return came
    ranking = result.rankings[RESPONSE_PROBABILITY]
    results.keep_scorer(job, ResponseScorer, {"ranking": ranking.steps})

    def values(row: Row, decision: str) -> Row:
        return response_rows.values(row, ranking, score_parts.made_by(job, decision))

    score_parts.store(job, settings, result, stopping, RESPONSE, values)
    return f"{job.scored} customers have new probabilities of a response by {job.model}. {came}".rstrip()
