"""Request bodies: their type, their packing and their size, whatever the headers claim."""

import zlib

from flask import Request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from gateway.errors import HttpRefusal

_GZIP = 16 + zlib.MAX_WBITS
_READ = "rapport.body_read"
_CLEARED_MAX = 64 * 1024
"""Of a body nobody read, gunicorn reads less than this to keep the connection."""


def read(request: Request, max_bytes: int, types: tuple[str, ...] = ("application/json",)) -> bytes:
    """The body, unpacked; empty when there is none.

    Raises HttpRefusal 415 for another type or packing, 413 when it is larger than `max_bytes` (packed or unpacked,
    chunked or not), 400 when its packing or its framing is broken.
    """
    packing = request.headers.get("Content-Encoding", "identity").strip().lower()
    if packing not in ("gzip", "identity"):
        raise HttpRefusal(
            415, "UNSUPPORTED_CONTENT_ENCODING", "Send the body as it is or packed with gzip.", headers=_ACCEPT_GZIP
        )
    if (request.content_length or 0) > max_bytes:
        raise too_large(max_bytes)
    try:
        data = request.stream.read(max_bytes + 1)
    except (OSError, ParseException):
        raise HttpRefusal(400, "UNREADABLE_BODY", "The body breaks off or is wrongly framed; send it again.") from None
    if len(data) > max_bytes:
        raise too_large(max_bytes)
    request.environ[_READ] = True
    if not data:
        return b""
    if request.mimetype not in types and not (request.mimetype.endswith("+json") and "application/json" in types):
        raise HttpRefusal(
            415, "UNSUPPORTED_MEDIA_TYPE", f"Send the body as Content-Type: {types[0]}.", headers={"Accept": types[0]}
        )
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise HttpRefusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send JSON in UTF-8 (RFC 8259).")
    return _unpack(data, max_bytes) if packing == "gzip" else data


def has_body(request: Request) -> bool:
    """Whether the request brings a body."""
    return bool(request.content_length) or "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def left_unread(request: Request) -> bool:
    """Whether more of the body was left on the connection than the server clears away for the next request."""
    length = request.content_length
    return has_body(request) and _READ not in request.environ and (length is None or length >= _CLEARED_MAX)


def too_large(max_bytes: int) -> HttpRefusal:
    """The refusal of a body over the limit."""
    return HttpRefusal(
        413,
        "BODY_TOO_LARGE",
        f"The body is larger than {max_bytes} bytes; send less at a time.",
        metadata={"max_bytes": str(max_bytes)},
    )


_ACCEPT_GZIP = {"Accept-Encoding": "gzip, identity"}


def _unpack(data: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(data, max_bytes + 1)
    except zlib.error:
        raise HttpRefusal(400, "INVALID_GZIP", "The body is not valid gzip.") from None
    if len(unpacked) > max_bytes:
        raise too_large(max_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise HttpRefusal(400, "INVALID_GZIP", "The body is not one whole gzip member.")
    return unpacked
