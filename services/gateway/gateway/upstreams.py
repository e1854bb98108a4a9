"""Calls to the services: channels are made on first use, after gunicorn's fork."""

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis import client
from chassis.errors import DeadlineExceeded
from gateway import errors, reads_of_writes
from gateway.reads_of_writes import Metadata
from gateway.settings import Settings

_PROBE_TIMEOUT_S = 1.0
_PROBE_KEPT_S = 1.0


class Upstreams:
    """The services behind the gateway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._callables: dict[str, Any] = {}
        self._reached: set[str] = set()
        self._probed: tuple[float, dict[str, bool]] = (0.0, {})
        self._lock = threading.Lock()

    def call(
        self,
        service: str,
        rpc_path: str,
        request: Message,
        deserializer: Callable[[bytes], Any],
        *,
        deadline: float,
        token: str | None,
        metadata: Metadata = (),
    ) -> Any:
        """Calls an RPC (`/package.Service/Method`) and returns its response.

        What the service tells beside it is for `reads_of_writes`. `deadline` is on `time.monotonic()`'s scale. Raises
        errors.RpcRefusal, or DeadlineExceeded when no time is left.
        """
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "The time for the call was over before it could be made.")
        rpc = self._callables.get(rpc_path)
        if rpc is None:
            channel = client.channel(self._settings, service)
            rpc = self._callables[rpc_path] = channel.unary_unary(
                rpc_path, request_serializer=type(request).SerializeToString, response_deserializer=deserializer
            )
        credentials = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            response, call = rpc.with_call(request, timeout=remaining, metadata=(*credentials, *metadata))
        except grpc.RpcError as error:
            raise errors.from_rpc_error(error) from error
        reads_of_writes.remember(call.trailing_metadata())
        return response

    def probe(self) -> tuple[bool, dict[str, bool]]:
        """Whether every service was reached once since the start, and which are reachable now.

        A service that fails later does not make the gateway unready: the others still serve, and its own calls
        are answered with 503 at once.
        """
        with self._lock:
            at, found = self._probed
            if time.monotonic() - at > _PROBE_KEPT_S or not found:
                found = {service: self._reachable(service) for service in sorted(self._settings.upstreams)}
                self._probed = (time.monotonic(), found)
                self._reached.update(service for service, good in found.items() if good)
            return self._reached >= set(found), dict(found)

    def _reachable(self, service: str) -> bool:
        stub = health_pb2_grpc.HealthStub(client.channel(self._settings, service))
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service="ready"), timeout=_PROBE_TIMEOUT_S)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
