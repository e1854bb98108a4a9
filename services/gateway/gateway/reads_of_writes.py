"""The headers `X-Consistency-Token` and `X-Stale` and the metadata of the services are one thing (read your writes)."""

import re
from collections.abc import Sequence

from flask import Request, Response, g

from chassis import consistency
from chassis.errors import InvalidArgument

TOKEN_HEADER = "X-Consistency-Token"  # noqa: S105 - a name
STALE_HEADER = "X-Stale"
TOKEN_MAX = 8 * 1024

TOKEN_PATTERN = "[A-Za-z0-9_-]+"  # noqa: S105 - of any token

_matches = re.compile(TOKEN_PATTERN).fullmatch

Metadata = Sequence[tuple[str, str | bytes]]


def asked(request: Request) -> Metadata:
    """What to send with a call: the token that the caller was given. Raises InvalidArgument for what is none."""
    token = request.headers.get(TOKEN_HEADER)
    if token is None:
        return ()
    if len(token) > TOKEN_MAX or not _matches(token):
        raise InvalidArgument(
            "INVALID_CONSISTENCY_TOKEN", f"{TOKEN_HEADER} must be a token as a mutation's answer gave it."
        )
    return ((consistency.TOKEN_METADATA, token),)


def remember(trailing: Metadata) -> None:
    """Keeps what a service told with its answer."""
    told = dict(trailing)
    g.consistency_token, g.stale = told.get(consistency.TOKEN_METADATA), told.get(consistency.STALE_METADATA)


def add_headers(response: Response) -> None:
    """Tells the caller."""
    if token := g.get("consistency_token"):
        response.headers[TOKEN_HEADER] = token
    if stale := g.get("stale"):
        response.headers[STALE_HEADER] = stale
