"""The steps of a job that judges usage: what its program is told, and what comes of its result."""

from functools import partial

from chassis.lifecycle import Stopping
from docstore.blobs import BlobStore
from scoring.domain.conditions import USAGE
from scoring.domain.usage_gates import OF_ORDERS
from scoring.settings import ScoringSettings
from scoring.store import Model, ScoringJob
from scoring.store.features import ACTIVITY, PURCHASES
from scoring.store.jobs import COMPUTING
from scoring.usecases import event_programs, models, preparing, results, score_parts, usage_rows
from scoring.usecases.leased_jobs import note
from scoring.usecases.results import Result


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    Raises JobFailed without events, Unavailable while files or decisions cannot be had.
    """
    # Consent is asked of those who used something: who only bought is none of them, unless purchases are what counts.
    bought = not set(job.usage_events).isdisjoint(OF_ORDERS)
    kinds = (PURCHASES, ACTIVITY) if bought else (ACTIVITY,)
    nothing = "Nothing that customers use is known: send events of it first."
    given = event_programs.told_of(job, settings, blobs, "Asks consent whose usage may be judged.", kinds, nothing)
    spec = {**given, "events": list(job.usage_events)}
    note(job, phase=COMPUTING, spec=spec, percent=preparing.PREPARED_PERCENT, message="Starts the computation.")


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Makes what is told of usage that of the job's result; returns what came of it.

    Where nobody's usage could be judged it stays as it is, but of whom consent refuses. Raises Unavailable when consent
    does not answer or the process stops, Conflict when somebody else holds the job, JobFailed when somebody changed the
    champion meanwhile.
    """
    told, made, fallback = models.register_anew(job, blobs)
    result = Result.unranked(blobs, job.result_subject, "scores-", told["customers"])
    if not result.files:
        results.remove_refused(job, blobs, stopping, results.remove_scores)
        return f"Nobody's usage is judged: {'; '.join(made.failed)}."
    values = partial(usage_rows.values, job, fallback=fallback)
    score_parts.store(job, settings, result, stopping, USAGE, values, partial(usage_rows.put, job))
    counts = Model.get(job.scorer).metrics
    what = (
        f"The usage of {job.scored} customers is told: {counts['drop']:.0f} use far less than usual, "
        f"{counts['surge']:.0f} far more, of {counts['not_judged']:.0f} too little is known"
    )
    besides = f" Besides: {made.message}." if made.message else ""
    if fallback:
        return f"{what}; on cautious thresholds, because {'; '.join(made.failed)}.{besides}"
    return f"{what}; by {job.model}.{besides}"
