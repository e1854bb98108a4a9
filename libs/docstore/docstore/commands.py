"""`@command`: the shell around every use case that changes something."""

import functools
import random
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

from google.protobuf.message import Message
from mongoengine import BinaryField, StringField

from chassis import consistency
from chassis.errors import AlreadyExists, RapportError
from docstore.aggregate import Aggregate, aggregate_of
from docstore.connection import Row
from docstore.documents import InstantField
from docstore.errors import Conflict
from docstore.idempotency import KEPT_FOR, Mark, attempt_over, current_mark
from docstore.records import Record
from docstore.transactions import in_transaction, transaction_active

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 6
"""Runs of one command: the first, and five more after conflicts."""

_running: ContextVar[bool] = ContextVar("docstore_command", default=False)


class CommandRequest(Record):
    """The mark of a command over several documents; its uid is the request's key. Gone after 24 hours."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "requests",
        "indexes": [{"fields": ["time"], "expireAfterSeconds": int(KEPT_FOR.total_seconds())}],
    }
    body: Any = StringField(required=True)
    time: Any = InstantField(required=True)
    result: Any = StringField()
    """Resource name of the aggregate the command returned."""
    response: Any = BinaryField()
    """The message it returned instead."""


def command(
    cls: type[Aggregate] | None, *, replay: Callable[[bytes], Message] | None = None, inserts: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a command: carried out once per request, and again from the start after a conflict.

    `@command(Customer)`: the function writes one Customer once and returns it. `@command(None)`: it writes several
    documents, in one transaction, and returns an Aggregate, or, with `replay=SomeResponse.FromString`, a message
    (kept 24 hours to answer repeats: it must hold ids only, no personal data).

    A repeat (same principal, method and request id) returns the resource as it is now, without running the function;
    with other content it raises AlreadyExists REQUEST_ID_REUSED. `inserts=True`, for a function that does nothing but
    insert a new document, saves every first call the look for a repeat: the insert itself finds it, by its unique mark,
    and a refusal of anything else looks then. Conflict is retried five times with jitter; a caller's
    etag makes it Aborted ETAG_MISMATCH, which is not. Called inside another command or transaction, the function
    simply takes part in it.
    """
    if replay is not None and cls is not None:
        raise TypeError("replay= goes with @command(None)")
    if inserts and cls is None:
        raise TypeError("inserts= goes with a command over one document")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if _running.get() or transaction_active():
                return function(*args, **kwargs)
            call = functools.partial(function, *args, **kwargs)
            token = _running.set(True)
            try:
                over_one = _inserting if inserts else _over_one
                return _with_retries((lambda: over_one(cls, call)) if cls else (lambda: _over_several(call, replay)))
            finally:
                _running.reset(token)

        return run

    return decorate


def _with_retries(attempt: Callable[[], R]) -> R:
    written = consistency.position()
    for number in range(1, ATTEMPTS + 1):
        consistency.rewind(written)
        try:
            return attempt()
        except Conflict:
            if number == ATTEMPTS:
                raise
            time.sleep(random.uniform(0.002, 0.01) * 2**number)
    raise AssertionError("unreachable")


def _over_one(cls: type[Aggregate], call: Callable[[], R]) -> R:
    mark = current_mark()
    if mark and (repeated := cls.find_request(mark)) is not None:
        return cast(R, repeated)
    with attempt_over(cls, mark):
        return call()


def _inserting(cls: type[Aggregate], call: Callable[[], R]) -> R:
    mark = current_mark()
    try:
        with attempt_over(cls, mark):
            return call()
    except RapportError:
        # What refuses a repeat may have come to pass after the first: that one's result is the answer.
        if mark and (repeated := cls.find_request(mark)) is not None:
            return cast(R, repeated)
        raise


def _over_several(call: Callable[[], R], replay: Callable[[bytes], Message] | None) -> R:
    mark = current_mark()
    if mark is None:
        return in_transaction(call)
    if (row := CommandRequest.rows().find_one({"uid": mark.key})) is not None:
        mark.check(row["body"])
        return cast(R, _replayed(row, replay))

    def once() -> R:
        result = call()
        _record(mark, result, replay)
        return result

    return in_transaction(once)


def _record(mark: Mark, result: object, replay: Callable[[bytes], Message] | None) -> None:
    row = CommandRequest.new(uid=mark.key, body=mark.body, time=mark.time)
    if isinstance(result, Aggregate):
        row.result = result.name
    elif replay is not None and isinstance(result, Message):
        row.response = result.SerializeToString(deterministic=True)
    else:
        raise TypeError("a command over several documents returns an Aggregate, or a message and declares replay=")
    try:
        row.insert()
    except AlreadyExists as error:
        # The same request at the same time: this transaction is gone, the next attempt finds the other's result.
        raise Conflict(row.result or "The request") from error


def _replayed(row: Row, replay: Callable[[bytes], Message] | None) -> Aggregate | Message:
    if replay is not None:
        return replay(row["response"])
    cls, uid = aggregate_of(row["result"])
    return cls.get(uid, deleted=True)
