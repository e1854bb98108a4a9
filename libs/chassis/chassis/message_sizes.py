"""How large requests and answers may be: 4 MiB, unless a method's rule in the contract allows more."""

import threading
from collections.abc import Iterable
from typing import Any

from contracts import descriptors

MESSAGE_MAX_BYTES = 4 * 1024 * 1024
LARGE_AT_ONCE = 4
"""Requests over 4 MiB that a process works on at the same time; each may hold several times its size in memory."""

large_requests = threading.BoundedSemaphore(LARGE_AT_ONCE)


def request_max(method: Any) -> int:
    """The largest request of a method (its descriptor), in bytes."""
    return descriptors.rule(method).max_request_bytes or MESSAGE_MAX_BYTES


def largest_request(methods: Iterable[Any]) -> int:
    """The largest request of any of the methods: gRPC has one limit for a whole server."""
    return max(map(request_max, methods), default=MESSAGE_MAX_BYTES)


def largest_response(service: str) -> int:
    """The largest answer of any method of a service (short name): gRPC has one limit for a whole channel."""
    rules = [descriptors.rule(method) for method in descriptors.methods() if _service(method) == service]
    return max((rule.max_response_bytes for rule in rules), default=0) or MESSAGE_MAX_BYTES


def _service(method: Any) -> str:
    return str(method.containing_service.full_name).split(".")[1]
