"""Models of propensity as jobs are told of them, and what people are told of one that a job made."""

from collections.abc import Callable, Mapping
from typing import Any

from scoring.settings import ScoringSettings
from scoring.store import Model, ScoringJob
from scoring.usecases import models, released
from scoring.usecases.preparing import known_model


def known(settings: ScoringSettings, job: ScoringJob, usable: Callable[[Model], bool]) -> list[dict[str, str]]:
    """The models a job works with, for `jobs.spec.PropensitySpec.models`.

    Raises FailedPrecondition NO_RELEASED_MODEL where the task takes one and there is none of use.
    """
    why = "features are declared otherwise since it was made"
    found = released.told(job, models.known_of(job.kind, job.as_of, usable), why)
    return [known_model(settings, role, model) for role, model in found]


def why_not_champion(
    job: ScoringJob, made: Model, description: Mapping[str, Any], without: str, *, usable: bool = True
) -> str:
    """What came of a model that did not become champion. without: what holds while none, or none `usable`, is."""
    stands = "the champion goes on" if usable and job.scorer != made.uid else without
    if description["judgement"]["rollback"]["falls"]:
        stands = f"{job.model} comes back: {description['judgement']['rollback']['message']}"
    return f"The model did not become champion, {stands}: {'; '.join(made.failed) or 'another one took its place'}."
