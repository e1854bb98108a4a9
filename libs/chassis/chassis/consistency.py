"""Read your writes: a mutation answers with a token that names the events it wrote, and a read of another service that
is given the token waits until they are in what it reads (see `eventing.catching_up`).

On the wire both ways: metadata `x-consistency-token`; a read that did not wait long enough says `x-stale: true`.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import astuple, dataclass

from chassis import tenancy
from chassis.errors import InvalidArgument
from chassis.keys import InvalidToken, keyring

TOKEN_METADATA = "x-consistency-token"  # noqa: S105 - a name
STALE_METADATA = "x-stale"

EVENTS_MAX = 16
"""A token names the last events of a mutation; whoever writes more is a bulk change with a status of its own."""

_KEY_USE = "consistency-token"


@dataclass(frozen=True, slots=True)
class Written:
    """An event that a mutation wrote: its id and type, the aggregate's name, and its sequence."""

    id: str
    type: str
    subject: str
    version: int
    index: int


_written: ContextVar[list[Written] | None] = ContextVar("chassis_written", default=None)


@contextmanager
def collecting() -> Iterator[list[Written]]:
    """Gathers what is written within the block."""
    written: list[Written] = []
    token = _written.set(written)
    try:
        yield written
    finally:
        _written.reset(token)


def note(events: Iterable[Written]) -> None:
    """Tells the mutation that is being served, if one is, that it has written these events."""
    written = _written.get()
    if written is not None:
        written.extend(events)


def position() -> int:
    """How much has been written so far: what `rewind` takes before a failed attempt is repeated."""
    return len(_written.get() or ())


def rewind(position: int) -> None:
    """Forgets what an attempt wrote that came to nothing."""
    written = _written.get()
    if written is not None:
        del written[position:]


def token_of(written: Iterable[Written]) -> str:
    """The token for these events, good in the current tenant."""
    last = [astuple(each) for each in written][-EVENTS_MAX:]
    sealed = keyring().seal(_KEY_USE, json.dumps(last).encode(), tenancy.tenant().encode())
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def events_of(token: str) -> list[Written]:
    """What a token names. Raises InvalidArgument INVALID_CONSISTENCY_TOKEN for one of another tenant, or none."""
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        opened = keyring().open(_KEY_USE, sealed, tenancy.tenant().encode())
    except (InvalidToken, binascii.Error, ValueError) as error:
        raise InvalidArgument(
            "INVALID_CONSISTENCY_TOKEN", "The consistency token is none of this tenant; send it as it was given."
        ) from error
    return [Written(*each) for each in json.loads(opened)]
