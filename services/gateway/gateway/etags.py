"""The field `etag` (AIP-154) and the headers ETag, If-Match and If-None-Match (RFC 9110, sections 8.8 and 13.1)."""

import re

from flask import Request

from chassis.errors import InvalidArgument

_ETAG = re.compile(r'(?:W/)?"[!#-~]*"')


def header_value(etag: str) -> str:
    """The ETag header for the field's value, quoted if the service left that out."""
    return etag if not etag or _ETAG.fullmatch(etag) else f'"{etag}"'


def if_match(request: Request) -> str | None:
    """The etag of If-Match; None without one. `*` stands for any.

    Raises InvalidArgument when it is malformed or lists several: a service compares one.
    """
    text = request.headers.get("If-Match")
    if text is None:
        return None
    text = text.strip()
    if text != "*" and not _ETAG.fullmatch(text):
        raise InvalidArgument("INVALID_IF_MATCH", 'If-Match must be one quoted etag, such as "7", or *.')
    return text


def none_match(request: Request, etag: str) -> bool:
    """Whether If-None-Match holds the etag, so that the caller has this version already (weak comparison)."""
    text = request.headers.get("If-None-Match")
    if text is None:
        return False
    return text.strip() == "*" or etag.removeprefix("W/") in {found.removeprefix("W/") for found in _ETAG.findall(text)}
