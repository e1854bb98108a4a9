"""Request rates: one token bucket per credential or client address, in memory, bounded.

Each gateway process counts for itself: behind n replicas a client gets up to n times the rate.
"""

import math
import threading
import time
from dataclasses import dataclass

from cachetools import LRUCache
from flask import Response, g

from chassis.errors import ResourceExhausted


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request: allowed or not, and how the bucket stands."""

    allowed: bool
    limit: int
    """Requests a full bucket holds."""
    remaining: int
    reset_s: float
    """Until the bucket is full again."""
    retry_after_s: float
    """Until the next request is allowed; 0 when this one was."""


class TokenBuckets:
    """A bucket per key: `burst` tokens, refilled at `rate` a second; the least recently used keys are forgotten."""

    def __init__(self, rate: float, burst: int, entries: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: LRUCache[bytes | str, tuple[float, float]] = LRUCache(entries)
        self._lock = threading.Lock()

    def take(self, key: bytes | str, now: float | None = None) -> Verdict:
        """Takes a token, if there is one. `now` is on `time.monotonic()`'s scale."""
        now = time.monotonic() if now is None else now
        with self._lock:
            tokens, since = self._buckets.get(key, (float(self._burst), now))
            tokens = min(self._burst, tokens + (now - since) * self._rate)
            allowed = tokens >= 1
            if allowed:
                tokens -= 1
            self._buckets[key] = (tokens, now)
        return Verdict(
            allowed,
            limit=self._burst,
            remaining=int(tokens),
            reset_s=(self._burst - tokens) / self._rate,
            retry_after_s=0 if allowed else (1 - tokens) / self._rate,
        )


def enforce(verdict: Verdict) -> None:
    """Has the answer tell how the bucket stands. Raises ResourceExhausted RATE_LIMITED when the request is too many."""
    g.rate_limit = verdict
    if not verdict.allowed:
        raise ResourceExhausted(
            "RATE_LIMITED",
            "Too many requests: wait as long as Retry-After says.",
            retry_after_s=verdict.retry_after_s,
        )


def add_headers(response: Response) -> None:
    """Adds `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) to the answer of a counted request."""
    verdict: Verdict | None = g.get("rate_limit")
    if verdict is not None:
        response.headers["RateLimit-Limit"] = str(verdict.limit)
        response.headers["RateLimit-Remaining"] = str(verdict.remaining)
        response.headers["RateLimit-Reset"] = str(math.ceil(verdict.reset_s))
