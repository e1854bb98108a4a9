"""The card of a model, drawn when it is asked for: what became of the model changes, and a card must not be older."""

from collections.abc import Callable
from typing import Any, TypeVar

from google.api.httpbody_pb2 import HttpBody
from rapport.options.v1 import options_pb2

from chassis.inputs import refusal
from scoring.cards import page
from scoring.cards.page import Card, Rival
from scoring.domain import gates
from scoring.store import Model

Shown = TypeVar("Shown")
_TYPES = {page.HTML: ("text/html", "html"), page.MARKDOWN: ("text/markdown", "md")}
_FIELDS = (
    *("number", "kind", "state", "state_message", "message", "as_of", "window_start_time", "window_end_time"),
    *("customers", "purchases", "consenting", "currency", "fingerprint", "artefact_sha256", "fallback"),
    *("parameters", "metrics", "features", "gates", "test", "outcomes", "drifts"),
)


def card(uid: str, format: str) -> HttpBody:
    """The card as a file. Raises NotFound, InvalidArgument for another format than those of `page.FORMATS`."""
    model: Model = Model.get(uid)
    rival = _rival(model)
    shown = Card(model.name, _values(model), Rival(rival.name, rival.state, _values(rival)) if rival else None)
    return drawn(f"model-{model.number}", format, page.html, page.markdown, shown)


def drawn(
    name: str, format: str, html: Callable[[Shown], str], markdown: Callable[[Shown], str], shown: Shown
) -> HttpBody:
    """What is shown as a file of that name, drawn as asked. Raises InvalidArgument INVALID_FORMAT."""
    if format and format not in page.FORMATS:
        raise refusal("INVALID_FORMAT", "format", f"is none of {', '.join(page.FORMATS)}")
    kind, ending = _TYPES[format or page.HTML]
    draw = markdown if format == page.MARKDOWN else html
    body = HttpBody(content_type=kind, data=draw(shown).encode())
    body.extensions.add().Pack(options_pb2.File(filename=f"{name}.{ending}"))
    return body


def _rival(model: Model) -> Model | None:
    """The champion; of the champion itself the challenger, or else the model before it."""
    if model.state != gates.CHAMPION:
        return Model.in_state(gates.CHAMPION, model.kind)
    if challenger := Model.in_state(gates.CHALLENGER, model.kind):
        return challenger
    return Model.get_many([model.previous]).get(model.previous) if model.previous else None


def _values(model: Model) -> dict[str, Any]:
    return {name: getattr(model, name) for name in _FIELDS}
