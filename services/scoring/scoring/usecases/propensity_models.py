"""Models of propensity as jobs are told of them, and what people are told of one that a job made."""

from collections.abc import Callable, Mapping
from typing import Any

from scoring.domain import gates
from scoring.settings import ScoringSettings
from scoring.store import Model, ScoringJob
from scoring.usecases.preparing import known_model


def known(
    settings: ScoringSettings, kind: str, usable: Callable[[Model], bool] = lambda _: True
) -> dict[str, dict[str, Any]]:
    """The models a job measures, by role: fields of `jobs.spec.PropensitySpec`. None without a champion of use."""
    champion = Model.in_state(gates.CHAMPION, kind)
    if champion is None or not usable(champion):
        return {}
    found = {"champion": champion}
    before = Model.get_many([champion.previous]).get(champion.previous) if champion.previous else None
    if before is not None and usable(before):
        found["previous"] = before
    return {role: known_model(settings, role, model) for role, model in found.items()}


def why_not_champion(
    job: ScoringJob, made: Model, description: Mapping[str, Any], without: str, *, usable: bool = True
) -> str:
    """What came of a model that did not become champion. without: what holds while none, or none `usable`, is."""
    stands = "the champion goes on" if usable and job.scorer != made.uid else without
    if description["judgement"]["rollback"]["falls"]:
        stands = f"{job.model} comes back: {description['judgement']['rollback']['message']}"
    failed = [gate["message"] for gate in made.gates if not gate["passed"]]
    return f"The model did not become champion, {stands}: {'; '.join(failed) or 'another one took its place'}."
