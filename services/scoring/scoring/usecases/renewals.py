"""The steps of a job that tells renewals of contracts: what its program is told, and what comes of its result."""

from functools import partial

from chassis.lifecycle import Stopping
from docstore.blobs import BlobStore
from scoring.domain.subscriptions import STARTED
from scoring.settings import ScoringSettings
from scoring.store import ScoringJob
from scoring.store.features import SUBSCRIPTIONS
from scoring.store.jobs import COMPUTING
from scoring.store.scores import RENEWAL
from scoring.usecases import event_programs, models, preparing, renewal_rows, score_parts
from scoring.usecases.leased_jobs import note
from scoring.usecases.results import Result


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    Raises JobFailed where nothing of subscriptions is known, Unavailable while files or decisions cannot be had.
    """
    asks = "Asks consent whose contracts may be learned from."
    nothing = f"No subscriptions are known: send `{STARTED}` events first."
    spec = event_programs.told_of(job, settings, blobs, asks, (SUBSCRIPTIONS,), nothing)
    note(job, phase=COMPUTING, spec=spec, percent=preparing.PREPARED_PERCENT, message="Starts the computation.")


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Makes the renewals of the tenant's customers those of the job's result; returns what came of it.

    Raises Unavailable when consent does not answer or the process stops, Conflict when somebody else holds the job,
    JobFailed when somebody changed the champion meanwhile.
    """
    told, made, fallback = models.register_anew(job, blobs)
    result = Result.unranked(blobs, job.result_subject, "scores-", told["customers"])
    values = partial(renewal_rows.values, job, fallback=fallback)
    score_parts.store(job, settings, result, stopping, RENEWAL, values)
    besides = f" Besides: {made.message}." if made.message else ""
    if not told["customers"]:
        return f"Nobody has a subscription that runs and of which enough is known.{besides}"
    if not fallback:
        return f"{job.scored} customers are told by {job.model} whether they renew.{besides}"
    return f"{job.scored} customers are told one rate for all: {'; '.join(made.failed)}.{besides}"
