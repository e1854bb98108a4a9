"""How one model takes the place of another, by a job or by hand."""

from rapport.scoring.v1 import events_pb2

from chassis import clock
from scoring.domain import gates
from scoring.store import Model, leads
from scoring.store.models import LEAD_CONVERSION


def take_back(model: Model, before: Model, why: str, *, job: str = "", principal: str = "") -> None:
    """The champion goes, the one before it comes; nothing is stored yet."""
    settle(model, gates.ROLLED_BACK, sentence(why))
    model.emit(
        events_pb2.ModelRolledBack(
            model=model.name, restored_model=before.name, scoring_job=job, reasons=[sentence(why)], principal=principal
        )
    )
    settle(before, gates.CHAMPION, f"Champion again: {model.name} was taken back.")


def tell_promoted(model: Model, *, job: str = "", principal: str = "") -> None:
    """Has the next write of a new champion tell of it; `previous` is set."""
    model.emit(
        events_pb2.ModelPromoted(
            model=model.name,
            version=model.number,
            scoring_job=job,
            fallback=bool(model.fallback),
            previous_model=f"{Model.resource}/{model.previous}" if model.previous else "",
            principal=principal,
        )
    )


def settle(model: Model, state: str, message: str) -> None:
    """Gives a model another state, and says why; nothing is stored yet."""
    if model.state == gates.CHAMPION:
        model.was_champion = True
    model.state = state
    model.state_message = message
    model.state_time = clock.now()


def score_anew(kind: str) -> None:
    """Leads are scored while they are open, not by jobs: they follow the champion at once."""
    if kind == LEAD_CONVERSION:
        leads.score_all_anew()


def sentence(text: str) -> str:
    """The text with a capital and one full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
