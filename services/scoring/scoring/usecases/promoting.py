"""Models are made champion and taken back by hand."""

from collections.abc import Iterable

import docstore
from chassis import context
from chassis.errors import FailedPrecondition
from chassis.inputs import refusal
from scoring.domain import gates, offer_gates
from scoring.store import Model, ScoringJob
from scoring.store.jobs import ACTIVE
from scoring.store.models import MADE_ANEW, NEXT_OFFER
from scoring.usecases.champions import score_anew, sentence, settle, take_back, tell_promoted

_REASON_MOST = 500


@docstore.command(None)
def promote(uid: str, etag: str, reason: str) -> Model:
    """Makes a model champion by hand. Raises NotFound, Aborted, InvalidArgument, FailedPrecondition."""
    _check_reason(reason)
    model: Model = Model.get(uid)
    model.check_etag(etag or None)
    if model.state == gates.CHAMPION:
        return model
    if model.state == gates.REJECTED:
        failed = [gate for gate in model.gates if not gate["passed"]]
        raise _refused(
            "GATES_NOT_PASSED",
            f"{model.name} did not pass {', '.join(gate['name'] for gate in failed)}; only one that did may score.",
            model,
            [(gate["name"].upper(), gate["message"]) for gate in failed],
        )
    _check_kind(model)
    _check_kept(model)
    _check_no_job(model)
    champion = Model.in_state(gates.CHAMPION, model.kind)
    if champion is not None:
        model.previous = champion.uid
        settle(champion, gates.RETIRED, f"{model.name} was promoted by hand.")
        champion.save()
    settle(model, gates.CHAMPION, _by_hand("Promoted", reason))
    tell_promoted(model, principal=context.current().principal)
    score_anew(model.kind)
    return model.save()


@docstore.command(None)
def roll_back(uid: str, etag: str, reason: str) -> Model:
    """Takes the champion back by hand; returns the champion of now. Raises as `promote` does."""
    _check_reason(reason)
    model: Model = Model.get(uid)
    model.check_etag(etag or None)
    if model.state != gates.CHAMPION:
        raise _refused("MODEL_NOT_CHAMPION", f"{model.name} is {model.state}; only a champion is taken back.", model)
    _check_kind(model)
    before = Model.get_many([model.previous]).get(model.previous) if model.previous else None
    if before is None:
        raise _refused("NO_PREVIOUS_MODEL", f"No model that could come back was champion before {model.name}.", model)
    _check_kept(before)
    _check_no_job(model)
    message = _by_hand("Taken back", reason)
    take_back(model, before, message, principal=context.current().principal)
    model.save()
    score_anew(model.kind)
    return before.save()


def _check_kind(model: Model) -> None:
    if model.kind in MADE_ANEW:
        why = f"Each job of KIND_{model.kind} tells by the model it makes itself; start another one."
        raise _refused("MODEL_MADE_ANEW", why, model)


def _check_kept(model: Model) -> None:
    """Of models of offers that were not kept whole settings were stored: the features they name tell them apart."""
    settings_only = model.kind == NEXT_OFFER and dict(model.features) != offer_gates.FEATURES
    if settings_only or not model.artefact_sha256:
        why = f"{model.name} is not kept whole: it is of before models were, or ended too long ago; start a job."
        raise _refused("MODEL_NOT_KEPT", why, model)


def _check_reason(reason: str) -> None:
    if len(reason) > _REASON_MOST:
        raise refusal("INVALID_REASON", "reason", f"has more than {_REASON_MOST} characters; say it shorter")


def _check_no_job(model: Model) -> None:
    active = ScoringJob.find({**ACTIVE, "kind": model.kind}, limit=1)
    if active:
        name = active[0].name
        raise _refused(
            "SCORING_JOB_RUNNING",
            f"{name} is at work with the present champion; wait for it or cancel it.",
            model,
            [("SCORING_JOB_RUNNING", f"{name} has ended.")],
        )


def _refused(
    reason: str, message: str, model: Model, preconditions: Iterable[tuple[str, str]] = ()
) -> FailedPrecondition:
    return FailedPrecondition(
        reason,
        message,
        metadata={"resource": model.name},
        preconditions=[(kind, model.name, text) for kind, text in preconditions],
    )


def _by_hand(what: str, reason: str) -> str:
    return sentence(f"{what} by hand: {reason.strip()}" if reason.strip() else f"{what} by hand")
