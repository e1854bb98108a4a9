"""Models of propensity as jobs are told of them, and what people are told of one that a job made."""

from collections.abc import Callable, Mapping
from typing import Any

from scoring.settings import ScoringSettings
from scoring.store import Model, ScoringJob
from scoring.usecases import models
from scoring.usecases.preparing import known_model


def known(settings: ScoringSettings, kind: str, usable: Callable[[Model], bool]) -> list[dict[str, str]]:
    """The models a job measures, for `jobs.spec.PropensitySpec.models`."""
    return [known_model(settings, role, model) for role, model in models.known_of(kind, usable)]


def why_not_champion(
    job: ScoringJob, made: Model, description: Mapping[str, Any], without: str, *, usable: bool = True
) -> str:
    """What came of a model that did not become champion. without: what holds while none, or none `usable`, is."""
    stands = "the champion goes on" if usable and job.scorer != made.uid else without
    if description["judgement"]["rollback"]["falls"]:
        stands = f"{job.model} comes back: {description['judgement']['rollback']['message']}"
    failed = [gate["message"] for gate in made.gates if not gate["passed"]]
    return f"The model did not become champion, {stands}: {'; '.join(failed) or 'another one took its place'}."
