"""What happens around every RPC, in one chain of steps; see `STEPS` for the order."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2
from grpc_status import rpc_status
from opentelemetry import trace

from chassis import consistency, context, fieldcheck, keys, message_sizes, permissions
from chassis.errors import (
    DeadlineExceeded,
    InvalidArgument,
    PermissionDenied,
    RapportError,
    ResourceExhausted,
    Unauthenticated,
    from_exception,
    to_status,
)
from chassis.methods import Method, record_duration

DEADLINE_DEFAULT_S = 10.0
DEADLINE_MAX_S = 30.0
_LARGE_RETRY_AFTER_S = 1.0
_NO_DEADLINE_S = 10 * 365 * 86_400

# The platform is to blame, not the caller (OpenTelemetry's rule for gRPC servers).
_SERVER_FAULTS = {
    code_pb2.UNKNOWN,
    code_pb2.DEADLINE_EXCEEDED,
    code_pb2.UNIMPLEMENTED,
    code_pb2.INTERNAL,
    code_pb2.UNAVAILABLE,
    code_pb2.DATA_LOSS,
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC in progress."""

    method: Method
    request: Message
    """Empty when it is larger than it may be."""
    size: int
    """Bytes of the request as it came."""
    grpc: grpc.ServicerContext


Proceed = Callable[[], Message]
Step = Callable[[Call, Proceed], Message]


def measure(call: Call, proceed: Proceed) -> Message:
    """Records the duration, by method and status code."""
    start = time.perf_counter()
    try:
        return proceed()
    finally:
        code = call.grpc.code() or grpc.StatusCode.OK  # type: ignore[attr-defined] # missing in the stubs only
        record_duration(call.method, code, time.perf_counter() - start)


def open_context(call: Call, proceed: Proceed) -> Message:
    """Opens the request's context, so that whatever is logged says which method it was."""
    with context.use(context.RequestContext(None, "anonymous", frozenset(), call.method.path[1:])):
        return proceed()


def answer_errors(call: Call, proceed: Proceed) -> Message:
    """Turns exceptions into rich statuses."""
    try:
        return proceed()
    except Exception as error:  # noqa: BLE001 - from_exception logs what is unexpected
        refusal = from_exception(error)
    # Outside the handler: the exception that abort raises must not drag the original's text into the span.
    _mark_span(refusal)
    level = logging.WARNING if refusal.code in _SERVER_FAULTS else logging.DEBUG
    logger.log(level, "request refused", extra={"reason": refusal.reason, "code": code_pb2.Code.Name(refusal.code)})
    status = to_status(refusal, f"{call.method.service}.rapport")
    call.grpc.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort raises")


def bound_time(call: Call, proceed: Proceed) -> Message:
    """Gives every request a deadline: the caller's, capped; a default when there is none."""
    remaining = call.grpc.time_remaining()
    # gRPC reports a call without a deadline as one centuries away.
    given = remaining is not None and remaining < _NO_DEADLINE_S
    seconds = min(remaining, DEADLINE_MAX_S) if given else DEADLINE_DEFAULT_S
    if seconds <= 0:
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "The deadline passed before the request was read; allow more time.")
    context.replace(replace(context.current(), deadline=time.monotonic() + seconds))
    return proceed()


def bound_size(call: Call, proceed: Proceed) -> Message:
    """Refuses requests larger than their method allows, and more large ones than the process can hold at once."""
    if call.size > call.method.request_max:
        raise ResourceExhausted(
            "REQUEST_TOO_LARGE",
            f"The request has {call.size} bytes, this method takes {call.method.request_max}; send less at a time.",
            metadata={"max_bytes": str(call.method.request_max)},
        )
    if call.size <= message_sizes.MESSAGE_MAX_BYTES:
        return proceed()
    if not message_sizes.large_requests.acquire(blocking=False):
        raise ResourceExhausted(
            "TOO_MANY_LARGE_REQUESTS",
            f"This process works on {message_sizes.LARGE_AT_ONCE} large requests already; repeat in a moment.",
            retry_after_s=_LARGE_RETRY_AFTER_S,
        )
    try:
        return proceed()
    finally:
        message_sizes.large_requests.release()


