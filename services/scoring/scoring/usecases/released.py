"""Jobs that work with the models there are: which one is released, and what became of it and of the others."""

from collections.abc import Mapping
from typing import Any

from chassis.errors import FailedPrecondition
from scoring.domain import gates
from scoring.store import Model, ScoringJob
from scoring.store.jobs import EVALUATE, SCORE
from scoring.store.models import CHURN
from scoring.usecases import models
from scoring.usecases.leased_jobs import note

CHAMPION = "champion"
"""Role of the released model (`jobs.spec.KnownModel`)."""


def required(kind: str) -> Model:
    """The released model of a kind. Raises FailedPrecondition NO_RELEASED_MODEL."""
    champion = Model.in_state(gates.CHAMPION, kind)
    if champion is None:
        raise _none(kind, "No model of KIND_{kind} is released yet")
    return champion


def told(job: ScoringJob, known: list[tuple[str, Model]], why: str) -> list[tuple[str, Model]]:
    """Those of the models of use to a job, with their roles, that its program is told of: of TASK_SCORE the released
    one, which is noted as what scores. why: the others are of no use.

    Raises FailedPrecondition NO_RELEASED_MODEL where the task takes one.
    """
    if job.task not in (SCORE, EVALUATE):
        return known
    champion = [pair for pair in known if pair[0] == CHAMPION]
    if not champion:
        raise _none(job.kind, f"The released model of KIND_{{kind}} is of no use now, {why}")
    if job.task == EVALUATE:
        return known
    note(job, scorer=champion[0][1].uid)
    return champion


def horizon_weeks(kind: str) -> int | None:
    """For how many weeks the released model of a kind tells; None where it tells for any. Raises as `required` does."""
    champion = required(kind)
    return champion.parameters["churn"]["horizon_days"] // 7 if kind == CHURN else None


def evaluated(job: ScoringJob, found: Mapping[str, Any]) -> str:
    """Notes what an evaluation found, the `judgement` of its program; returns it in words.

    Raises JobFailed when somebody changed the champion meanwhile.
    """
    models.note_evaluation(job, found)
    name, fell = found["champion"], found["rollback"]
    if fell["falls"]:
        return f"{name} was taken back, {job.model} is released again: {fell['message']}"
    outcome = next((each for each in found["outcomes"] if each["model"] == name), None)
    if outcome is None:
        return f"Too little has happened since {name} was made to hold it against."
    kept = "it breaks its promise" if outcome["degraded"] else "it keeps its promise"
    if outcome["promised"] is None:
        kept = "it promised nothing"
    if outcome["expected"] is None:
        return f"{name} expected nothing, {outcome['actual']} came ({outcome['customers']} looked at): {kept}."
    expected, actual = f"{outcome['expected']:.1f}", outcome["actual"]
    looked = f"{outcome['customers']} looked at, {outcome['weeks']:g} weeks"
    return f"{name} expected {expected}, {actual} came ({looked}): {kept}."


def _none(kind: str, what: str) -> FailedPrecondition:
    advice = "start a job with TASK_TRAIN, or one without a task; its gates say what is missing."
    message = f"{what.format(kind=kind)}: {advice}"
    return FailedPrecondition(
        "NO_RELEASED_MODEL",
        message,
        metadata={"kind": f"KIND_{kind}"},
        preconditions=[("NO_RELEASED_MODEL", f"KIND_{kind}", "A model of that kind has passed its gates.")],
    )
