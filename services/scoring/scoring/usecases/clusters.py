"""The steps of a job that makes clusters: what its program is told, and what comes of its result."""

from functools import partial

from chassis import money
from chassis.lifecycle import Stopping
from docstore.blobs import BlobStore
from scoring.domain import gates
from scoring.domain.cluster_gates import FEATURES
from scoring.domain.conditions import CLUSTER
from scoring.settings import ScoringSettings
from scoring.store import Model, ScoringJob
from scoring.store.jobs import COMPUTING
from scoring.store.models import CLUSTERS
from scoring.usecases import cluster_rows, feature_tables, models, preparing, score_parts
from scoring.usecases.leased_jobs import note
from scoring.usecases.results import Result


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    Raises JobFailed without purchases, Unavailable while files or decisions cannot be had.
    """
    given, consenting = feature_tables.told_of(job, settings, blobs)
    spec = {
        **given,
        "as_of": job.as_of.isoformat(),
        "digits": money.digits(given["currency"]) or 0,
        "consenting": consenting,
        "models": [preparing.known_model(settings, "earlier", model) for model in _previous()],
    }
    note(job, phase=COMPUTING, spec=spec, percent=preparing.PREPARED_PERCENT, message="Starts the computation.")


def _previous() -> list[Model]:
    """The last model that had clusters, whose names go on; what stood in between does not count."""
    asked = {"state": {"$in": [gates.CHAMPION, gates.RETIRED]}, "kind": CLUSTERS, "fallback": False}
    return [
        model
        for model in Model.find(asked, sort=[("number", -1)], limit=1)
        if model.artefact_sha256 and dict(model.features) == FEATURES
    ]


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Makes the clusters of the tenant's customers those of the job's result; returns what came of it.

    Raises Unavailable when consent does not answer or the process stops, Conflict when somebody else holds the job,
    JobFailed when somebody changed the champion meanwhile.
    """
    told, made, fallback = models.register_anew(job, blobs)
    result = Result.unranked(blobs, job.result_subject, "scores-", told["customers"])
    values = partial(cluster_rows.values, job, fallback=fallback)
    score_parts.store(job, settings, result, stopping, CLUSTER, values)
    besides = f" Besides: {made.message}." if made.message else ""
    if not fallback:
        count = made.parameters["clusters"]["clusters"]
        return f"{job.scored} customers are in {count} clusters by {job.model}.{besides}"
    return (
        f"{job.scored} customers are in the groups of recency, frequency and monetary value, as they form no clusters: "
        f"{'; '.join(made.failed)}.{besides}"
    )
