"""A text model as bytes and back: an uncompressed npz file, readable without running anything stored in it.

Equal models give equal bytes, and what is read back predicts bitwise as what was written.
"""

import hashlib
import io
import json

import numpy as np

from textmodel.model import TextModel
from textmodel.terms import Vocabulary

FORMAT = 1
_SCALARS = ("temperature", "threshold", "precision", "texts")


def dump(model: TextModel) -> bytes:
    """The artefact."""
    head = {
        "format": FORMAT,
        "labels": model.labels,
        "messages": model.messages,
        "terms": model.vocabulary.terms,
        "words": model.vocabulary.words,
        **{name: getattr(model, name) for name in _SCALARS},
    }
    written = io.BytesIO()
    np.savez(
        written,
        head=np.frombuffer(json.dumps(head, ensure_ascii=False).encode(), dtype=np.uint8),
        idf=model.vocabulary.idf,
        coefficients=model.coefficients,
        intercepts=model.intercepts,
    )
    return written.getvalue()


def fingerprint(artefact: bytes) -> str:
    """SHA-256 of the artefact, in hexadecimal."""
    return hashlib.sha256(artefact).hexdigest()


def load(artefact: bytes) -> TextModel:
    """The model. Raises ValueError when the bytes are no text model of a known format."""
    try:
        with np.load(io.BytesIO(artefact), allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            idf, coefficients, intercepts = (stored[name] for name in ("idf", "coefficients", "intercepts"))
    except Exception as broken:
        raise ValueError("the bytes are no text model") from broken
    if head.get("format") != FORMAT:
        raise ValueError(f"a text model of format {head.get('format')} cannot be read: this code knows {FORMAT}")
    vocabulary = Vocabulary(tuple(head["terms"]), head["words"], idf)
    shape = (len(vocabulary.terms), len(head["labels"]))
    if coefficients.shape != shape or idf.shape != shape[:1] or intercepts.shape != shape[1:]:
        raise ValueError(f"the text model is damaged: {coefficients.shape} coefficients for {shape[0]} terms")
    scalars = {name: head[name] for name in _SCALARS}
    return TextModel(
        tuple(head["labels"]),
        vocabulary,
        coefficients,
        intercepts,
        messages=tuple(head["messages"]),
        **scalars,
    )
