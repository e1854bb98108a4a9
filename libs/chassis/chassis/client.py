"""Channels to other services: make stubs from them.

Every call carries the trace, the time that is left of the current request, and a token. Calls raise `grpc.RpcError`;
`error_info` tells the reason. One that nobody catches becomes UNAVAILABLE or DEADLINE_EXCEEDED where it was that.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry import propagate, trace

from chassis import context, errors, keys, message_sizes, telemetry, tenancy
from chassis.settings import ConfigurationError
from contracts import descriptors

if TYPE_CHECKING:
    from chassis.settings import Settings

TIMEOUT_DEFAULT_S = 10.0
_KEEPALIVE_MS = 60_000

DEFAULT_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {  # AIP-194: UNAVAILABLE alone is repeated by itself.
                    "maxAttempts": 3,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)

TokenSource = Callable[[], str]

_token: ContextVar[str | None] = ContextVar("rapport_call_token", default=None)
_channels: dict[tuple[str, TokenSource | None], grpc.Channel] = {}
_lock = threading.Lock()


def channel(settings: "Settings", service: str, token_source: TokenSource | None = None) -> grpc.Channel:
    """The channel to a service, made on first use and kept; call it after a fork, not before.

    `token_source` is asked for a token at each call; without one the token of `call_credentials` is sent, if any.
    Pass the same function every time: each has a channel of its own. Raises ConfigurationError when the settings
    name no address of the service.
    """
    target = settings.upstreams.get(service)
    if target is None:
        raise ConfigurationError(settings.environment_names()["upstreams"], f"names no address of {service!r}")
    with _lock:
        if (target, token_source) not in _channels:
            plain = grpc.insecure_channel(target, options=_options(service))
            _channels[target, token_source] = grpc.intercept_channel(plain, _Outgoing(token_source))
        return _channels[target, token_source]


def close_channels() -> None:
    """Closes all channels of the process."""
    with _lock:
        for opened in _channels.values():
            opened.close()
        _channels.clear()


@contextmanager
def call_credentials(token: str) -> Iterator[None]:
    """Sends `token` with the calls made within the block."""
    previous = _token.set(token)
    try:
        yield
    finally:
        _token.reset(previous)


def service_token(tenant: str, audience: str) -> str:
    """A token, 60 s long, for this process's own work for one tenant: everything the service `audience` offers."""
    return keys.keyring().mint_token(
        tenant=tenant,
        principal=tenancy.service_principal(),
        permissions={f"{audience}.*"},
        audience=audience,
        ttl_s=60,
    )


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    """Reason, domain and metadata of a refusal; None when the other side gave none (it was never reached, say)."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    if status is not None:
        for detail in status.details:
            if detail.Unpack(info):
                return info
    return None


@dataclass
class _CallDetails(grpc.ClientCallDetails):
    """What gRPC wants to be given."""

    method: str
    timeout: float | None
    metadata: tuple[tuple[str, str | bytes], ...] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _Outgoing(grpc.UnaryUnaryClientInterceptor):
    """Spans are made here, not by the contrib interceptor: that one writes error texts into them."""

    def __init__(self, token_source: TokenSource | None) -> None:
        self._token_source = token_source

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        timeout = _timeout(client_call_details.timeout)
        metadata = [*(client_call_details.metadata or ()), *self._authorization(client_call_details.metadata)]
        name = client_call_details.method.lstrip("/")
        service, _, method = name.partition("/")
        span = telemetry.tracer().start_span(
            name,
            kind=trace.SpanKind.CLIENT,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            details = _CallDetails(
                client_call_details.method,
                timeout,
                (*metadata, *carrier.items()),
                client_call_details.credentials,
                client_call_details.wait_for_ready,
                client_call_details.compression,
            )
            outcome = continuation(details, request)
        outcome.add_done_callback(lambda done: _end(span, done))
        return outcome

    def _authorization(self, given: Any) -> list[tuple[str, str]]:
        if any(key == "authorization" for key, _ in given or ()):
            return []
        token = self._token_source() if self._token_source else _token.get()
        return [("authorization", f"Bearer {token}")] if token else []


def _timeout(given: float | None) -> float:
    current = context.current_or_none()
    remaining = current.remaining() if current else None
    timeout = TIMEOUT_DEFAULT_S if given is None else given
    if remaining is None:
        return timeout
    if remaining <= 0:
        raise errors.DeadlineExceeded("DEADLINE_EXCEEDED", "No time was left for a call to another service.")
    return min(timeout, remaining)


def _end(span: trace.Span, done: Any) -> None:
    code = done.code()
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code is not grpc.StatusCode.OK:
        span.set_status(trace.Status(trace.StatusCode.ERROR, code.name))
    span.end()


def _options(service: str) -> list[tuple[str, Any]]:
    return [
        ("grpc.service_config", descriptors.service_config(service) or DEFAULT_SERVICE_CONFIG),
        ("grpc.max_receive_message_length", message_sizes.largest_response(service)),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        ("grpc.enable_http_proxy", 0),  # Services reach each other directly, whatever proxy the machine uses.
    ]


def _translate(error: BaseException) -> errors.RapportError | None:
    assert isinstance(error, grpc.Call)
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable(
            "UPSTREAM_UNAVAILABLE",
            "Another service that is needed does not answer; repeat in a moment.",
            retry_after_s=1,
            cause=error,
        )
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(
            "DEADLINE_EXCEEDED", "Another service did not answer in time; allow more time.", cause=error
        )
    return None


errors.register_translation(grpc.RpcError, _translate)
