"""Refusing what is too much, early and politely, while health checks keep being answered.

gRPC's own limit counts health checks too, so that an overloaded pod would fail its liveness probe and be restarted
with all its work. Here requests beyond the limit, and health checks, are answered by a few threads of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from chassis.errors import ResourceExhausted, to_status
from chassis.methods import Method, record_duration

_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SIDE_THREADS = 2
_RETRY_AFTER_S = 0.5


class CountingPool(ThreadPoolExecutor):
    """A thread pool that knows how many requests it runs or holds waiting."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="grpc")
        self._lock = threading.Lock()
        self.pending = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As the base class."""
        with self._lock:
            self.pending += 1
        try:
            future = super().submit(fn, *args, **kwargs)
        except RuntimeError:
            self._done(None)
            raise
        future.add_done_callback(self._done)
        return future

    def _done(self, _future: Future[Any] | None) -> None:
        with self._lock:
            self.pending -= 1


class Admission(grpc.ServerInterceptor):
    """Refuses requests beyond `limit` with RESOURCE_EXHAUSTED and when to come back; must be outermost."""

    def __init__(self, pool: CountingPool, limit: int, methods: Mapping[str, Method]) -> None:
        self._pool = pool
        self._limit = limit
        self._methods = methods
        self.side_pool = ThreadPoolExecutor(_SIDE_THREADS, thread_name_prefix="grpc-side")
        self._health_check: grpc.RpcMethodHandler[Any, Any] | None = None

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The method's handler, or one that refuses."""
        path: str = handler_call_details.method
        if path == _HEALTH_CHECK:
            if self._health_check is None:
                self._health_check = self._aside(continuation(handler_call_details))
            return self._health_check
        if path in self._methods and self._pool.pending >= self._limit:
            return self._aside(_refusal(self._methods[path]))
        return continuation(handler_call_details)

    def _aside(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler, run by the side threads."""
        serve = handler.unary_unary
        assert serve is not None

        def behave(request: Any, grpc_context: grpc.ServicerContext) -> Any:
            return serve(request, grpc_context)

        behave.experimental_thread_pool = self.side_pool  # type: ignore[attr-defined] # grpc's name for it
        return grpc.unary_unary_rpc_method_handler(behave, handler.request_deserializer, handler.response_serializer)


def _refusal(method: Method) -> grpc.RpcMethodHandler[Any, Any]:
    def behave(_request: bytes, grpc_context: grpc.ServicerContext) -> Message:
        error = ResourceExhausted(
            "TOO_MANY_REQUESTS",
            "This process has as many requests as it may hold; repeat in a moment.",
            retry_after_s=_RETRY_AFTER_S,
        )
        record_duration(method, grpc.StatusCode.RESOURCE_EXHAUSTED, 0.0)
        grpc_context.abort_with_status(rpc_status.to_status(to_status(error, f"{method.service}.rapport")))
        raise AssertionError("abort raises")

    return grpc.unary_unary_rpc_method_handler(behave)