def authorize(call: Call, proceed: Proceed) -> Message:
    """Checks the token and the permission, and enters the tenant (before any look at the fields: AIP-211)."""
    method = call.method
    current = context.current()
    if method.stranger:
        current = replace(current, principal=method.stranger)
    else:
        claims = _claims(call)
        if not permissions.permits(claims.permissions, method.permission):
            raise PermissionDenied(
                "PERMISSION_MISSING",
                f"{claims.principal} lacks the permission {method.permission}; ask for a role that holds it.",
                metadata={"permission": method.permission, "principal": claims.principal},
            )
        current = replace(current, tenant=claims.tenant, principal=claims.principal, permissions=claims.permissions)
    if method.has_request_id and (request_id := call.request.request_id):  # type: ignore[attr-defined]
        current = replace(current, request_id=request_id, body_hash=_body_hash(call.request))
    context.replace(current)
    return proceed()


def check_fields(call: Call, proceed: Proceed) -> Message:
    """Refuses what the proto's annotations forbid."""
    violations = fieldcheck.check(call.request)
    if violations:
        named = ", ".join(field for field, _ in violations[:5])
        raise InvalidArgument(
            "INVALID_FIELDS",
            f"The request has invalid fields: {named}{', ...' if len(violations) > 5 else ''}.",
            violations=violations,
        )
    return proceed()


def name_writes(call: Call, proceed: Proceed) -> Message:
    """Answers a mutation with the token that lets a later read wait for what it wrote."""
    with consistency.collecting() as written:
        answer = proceed()
        if written and context.current().tenant:
            call.grpc.set_trailing_metadata(((consistency.TOKEN_METADATA, consistency.token_of(written)),))
    return answer


STEPS: tuple[Step, ...] = (
    measure,
    open_context,
    answer_errors,
    bound_time,
    bound_size,
    authorize,
    check_fields,
    name_writes,
)
"""Outermost first; the span is opened around them all, the servicer is called within."""


class Chain(grpc.ServerInterceptor):
    """Runs the steps around every method of the platform; other services (health, reflection) pass."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The method's handler with the steps around it."""
        path: str = handler_call_details.method
        method = self._methods.get(path)
        if method is None:
            return continuation(handler_call_details)
        if path not in self._handlers:
            self._handlers[path] = _wrapped(method, continuation(handler_call_details))
        return self._handlers[path]


def _wrapped(method: Method, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
    serve = handler.unary_unary
    parse = handler.request_deserializer
    assert serve is not None  # Streams are refused when the server starts.
    assert parse is not None

    def receive(raw: bytes) -> tuple[Message, int]:
        return parse(raw if len(raw) <= method.request_max else b""), len(raw)

    def behave(received: tuple[Message, int], grpc_context: grpc.ServicerContext) -> Message:
        request, size = received
        call = Call(method, request, size, grpc_context)

        def run(index: int) -> Message:
            if index == len(STEPS):
                answer: Message = serve(request, grpc_context)
                return answer
            return STEPS[index](call, lambda: run(index + 1))

        return run(0)

    return grpc.unary_unary_rpc_method_handler(behave, receive, handler.response_serializer)


def _claims(call: Call) -> keys.Claims:
    scheme, _, token = _authorization(call.grpc).partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("CREDENTIAL_MISSING", "Send the metadata `authorization: Bearer <token>`.")
    try:
        return keys.keyring().open_token(token, audience=call.method.service)
    except keys.ExpiredToken:
        raise Unauthenticated("TOKEN_EXPIRED", "The token has expired; get a fresh one.") from None
    except keys.InvalidToken as error:
        raise Unauthenticated("TOKEN_INVALID", f"The token does not hold: {error}.") from None


def _authorization(grpc_context: grpc.ServicerContext) -> str:
    for key, value in grpc_context.invocation_metadata():
        if key == "authorization" and isinstance(value, str):
            return value
    return ""


def _body_hash(request: Message) -> str:
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    return hashlib.sha256(body.SerializeToString(deterministic=True)).hexdigest()


def _mark_span(refusal: RapportError) -> None:
    span = trace.get_current_span()
    span.set_attribute("rpc.grpc.status_code", refusal.code)
    span.set_attribute("error.type", refusal.reason)
    if refusal.code in _SERVER_FAULTS:
        span.set_status(trace.Status(trace.StatusCode.ERROR))
