"""Transactions over several documents."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

import pymongo.errors
from pymongo.client_session import ClientSession

from chassis import consistency, context
from chassis.errors import Aborted
from docstore.abandoned import abort_abandoned
from docstore.connection import client

T = TypeVar("T")

_LIMIT_S = 15.0
"""How long contention may repeat one transaction; a request's own deadline may be nearer."""

_LOOK_AROUND_S = 2.0
"""After so long, and as often, contention is checked for transactions that dead processes have left."""

_active: ContextVar[bool] = ContextVar("docstore_transaction", default=False)


def transaction_active() -> bool:
    """True inside `in_transaction`, in this thread or green thread."""
    return _active.get()


def in_transaction(fn: Callable[[], T]) -> T:
    """Run `fn` in one transaction and return its result; inside a running transaction, join that one.

    All reads and writes of `fn` through this library take part, and so do bare pymongo and mongoengine calls in the
    same thread. `fn` runs again when the server reports contention, so it must read what it decides on and have no
    effects outside the database. Raises Aborted TRANSACTION_CONTENTION when contention outlasts the deadline, and
    whatever `fn` raises (nothing is then written).
    """
    if _active.get():
        return fn()
    started = time.monotonic()
    current = context.current_or_none()
    limit = started + _LIMIT_S
    if current is not None and current.deadline is not None:
        limit = min(limit, current.deadline)
    attempts = 0
    written = consistency.position()
    look_around = started + _LOOK_AROUND_S

    def attempt(session: ClientSession) -> T:
        nonlocal attempts, look_around
        attempts += 1
        if attempts > 1 and time.monotonic() >= limit:
            raise Aborted(
                "TRANSACTION_CONTENTION", "Too many concurrent changes of the same data; try again.", retry_after_s=0.5
            )
        if time.monotonic() >= look_around:
            abort_abandoned()
            look_around = time.monotonic() + _LOOK_AROUND_S
        token = _active.set(True)
        consistency.rewind(written)
        try:
            with session.bind(end_session=False):
                return fn()
        except Exception as error:
            transient = _transient_cause(error)
            if transient is None or transient is error:
                raise
            raise transient from error
        finally:
            _active.reset(token)

    with client().start_session() as session:
        return session.with_transaction(attempt)


def _transient_cause(error: BaseException) -> pymongo.errors.PyMongoError | None:
    """The driver error that asks for another attempt, however deep it is wrapped.

    mongoengine (and any `raise ... from`) hides the label that the driver looks for.
    """
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return None
        if isinstance(seen, pymongo.errors.PyMongoError) and seen.has_error_label("TransientTransactionError"):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
