"""A request is carried out once (AIP-155): the mark it leaves in what it wrote, and how a repeat finds it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chassis import clock, context
from chassis.errors import AlreadyExists
from docstore.transactions import transaction_active

KEPT_FOR = timedelta(hours=24)
"""How long a repeat of a request is recognised."""

KEPT_PER_DOCUMENT = 100
"""The most marks one document keeps; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a request leaves behind: `key` identifies it within the tenant, `body` is the hash of its content."""

    key: str
    body: str
    time: datetime

    def entry(self) -> dict[str, Any]:
        """The stored form."""
        return {"key": self.key, "body": self.body, "time": self.time}

    def check(self, stored_body: str) -> None:
        """Raises AlreadyExists REQUEST_ID_REUSED when the id came with another content before."""
        if stored_body != self.body:
            raise AlreadyExists(
                "REQUEST_ID_REUSED",
                "The request_id (over HTTP: Idempotency-Key) was used before with other content; use a new one for "
                "a new request.",
            )


def current_mark() -> Mark | None:
    """The mark of the request being served; None when it carries no request id."""
    request = context.current_or_none()
    if request is None or not request.request_id:
        return None
    identity = "\n".join((request.principal, request.method, request.request_id))
    # Truncated to 128 bits: marks are many, and collisions stay out of reach within a tenant and a day.
    return Mark(hashlib.sha256(identity.encode()).hexdigest()[:32], (request.body_hash or "")[:32], clock.real_now())


def expired(entry: dict[str, Any]) -> bool:
    """True when a stored mark has outlived `KEPT_FOR`."""
    return bool(entry["time"] < clock.real_now() - KEPT_FOR)


class Attempt:
    """One run of a command over one class of documents."""

    def __init__(self, cls: type, mark: Mark | None) -> None:
        self._cls = cls
        self._mark = mark
        self._written = False

    def mark_for(self, document: object) -> Mark | None:
        """The mark that the write of `document` must carry.

        Raises RuntimeError at a second write: two writes may stop half-way, and only one of them can carry the mark.
        """
        if self._written or not isinstance(document, self._cls):
            raise RuntimeError(
                f"a command over one {self._cls.__name__} writes that document once; use @command(None) for more"
            )
        return self._mark

    def wrote(self) -> None:
        """The write took place."""
        self._written = True


_attempt: ContextVar[Attempt | None] = ContextVar("docstore_attempt", default=None)


@contextmanager
def attempt_over(cls: type, mark: Mark | None) -> Iterator[None]:
    """Run one attempt of a command over one document of `cls`."""
    token = _attempt.set(Attempt(cls, mark))
    try:
        yield
    finally:
        _attempt.reset(token)


def current_attempt() -> Attempt | None:
    """The running command's attempt; None outside commands over one document.

    Raises RuntimeError in a transaction that such a command opened: its request would leave no mark.
    """
    attempt = _attempt.get()
    if attempt is not None and transaction_active():
        raise RuntimeError("a command that needs a transaction is declared @command(None)")
    return attempt
