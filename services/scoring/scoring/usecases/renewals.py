"""The steps of a job that tells renewals of contracts: what its program is told, and what comes of its result."""

from collections.abc import Mapping

from chassis.lifecycle import Stopping
from docstore import Row
from docstore.blobs import BlobStore
from scoring.decisions import Decision
from scoring.domain.subscriptions import STARTED
from scoring.settings import ScoringSettings
from scoring.store import Score, ScoringJob
from scoring.store.features import SUBSCRIPTIONS
from scoring.store.jobs import COMPUTING
from scoring.usecases import evaluating, event_programs, models, preparing, renewal_rows, results
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

    def put(rows: list[Row], decided: Mapping[str, Decision]) -> None:
        found = [renewal_rows.values(row, job, decided[row["customer"]].name, fallback=fallback) for row in rows]
        renewal_rows.put(found, job)

    results.store(job, settings, result, stopping, put)
    results.remove_earlier(job, stopping, Score, "renewal.job", renewal_rows.remove)
    # Segments that were created or changed while chunks were being stored.
    evaluating.evaluate_all()
    besides = f" Besides: {made.message}." if made.message else ""
    if not told["customers"]:
        return f"Nobody has a subscription that runs and of which enough is known.{besides}"
    if not fallback:
        return f"{job.scored} customers are told by {job.model} whether they renew.{besides}"
    return f"{job.scored} customers are told one rate for all: {'; '.join(made.failed)}.{besides}"
