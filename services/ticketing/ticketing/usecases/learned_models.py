"""The tenant's own models, of what requests are about and of how they sound: what there is, and loaded where in place.

numpy and scipy come with the library: a process loads them once it meets a tenant who has a model.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cachetools import LRUCache, TTLCache
from rapport.ticketing.v1 import intent_model_pb2, sentiment_model_pb2

from chassis import tenancy
from chassis.tenant_cache import TenantCache
from docstore.blobs import BlobStore
from ticketing.store import IntentModelState, SentimentModelState, lessons, text_models
from ticketing.store.lessons import Taught
from ticketing.store.sentiments import SENTIMENT_MODEL

if TYPE_CHECKING:
    from textmodel import TextModel

KEPT_S = 1.0
"""How long a process goes by a model that another one has replaced."""
BYTES_MOST = 128 << 20
"""That models in memory take, about; those used longest ago go."""
_BYTES_PER_TERM = 250
WAIT_S = 3.0
"""How long a ticket waits for its models to be loaded; longer ones are for those that come later."""
_FAILED_S = 30.0
"""How long after a failure a process does without a model."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Placed:
    version: int
    artefact: str
    """Empty: there is none."""


class Learnable:
    """Something that the people of a tenant teach a model of.

    state: of the model, in the store. subject: of its artefacts in the blob store; also its resource name.
    contract: its message, whose labels are called `label_field`. precision: share of what it is sure of that shall be
    right. count, newest: lessons (`store.lessons`). beside_lexicon: it reads what the lexicon says too, and stays out
    where that tells better. words for messages: title of the model, plural of its labels, nothing: what it says where
    nothing has been there to learn from.
    """

    def __init__(
        self,
        state: text_models.State,
        subject: str,
        contract: type[intent_model_pb2.IntentModel] | type[sentiment_model_pb2.SentimentModel],
        *,
        label_field: str,
        precision: float,
        count: Callable[[datetime | None, int], int],
        newest: Callable[[int, int, int], list[Taught]],
        beside_lexicon: bool,
        title: str,
        plural: str,
        nothing: str,
    ) -> None:
        self.state, self.subject, self.contract, self.label_field = state, subject, contract, label_field
        self.precision, self.count, self.newest, self.beside_lexicon = precision, count, newest, beside_lexicon
        self.title, self.plural, self.nothing = title, plural, nothing
        self.placed = TenantCache(lambda: _read(state), KEPT_S)
        """The current tenant's model in place."""
        self.expected = TenantCache(lambda: text_models.expect(state), 3600.0)
        """Whether learning is expected of the current tenant, noted once an hour."""


INTENTS = Learnable(
    IntentModelState,
    "intentModel",
    intent_model_pb2.IntentModel,
    label_field="intent",
    precision=0.9,
    count=lessons.count_intents,
    newest=lessons.newest_intents,
    beside_lexicon=False,
    title="intent model",
    plural="intents",
    nothing="no resolved ticket has an intent that somebody gave",
)
MOODS = Learnable(
    SentimentModelState,
    SENTIMENT_MODEL,
    sentiment_model_pb2.SentimentModel,
    label_field="label",
    precision=0.8,
    count=lessons.count_moods,
    newest=lessons.newest_moods,
    beside_lexicon=True,
    title="sentiment model",
    plural="labels",
    nothing="nobody has said of a customer's message how it sounds: the lexicon tells",
)
LEARNABLES = (INTENTS, MOODS)


@dataclass(frozen=True)
class Ready:
    """A model in memory."""

    version: int
    model: "TextModel"


@dataclass(frozen=True)
class _Held:
    artefact: str
    model: "TextModel"


_Key = tuple[str, str, str]
"""Tenant, subject of the learnable, artefact."""
_held: "LRUCache[tuple[str, str], _Held]" = LRUCache(BYTES_MOST, getsizeof=lambda held: _size(held.model))
"""One of each kind by tenant: of a model that has given way nothing stays in memory once there is another ticket."""
_failed: TTLCache[_Key, bool] = TTLCache(1_000, _FAILED_S)
_loading: "dict[_Key, Future[TextModel | None]]" = {}
"""Each model is loaded once, however many tickets wait for it."""
_loads = ThreadPoolExecutor(2, thread_name_prefix="text-models")
_lock = threading.Lock()


def ready(blobs: BlobStore, *wanted: Learnable) -> list[Ready | None]:
    """The current tenant's models, loaded within WAIT_S all together; None without one, or if it cannot be read now."""
    until = time.monotonic() + WAIT_S
    placed = [each.placed.get() for each in wanted]
    loads = [_begun(each, model.artefact, blobs) for each, model in zip(wanted, placed, strict=True)]
    found = [_ended(each, model.artefact, load, until) for each, model, load in zip(wanted, placed, loads, strict=True)]
    return [
        Ready(model.version, loaded) if loaded is not None else None
        for model, loaded in zip(placed, found, strict=True)
    ]


def _read(state: text_models.State) -> _Placed:
    found = text_models.current(state)
    return _Placed(found.version, found.artefact or "") if found else _Placed(0, "")


def _begun(wanted: Learnable, artefact: str, blobs: BlobStore) -> "TextModel | Future[TextModel | None] | None":
    """The model if it is in memory, else its loading; None where there is nothing to wait for."""
    of_tenant = tenancy.tenant(), wanted.subject
    key = (*of_tenant, artefact)
    with _lock:
        if not artefact:
            _held.pop(of_tenant, None)
            return None
        held = _held.get(of_tenant)
        if held is not None and held.artefact == artefact:
            return held.model
        if key in _failed:
            return None
        if (loading := _loading.get(key)) is None:
            within = contextvars.copy_context()
            loading = _loading[key] = _loads.submit(within.run, _load, wanted, key, blobs)
        return loading


def _ended(
    wanted: Learnable, artefact: str, load: "TextModel | Future[TextModel | None] | None", until: float
) -> "TextModel | None":
    if not isinstance(load, Future):
        return load
    try:
        return load.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        logger.error("the %s is not there after %g s: it is done without", wanted.title, WAIT_S)
        with _lock:
            _failed[tenancy.tenant(), wanted.subject, artefact] = True
        return None


def _load(wanted: Learnable, key: _Key, blobs: BlobStore) -> "TextModel | None":
    tenant, subject, artefact = key
    try:
        import textmodel

        model = textmodel.load(blobs.get(wanted.subject, artefact))
    except Exception as error:  # noqa: BLE001 - whatever ails the store, a ticket can be opened without a model
        logger.error("the %s cannot be read (%s): it is done without", wanted.title, type(error).__name__)
        wanted.placed.forget()
        with _lock:
            _failed[key] = True
            del _loading[key]
        return None
    with _lock:
        _held[tenant, subject] = _Held(artefact, model)
        del _loading[key]
    return model


def _size(model: "TextModel") -> int:
    return int(model.coefficients.nbytes) + _BYTES_PER_TERM * len(model.vocabulary.terms)
