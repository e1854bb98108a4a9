"""Who asks, for which tenant, and until when: one immutable value per request, in a ContextVar."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


class NoContext(RuntimeError):  # noqa: N818 - reads as what is the matter
    """Code that needs a request context ran outside one: a defect, not a user's mistake."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request being served, or the work a service does on its own account."""

    tenant: str | None
    """Id of the tenant; None until the method of a public link enters one."""
    principal: str
    """Resource name of who acts: `principals/{id}`, `services/{name}`, `public` or `internal`."""
    permissions: frozenset[str]
    """What the principal may do, wildcards included (see `chassis.permissions`)."""
    method: str
    """Full RPC name `package.Service/Method`, or the name of the handler or job."""
    request_id: str | None = None
    """The caller's id of this mutation (AIP-155)."""
    body_hash: str | None = None
    """SHA-256 (hex) of the request without its request id; set whenever `request_id` is."""
    deadline: float | None = None
    """When the answer must be there, on `time.monotonic()`'s scale."""

    def remaining(self) -> float | None:
        """Seconds until the deadline, negative when it has passed; None when there is none."""
        return None if self.deadline is None else self.deadline - time.monotonic()


_current: ContextVar[RequestContext | None] = ContextVar("rapport_request", default=None)


def current() -> RequestContext:
    """The context of this request. Raises NoContext outside one."""
    context = _current.get()
    if context is None:
        raise NoContext("no request context here: open one with tenancy.service_context")
    return context


def current_or_none() -> RequestContext | None:
    """The context of this request, None outside one."""
    return _current.get()


def replace(context: RequestContext) -> None:
    """Puts `context` in the place of the current one, until the enclosing `use` ends. Raises NoContext outside one."""
    current()
    _current.set(context)


@contextmanager
def use(context: RequestContext) -> Iterator[RequestContext]:
    """Makes `context` the current one within the block; the former one is back afterwards."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
