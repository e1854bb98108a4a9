"""Models of propensity as jobs are told of them, and what people are told of one that a job made."""

from collections.abc import Callable, Mapping
from typing import Any

from docstore.blobs import BlobStore
from scoring.domain import gates
from scoring.settings import ScoringSettings
from scoring.store import Model, ScoringJob
from scoring.store.jobs import EVALUATE, SCORE, TRAIN
from scoring.usecases import models, released
from scoring.usecases.preparing import known_model
from scoring.usecases.results import Result


def known(settings: ScoringSettings, job: ScoringJob, usable: Callable[[Model], bool]) -> list[dict[str, str]]:
    """The models a job works with, for `jobs.spec.PropensitySpec.models`.

    Raises FailedPrecondition NO_RELEASED_MODEL where the task takes one and there is none of use.
    """
    why = "features are declared otherwise since it was made"
    found = released.told(job, models.known_of(job.kind, job.as_of, usable), why)
    return [known_model(settings, role, model) for role, model in found]


def taken_in(
    job: ScoringJob, blobs: BlobStore, probability: str, *, later: str, without: str
) -> tuple[Result | None, str]:
    """Registers what a job's program found, and opens what it told of customers, by the column `probability`; None of a
    task that scores nobody, or where no model scores. Then the text says what came of the job, else what is to be said
    of its model.

    later: what follows of a training that releases a model. without: what holds while no model does. Raises JobFailed
    when somebody changed the champion meanwhile.
    """
    description = models.description_of(job, blobs)
    if job.task == EVALUATE:
        return None, released.evaluated(job, description["judgement"])
    made: Model | None = Model.get(job.scorer) if job.task == SCORE else None
    if made is None:
        models.register(job, description, blobs)
        made = Model.get(job.uid)
    if job.task == TRAIN:
        return None, models.came_of_training(job, later)
    result = Result.read(blobs, job.result_subject, [probability])
    scored = bool(result.files)
    why = ""
    if made.state != gates.CHAMPION:
        why = why_not_champion(job, made, description, without, usable=scored)
    return (result if scored else None), why


def why_not_champion(
    job: ScoringJob, made: Model, description: Mapping[str, Any], without: str, *, usable: bool = True
) -> str:
    """What came of a model that did not become champion. without: what holds while none, or none `usable`, is."""
    stands = "the champion goes on" if usable and job.scorer != made.uid else without
    if description["judgement"]["rollback"]["falls"]:
        stands = f"{job.model} comes back: {description['judgement']['rollback']['message']}"
    return f"The model did not become champion, {stands}: {'; '.join(made.failed) or 'another one took its place'}."
