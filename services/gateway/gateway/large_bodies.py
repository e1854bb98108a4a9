"""Bodies larger than usual, of requests and of answers: few at a time, so that the process's memory stays bounded."""

import threading
import time
from contextlib import ExitStack

from flask import Request

from chassis.errors import Unavailable

_RETRY_AFTER_S = 1.0


class LargeBodies:
    """So many places; who takes one keeps it until the `ExitStack` it is left with ends."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._places = threading.BoundedSemaphore(at_once)

    def take(self, held: ExitStack, *, until: float | None = None) -> None:
        """Takes a place, waiting for it `until` an instant of `time.monotonic()`, or not at all.

        Raises Unavailable TOO_MANY_LARGE_BODIES.
        """
        taken = self._places.acquire(timeout=0 if until is None else max(0.0, until - time.monotonic()))
        if not taken:
            raise Unavailable(
                "TOO_MANY_LARGE_BODIES",
                f"This process has {self._at_once} large bodies in hand, which is all it takes; repeat in a moment.",
                retry_after_s=_RETRY_AFTER_S,
            )
        held.callback(self._places.release)


def may_be_large(request: Request, usual_max: int) -> bool:
    """Whether the body may turn out larger than `usual_max` bytes; packed and chunked ones tell only when read."""
    length = request.content_length
    return length is None or length > usual_max or "Content-Encoding" in request.headers
