"""The one way to refuse: `RapportError`, told to callers as `google.rpc.Status` (AIP-193).

A message says what is wrong and how to mend it. It may quote resource names and field names, never the value of
a personal field: messages reach callers and, through their tools, logs.
"""

# ruff: noqa: N818 - the names are those of the canonical codes.

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

# The status travels in response headers, a third larger there and with the message once more; gRPC takes 8 KiB of them.
_STATUS_MAX_BYTES = 4_096
_FRAME_BYTES = 64
_LENGTH_BYTES = 4
"""What a detail takes for its type, and each message in it."""
_VIOLATIONS_MAX = 25
_MESSAGE_MAX_BYTES = 1_000

logger = logging.getLogger(__name__)

Violation = tuple[str, str]
"""(path of the field, what is wrong and how to mend it)"""

Precondition = tuple[str, str, str]
"""(kind in UPPER_SNAKE, resource name it is about, what must hold)"""


class RapportError(Exception):
    """A refusal with a canonical code and a stable, machine-readable reason.

    `reason` is UPPER_SNAKE and never changes once published; `metadata` holds every dynamic part of the message;
    `retry_after_s` says when a repeat may succeed.
    """

    code: ClassVar[int] = code_pb2.UNKNOWN
    """Number of the canonical code, `google.rpc.code_pb2.NOT_FOUND` and so on (equal to gRPC's)."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[Violation] = (),
        preconditions: Iterable[Precondition] = (),
        retry_after_s: float | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = list(violations)
        self.preconditions = list(preconditions)
        self.retry_after_s = retry_after_s
        if cause is not None:
            self.__cause__ = cause


class InvalidArgument(RapportError):
    """The request is wrong whatever the state of the system."""

    code = code_pb2.INVALID_ARGUMENT


class Unauthenticated(RapportError):
    """The caller is not known: no credential, or one that does not hold."""

    code = code_pb2.UNAUTHENTICATED


class PermissionDenied(RapportError):
    """The caller is known and may not do this."""

    code = code_pb2.PERMISSION_DENIED


class NotFound(RapportError):
    """The resource does not exist in the caller's tenant."""

    code = code_pb2.NOT_FOUND


class AlreadyExists(RapportError):
    """The resource, or the request id with another body, exists."""

    code = code_pb2.ALREADY_EXISTS


class Aborted(RapportError):
    """Somebody else changed the resource meanwhile: read it again, then repeat (AIP-154)."""

    code = code_pb2.ABORTED


class FailedPrecondition(RapportError):
    """The state of the system forbids it; something else must change first."""

    code = code_pb2.FAILED_PRECONDITION


class ResourceExhausted(RapportError):
    """A limit or quota is reached."""

    code = code_pb2.RESOURCE_EXHAUSTED


class Unavailable(RapportError):
    """A part the service needs does not answer now; the same request may be repeated (AIP-194)."""

    code = code_pb2.UNAVAILABLE


class DeadlineExceeded(RapportError):
    """The time the caller gave is over."""

    code = code_pb2.DEADLINE_EXCEEDED


class OutOfRange(RapportError):
    """A value lies past a valid range, such as the end of a list."""

    code = code_pb2.OUT_OF_RANGE


class Internal(RapportError):
    """A defect of the platform."""

    code = code_pb2.INTERNAL


Translation = Callable[[BaseException], RapportError | None]

_translations: dict[type[BaseException], Translation] = {}


def register_translation(exception: type[BaseException], translate: Translation) -> None:
    """Makes `from_exception` turn exceptions of this type, or a subclass, into what `translate` returns, if any."""
    _translations[exception] = translate


def from_exception(error: BaseException) -> RapportError:
    """The RapportError for any exception.

    Registered infrastructure errors are translated; everything else is a defect: INTERNAL with an `error_id`, under
    which type and locations (never values) are logged.
    """
    if isinstance(error, RapportError):
        return error
    for kind in type(error).__mro__:
        if kind in _translations and (translated := _translations[kind](error)):
            return translated
    error_id = uuid.uuid4().hex
    logger.error("unexpected error", exc_info=error, extra={"error_id": error_id})
    return Internal(
        "INTERNAL",
        f"The service failed unexpectedly. Report the error id {error_id} to whoever runs it.",
        metadata={"error_id": error_id},
    )


def to_status(error: RapportError, domain: str) -> Status:
    """The status callers see: one `ErrorInfo`, then `BadRequest`, `PreconditionFailure`, `RetryInfo` where apt.

    `domain` is `<service>.rapport`. Violations that do not fit are left out, the last first.
    """
    message = error.message.encode()[:_MESSAGE_MAX_BYTES].decode(errors="ignore")
    status = Status(code=error.code, message=message)
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=error.metadata),
    )
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        room = _STATUS_MAX_BYTES - status.ByteSize() - _FRAME_BYTES
        for field, description in error.violations[:_VIOLATIONS_MAX]:
            violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
            room -= violation.ByteSize() + _LENGTH_BYTES
            if room < 0:
                break
            bad_request.field_violations.append(violation)
        status.details.add().Pack(bad_request)
    if error.preconditions:
        failure = error_details_pb2.PreconditionFailure()
        for kind, subject, description in error.preconditions:
            failure.violations.add(type=kind, subject=subject, description=description)
        status.details.add().Pack(failure)
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1_000_000_000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status
