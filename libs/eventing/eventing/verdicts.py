"""What becomes of a message: how the broker is to be told, and what an exception says about that."""

import traceback
from dataclasses import dataclass
from enum import Enum

import pymongo.errors

from chassis import errors
from eventing.subscribe import PermanentFailure

_PERMANENT = (
    errors.InvalidArgument,
    errors.NotFound,
    errors.AlreadyExists,
    errors.FailedPrecondition,
    errors.PermissionDenied,
    errors.Unauthenticated,
    errors.OutOfRange,
)
_RETRYABLE_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")
# Codes of mongod that speak of the server or the credentials, not of the operation: host unreachable or not found,
# network timeout, not authorised, authentication failed, shutting down, no primary, interrupted, disk full, time limit.
_SERVER_CODES = frozenset({6, 7, 89, 9001, 13, 18, 91, 189, 262, 10107, 11600, 11602, 13435, 13436, 14031})


class InfrastructureTrouble(Exception):  # noqa: N818
    """The database cannot be used now, says an error of the type that it names. The event is to be held."""


class Settle(Enum):
    """How the broker is to be told."""

    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"
    HELD = "held"
    """Not at all yet: the event is to be given again, it is not to blame."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How to settle a message. reason: UPPER_SNAKE. error: type and place of the exception, never its text; of what is
    held the type alone, if there was one.
    """

    settle: Settle
    reason: str = ""
    handler: str = ""
    error: str = ""


DONE = Outcome(Settle.DONE)
HELD = Outcome(Settle.HELD)


def is_infrastructure(error: BaseException) -> bool:
    """True for errors that say the database (or a part the service needs) cannot be used now, wrapped or not."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, errors.Unavailable | pymongo.errors.ConnectionFailure | pymongo.errors.WTimeoutError):
            return True
        if isinstance(seen, errors.Aborted) and seen.reason == "TRANSACTION_CONTENTION":
            return True
        if isinstance(seen, pymongo.errors.PyMongoError) and any(map(seen.has_error_label, _RETRYABLE_LABELS)):
            return True
        if isinstance(seen, pymongo.errors.OperationFailure) and seen.code in _SERVER_CODES:
            return True
        # mongoengine hides pymongo's error as the context of its own.
        hidden = seen.__context__ if type(seen).__module__.startswith("mongoengine") else None
        seen = seen.__cause__ or hidden
    return False


def judge(error: Exception, handler: str) -> Outcome:
    """How to settle the event that a handler raised this for."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    kind = f"{type(error).__qualname__}{place}"
    if isinstance(error, PermanentFailure):
        return Outcome(Settle.DEAD, error.reason, handler, kind)
    if isinstance(error, _PERMANENT):
        return Outcome(Settle.DEAD, error.reason, handler, kind)
    return Outcome(Settle.RETRY, "ATTEMPTS_EXHAUSTED", handler, kind)
