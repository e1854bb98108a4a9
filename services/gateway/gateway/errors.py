"""Refusals as HTTP: `{"error": {code, status, message, details}}`, the JSON form of `google.rpc.Status` (AIP-193)."""

# ruff: noqa: N818 - the names say what they are.

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

import grpc
from flask import Response
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from chassis.errors import RapportError, to_status

DOMAIN = "gateway.rapport"

HTTP_STATUS: Mapping[int, int] = {
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}
"""Canonical code -> HTTP status, as google/rpc/code.proto says."""

_UNEXPLAINED: Mapping[int, tuple[str, str]] = {
    code_pb2.UNAVAILABLE: ("UPSTREAM_UNAVAILABLE", "A part of the platform does not answer now; repeat the request."),
    code_pb2.DEADLINE_EXCEEDED: (
        "DEADLINE_EXCEEDED",
        "The time for the call is over. Whether it took effect is unknown: repeat it with the same Idempotency-Key, "
        "or give it more time with X-Rapport-Timeout (seconds, at most 30).",
    ),
    code_pb2.UNIMPLEMENTED: ("NOT_IMPLEMENTED", "The platform runs a version that does not offer this method yet."),
    code_pb2.RESOURCE_EXHAUSTED: ("UPSTREAM_BUSY", "The platform has too much to do now; repeat the request."),
    code_pb2.CANCELLED: ("CANCELLED", "The call was cancelled."),
}
"""Texts for failures that no service explained: gRPC's own texts name hosts, ports and Python exceptions."""

_DEFAULT_RETRY_S = 1

logger = logging.getLogger(__name__)


class HttpRefusal(RapportError):
    """A refusal for which HTTP has a status of its own and gRPC no code: 405, 413, 415 and the like."""

    code = code_pb2.INVALID_ARGUMENT

    def __init__(
        self, http_status: int, reason: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(reason, message, **more)
        self.http_status = http_status
        self.headers = dict(headers or {})


class RpcRefusal(RapportError):
    """A refusal by a service, told to the caller as the service told it."""

    def __init__(self, status: Status) -> None:
        info = error_details_pb2.ErrorInfo()
        reason = next((info.reason for detail in status.details if detail.Unpack(info)), "")
        super().__init__(reason, status.message)
        self.status = status


def from_rpc_error(error: grpc.RpcError) -> RpcRefusal:
    """What a failed call tells the caller; whatever no service wrote (host names, stack texts) is left out."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None  # The details contradict the code: a proxy in between rewrote one of them.
    if status is not None and status.code in HTTP_STATUS:
        return RpcRefusal(status)
    code: int = error.code().value[0] if hasattr(error, "code") else code_pb2.UNKNOWN
    logger.warning("a call failed without explanation", extra={"rpc_code": code_pb2.Code.Name(code)})
    reason, message = _UNEXPLAINED.get(code, ("INTERNAL", "The platform failed unexpectedly."))
    status = Status(code=code if code in HTTP_STATUS else code_pb2.UNKNOWN, message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    if code in (code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(_DEFAULT_RETRY_S)
        status.details.add().Pack(retry)
    return RpcRefusal(status)


def status_of(error: RapportError) -> Status:
    """The `google.rpc.Status` of a refusal of the gateway's own or of a service."""
    return error.status if isinstance(error, RpcRefusal) else to_status(error, DOMAIN)


def http_status_of(error: RapportError) -> int:
    """The HTTP status that answers a refusal."""
    if isinstance(error, HttpRefusal):
        return error.http_status
    return HTTP_STATUS.get(status_of(error).code, 500)


def response(error: RapportError) -> Response:
    """The HTTP answer for a refusal, with Retry-After and WWW-Authenticate where they belong."""
    status, http_status = status_of(error), http_status_of(error)
    body = {
        "error": {
            "code": http_status,
            "status": code_pb2.Code.Name(status.code),
            "message": status.message,
            "details": [_detail(detail) for detail in status.details],
        }
    }
    answer = Response(json.dumps(body, ensure_ascii=False), http_status, content_type="application/json")
    answer.headers["Cache-Control"] = "no-store"
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in status.details):
        answer.headers["Retry-After"] = str(max(1, math.ceil(retry.retry_delay.ToTimedelta().total_seconds())))
    if http_status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="rapport"'
    if isinstance(error, HttpRefusal):
        answer.headers.extend(error.headers)
    return answer


def _detail(detail: AnyMessage) -> dict[str, Any]:
    """One detail as JSON; of a type the gateway does not know, the type alone."""
    try:
        return json_format.MessageToDict(detail)
    except (TypeError, ValueError):
        return {"@type": detail.type_url}
