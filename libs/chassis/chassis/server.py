"""The gRPC server of a service: role `serve`."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.instrumentation.grpc import server_interceptor

from chassis import message_sizes
from chassis.admission import Admission, CountingPool
from chassis.interceptors import Chain
from chassis.lifecycle import Stopping
from chassis.methods import Method
from chassis.settings import ConfigurationError

if TYPE_CHECKING:
    from chassis.settings import Settings

_READY_INTERVAL_S = 2.0
_KEEPALIVE_MS = 60_000
_CONNECTION_AGE_MS = 300_000  # Clients look up the service's addresses again after that: new pods get their share.
_CONNECTION_GRACE_MS = 30_000

Servicers = Sequence[tuple[Callable[[Any, grpc.Server], None], object]]
"""Pairs of a generated `add_<Service>Servicer_to_server` and the servicer."""
Ready = Callable[[], object] | Sequence[Callable[[], object]]
"""Checks that raise while the service cannot do its work."""

logger = logging.getLogger(__name__)


def serve(settings: "Settings", stopping: Stopping, servicers: Servicers, ready: Ready = ()) -> None:
    """Serves until `stopping`, then drains: not ready, `drain_s` for clients to learn of it, then a grace to end.

    Health: `live` while the process works, `ready` (and the overall status) while all checks pass. Raises ValueError
    for a method without a `method_rule` and for streaming methods, ConfigurationError when it cannot listen.
    """
    server = _Server(settings, servicers, ready)
    server.start(f"{settings.bind_host}:{settings.grpc_port}")
    logger.info("serving", extra={"port": server.port})
    stopping.wait()
    server.drain()
    time.sleep(settings.drain_s)
    server.stop(settings.shutdown_grace_s)


@contextmanager
def in_process(settings: "Settings", servicers: Servicers, ready: Ready = ()) -> Iterator[str]:
    """The same server on a free loopback port, for tests; yields its target `127.0.0.1:port`."""
    server = _Server(settings, servicers, ready)
    server.start("127.0.0.1:0")
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.drain()
        server.stop(1.0)


class _Server:
    def __init__(self, settings: "Settings", servicers: Servicers, ready: Ready) -> None:
        methods: dict[str, Method] = {}
        services = _services(servicers)
        self.port = 0
        self._pool = CountingPool(settings.grpc_threads)
        self._admission = Admission(self._pool, settings.grpc_max_concurrent, methods)
        self._grpc = grpc.server(
            self._pool,
            interceptors=[
                self._admission,
                server_interceptor(filter_=lambda details: details.method in methods),  # type: ignore[no-untyped-call]
                Chain(methods),
            ],
            options=_options(message_sizes.largest_request(each for service in services for each in service.methods)),
        )
        for add, servicer in servicers:
            add(servicer, self._grpc)
        for service in services:
            methods.update(_methods(service, settings.service))
        names = [reflection.SERVICE_NAME, health.SERVICE_NAME, *(service.full_name for service in services)]
        self._health = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=self._admission.side_pool
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        if settings.grpc_reflection:
            reflection.enable_server_reflection(names, self._grpc)
        self._readiness = _Readiness(ready if isinstance(ready, Sequence) else (ready,), self._tell)

    def start(self, address: str) -> None:
        try:
            self.port = self._grpc.add_insecure_port(address)
        except RuntimeError:
            raise ConfigurationError("RAPPORT_BIND_HOST, RAPPORT_GRPC_PORT", "cannot listen on this address") from None
        self._health.set("live", health_pb2.HealthCheckResponse.SERVING)
        self._readiness.start()
        self._grpc.start()

    def drain(self) -> None:
        self._readiness.stop()
        self._tell(ready=False)

    def stop(self, grace_s: float) -> None:
        self._grpc.stop(grace_s).wait()
        self._pool.shutdown()
        self._admission.side_pool.shutdown()

    def _tell(self, ready: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("ready", ""):
            self._health.set(service, status)


class _Readiness:
    """Runs the checks every 2 s in a thread of its own and tells when all pass."""

    def __init__(self, checks: Sequence[Callable[[], object]], tell: Callable[[bool], None]) -> None:
        self._checks = checks
        self._tell = tell
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="readiness", daemon=True)
        self._lock = threading.Lock()

    def start(self) -> None:
        self._tell(False)
        self._thread.start()

    def stop(self) -> None:
        # Without waiting: a check may hang, which must not hold up the end.
        with self._lock:
            self._stopped.set()

    def _poll(self) -> None:
        was: bool | None = None
        while True:
            ready = self._passes(log=was is not False)
            with self._lock:
                if self._stopped.is_set():
                    return
                if ready != was:
                    self._tell(ready)
            was = ready
            if not self._checks or self._stopped.wait(_READY_INTERVAL_S):
                return

    def _passes(self, *, log: bool) -> bool:
        for check in self._checks:
            try:
                check()
            except Exception as error:
                if log:
                    logger.warning("not ready", exc_info=error)
                return False
        return True


class _ServiceNames:
    """Stands in for the server to learn which services a generated `add_..._to_server` adds."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self.names.extend(str(handler.service_name()) for handler in handlers)  # type: ignore[attr-defined]

    def add_registered_method_handlers(self, _service: str, _handlers: Mapping[str, object]) -> None:
        """Tells the same services again."""


def _services(servicers: Servicers) -> list[ServiceDescriptor]:
    names = _ServiceNames()
    for add, servicer in servicers:
        add(servicer, names)  # type: ignore[arg-type] # stands in for the server
    return [descriptor_pool.Default().FindServiceByName(name) for name in names.names]


def _methods(service: ServiceDescriptor, short_name: str) -> Iterator[tuple[str, Method]]:
    for descriptor in service.methods:
        if descriptor.client_streaming or descriptor.server_streaming:
            raise ValueError(f"{service.full_name}/{descriptor.name} streams; use paging (AIP-158) instead")
        method = Method.of(descriptor, short_name)
        yield method.path, method


def _options(request_max_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # A second process on the same port shall fail, not share its calls.
        ("grpc.max_receive_message_length", request_max_bytes),
        ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", _CONNECTION_GRACE_MS),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Half of what our clients send, so that they are never told to calm down.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ]
