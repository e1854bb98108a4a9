"""What a request is about, told from its first words by the tenant's own model, where there is one.

numpy and scipy come with the library: a process loads them once it meets a tenant who has a model.
"""

import contextvars
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache, TTLCache

from chassis import tenancy
from chassis.tenant_cache import TenantCache
from docstore.blobs import BlobStore
from ticketing.store import intent_models
from ticketing.store.tickets import IntentSuggestion

if TYPE_CHECKING:
    from textmodel import TextModel

SUBJECT = "intentModel"
"""Of the artefacts in the blob store."""
TEXT_MAX = 4_000
"""Characters of the first words that count."""
KEPT_S = 1.0
"""How long a process goes by a model that another one has replaced."""
BYTES_MOST = 128 << 20
"""That models in memory take, about; those used longest ago go."""
_BYTES_PER_TERM = 250
WAIT_S = 3.0
"""How long a ticket waits for a model to be loaded; longer ones are for those that come later."""
_FAILED_S = 30.0
"""How long after a failure a process does without a model."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Suggested:
    """What the model takes a request for, and whether it is sure."""

    suggestion: IntentSuggestion
    sure: bool


@dataclass(frozen=True)
class _Placed:
    version: int
    artefact: str
    """Empty: there is none."""


@dataclass(frozen=True)
class _Held:
    artefact: str
    model: "TextModel"


def _read() -> _Placed:
    found = intent_models.current()
    return _Placed(found.version, found.artefact or "") if found else _Placed(0, "")


placed = TenantCache(_read, KEPT_S)
"""The current tenant's model in place."""
_held: "LRUCache[str, _Held]" = LRUCache(BYTES_MOST, getsizeof=lambda held: _size(held.model))
"""One by tenant: of a model that has given way nothing stays in memory once there is another ticket."""
_failed: TTLCache[tuple[str, str], bool] = TTLCache(1_000, _FAILED_S)
_loading: "dict[tuple[str, str], Future[TextModel | None]]" = {}
"""Each model is loaded once, however many tickets wait for it."""
_loads = ThreadPoolExecutor(2, thread_name_prefix="intent-models")
_lock = threading.Lock()


def learned_text(subject: str, text: str) -> str:
    """What of a request the model reads."""
    return f"{subject}\n{text[:TEXT_MAX]}"


def suggest(subject: str, text: str, blobs: BlobStore) -> Suggested | None:
    """What the current tenant's model takes a request for; None without a model, or where it cannot be read now."""
    model = placed.get()
    if not model.artefact:
        with _lock:
            _held.pop(tenancy.tenant(), None)
        return None
    if (loaded := _loaded(model.artefact, blobs)) is None:
        return None
    import textmodel

    found = textmodel.suggest(loaded, learned_text(subject, text))
    if found is None:
        return None
    suggestion = IntentSuggestion(
        intent=found.label, probability=found.probability, reasons=list(found.words), model_version=model.version
    )
    return Suggested(suggestion, found.sure)


def _loaded(artefact: str, blobs: BlobStore) -> "TextModel | None":
    key = tenancy.tenant(), artefact
    with _lock:
        held = _held.get(key[0])
        if held is not None and held.artefact == artefact:
            return held.model
        if key in _failed:
            return None
        if (loading := _loading.get(key)) is None:
            within = contextvars.copy_context()
            loading = _loading[key] = _loads.submit(within.run, _load, key, blobs)
    try:
        return loading.result(WAIT_S)
    except TimeoutError:
        logger.error("the intent model is not there after %g s: tickets are opened without", WAIT_S)
        with _lock:
            _failed[key] = True
        return None


def _load(key: tuple[str, str], blobs: BlobStore) -> "TextModel | None":
    tenant, artefact = key
    try:
        import textmodel

        model = textmodel.load(blobs.get(SUBJECT, artefact))
    except Exception as error:  # noqa: BLE001 - whatever ails the store, a ticket can be opened without a suggestion
        logger.error("the intent model cannot be read (%s): tickets are opened without", type(error).__name__)
        placed.forget()
        with _lock:
            _failed[key] = True
            del _loading[key]
        return None
    with _lock:
        _held[tenant] = _Held(artefact, model)
        del _loading[key]
    return model


def _size(model: "TextModel") -> int:
    return int(model.coefficients.nbytes) + _BYTES_PER_TERM * len(model.vocabulary.terms)
