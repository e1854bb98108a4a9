"""The header `Idempotency-Key` and the field `request_id` (AIP-155) are one thing."""

import hashlib
import re
import uuid
from typing import Any

from flask import Request, g

from chassis.errors import InvalidArgument

HEADER = "Idempotency-Key"
KEY_MAX = 255
KEY_PATTERN = "^[!-~]([ -~]*[!-~])?$"
"""Printable ASCII: the key comes back in a header."""

_matches = re.compile(KEY_PATTERN).fullmatch


def apply(request: Request, message: Any) -> None:
    """Sets the request id of a mutation: from the header, else from the body, else a new one.

    A new one makes the gateway's own repeats towards a service safe. The answer echoes the key. Raises
    InvalidArgument when the header is malformed, or contradicts the body.
    """
    key = request.headers.get(HEADER)
    given: str = message.request_id
    if key is None:
        message.request_id = given or str(uuid.uuid4())
        if len(message.request_id) <= KEY_MAX and _matches(message.request_id):
            g.idempotency_key = message.request_id  # Anything else is no header's value; the service refuses it.
        return
    if len(key) > KEY_MAX or not _matches(key):
        raise InvalidArgument(
            "INVALID_IDEMPOTENCY_KEY", f"{HEADER} must have 1 to {KEY_MAX} characters of printable ASCII."
        )
    g.idempotency_key = key
    request_id = request_id_of(key)
    if given and given.lower() != request_id:
        raise InvalidArgument(
            "INVALID_IDEMPOTENCY_KEY",
            f"{HEADER} and requestId differ; send one of them.",
            violations=[("request_id", f"differs from the header {HEADER}")],
        )
    message.request_id = request_id


def request_id_of(key: str) -> str:
    """The UUID for a key: itself if it is one, else one derived from it, the same at every repeat.

    Services keep request ids per tenant, principal and method, so that equal keys of different callers never meet.
    """
    text = key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key
    try:
        parsed = uuid.UUID(text)
        if str(parsed) == text.lower() and parsed.int:
            return str(parsed)
    except ValueError:
        pass
    digest = hashlib.sha256(b"Idempotency-Key\0" + text.encode("utf-8", "surrogateescape")).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
