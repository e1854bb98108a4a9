"""Models of propensity in memory, for role `run`, which tells by them again and again."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chassis import tenancy
from chassis.errors import Internal
from docstore import Row
from docstore.blobs import BlobStore
from scoring.store import Model
from scoring.store.models import ARTEFACT

if TYPE_CHECKING:
    from scoring.models.propensity import Propensity

BYTES_MOST = 256 << 20
"""Of the stored forms of all models in memory, which take 1.25 times as much there; those used longest ago go.

Usual ones have 30 to 300 KB each. Tenants take turns, always in the same order: where the champions of those who wait
have more than this, each is read anew at each turn.
"""

_Key = tuple[BlobStore, str, str, str]
_held: "OrderedDict[_Key, tuple[Propensity, int]]" = OrderedDict()
"""With the size of its stored form, the one used longest ago first."""
_lock = threading.Lock()


def load(model: Model, blobs: BlobStore) -> "Propensity":
    """The model of that document of the current tenant; from memory but for the first time.

    Raises NotFound, Internal MODEL_DAMAGED or MODEL_UNREADABLE; whatever else comes of the blob store may pass.
    """
    key = blobs, tenancy.tenant(), model.subject, model.artefact_sha256
    with _lock:
        if key in _held:
            _held.move_to_end(key)
            return _held[key][0]
    body = blobs.get(model.subject, ARTEFACT)
    found = _read(body, model)
    with _lock:
        _held[key] = found, len(body)
        total = sum(size for _, size in _held.values())
        while total > BYTES_MOST:
            _, (_, size) = _held.popitem(last=False)
            total -= size
    return found


def left(scorer: Row, versions: Mapping[str, int], blobs: BlobStore) -> "Propensity | None":
    """The model that the last job of its kind scored with (`store.histories.LeftToScoreWith`); None where features are
    declared otherwise now, or it ended so long ago that it is not kept whole. Raises as `load` does.

    versions: of the features, by name. Jobs take no such model either: with other features it would tell something
    wrong, and nobody would see it.
    """
    model: Model = Model.get(scorer["model"])
    return load(model, blobs) if model.artefact_sha256 and dict(model.features) == versions else None


def _read(body: bytes, model: Model) -> "Propensity":
    # numpy and CatBoost come with it: only this role loads them, and only once there is a champion.
    from scoring.models import propensity

    if hashlib.sha256(body).hexdigest() != model.artefact_sha256:
        raise Internal("MODEL_DAMAGED", f"The stored form of {model.subject} is not what was stored.")
    try:
        return propensity.load(json.loads(body))
    except Exception as error:
        raise Internal("MODEL_UNREADABLE", f"This version cannot read the stored form of {model.subject}.") from error
