"""The public keys of issuers, kept in memory between tokens."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import jwt

from access.jwk_sets import MalformedJwkSet, read_jwk_set
from access.key_set_source import KeySetUnreachable
from chassis.errors import Unavailable

FRESH_S = 600.0
STALE_S = 3600.0
"""How long known keys serve on while the issuer does not answer."""
REFRESH_PAUSE_S = 30.0
FAILURE_PAUSE_S = 5.0
_LIMIT = 256
_MAX_FETCHES = 4
_MAX_WAITING = 16
_WAIT_S = 4.0
_NEVER = float("-inf")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _KeySet:
    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    fetched: float = _NEVER
    asked_for_unknown: float = _NEVER
    failed: float = _NEVER


class KeySets:
    """Keys by issuer and `kid`; the 256 issuers used last.

    A set is fetched again after ten minutes, or when a token names a key that is not in it (keys rotate), the latter
    at most once in 30 seconds per issuer: whoever sends made-up key ids must not make us hammer an issuer. One fetch
    per issuer and four in all run at a time, and 16 threads at most wait for one, so that slow issuers cannot take all
    threads; known keys serve on meanwhile.
    """

    def __init__(self, fetch: Callable[[str], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._sets: OrderedDict[tuple[str, str], _KeySet] = OrderedDict()
        self._fetches = threading.BoundedSemaphore(_MAX_FETCHES)
        self._waiting = threading.BoundedSemaphore(_MAX_WAITING)

    def key(self, issuer: str, uri: str, kid: str) -> jwt.PyJWK | None:
        """The key `kid` of the issuer (its document id) whose set is at `uri`, None when the set has no such key.

        Raises Unavailable ISSUER_UNREACHABLE while the set cannot be had.
        """
        entry = self._entry(issuer, uri)
        if not entry.lock.acquire(blocking=False):  # Its keys are being fetched.
            known = entry.keys.get(kid)
            if known is not None and self._clock() - entry.fetched < STALE_S:
                return known
            self._wait_for(entry.lock.acquire)
        try:
            if self._fetch_is_due(entry, kid):
                self._refresh(entry, uri)
            if self._clock() - entry.fetched >= STALE_S:
                raise _unreachable()
            return entry.keys.get(kid)
        finally:
            entry.lock.release()

    def _entry(self, issuer: str, uri: str) -> _KeySet:
        with self._lock:
            entry = self._sets.setdefault((issuer, uri), _KeySet())
            self._sets.move_to_end((issuer, uri))
            while len(self._sets) > _LIMIT:
                self._sets.popitem(last=False)
            return entry

    def _fetch_is_due(self, entry: _KeySet, kid: str) -> bool:
        now = self._clock()
        if now - entry.failed < FAILURE_PAUSE_S:
            return False
        if now - entry.fetched >= FRESH_S:
            return True
        if kid in entry.keys or now - entry.asked_for_unknown < REFRESH_PAUSE_S:
            return False
        entry.asked_for_unknown = now
        return True

    def _wait_for(self, acquire: Callable[..., bool]) -> None:
        if not self._waiting.acquire(blocking=False):
            raise _unreachable()
        try:
            if not acquire(timeout=_WAIT_S):
                raise _unreachable()
        finally:
            self._waiting.release()

    def _refresh(self, entry: _KeySet, uri: str) -> None:
        if not self._fetches.acquire(blocking=False):
            self._wait_for(self._fetches.acquire)
        try:
            keys, _ = read_jwk_set(self._fetch(uri))
        except (KeySetUnreachable, MalformedJwkSet) as error:
            entry.failed = self._clock()
            logger.warning("a key set could not be fetched: %s", error)
        else:
            entry.keys, entry.fetched, entry.failed = keys, self._clock(), _NEVER
        finally:
            self._fetches.release()


def _unreachable() -> Unavailable:
    return Unavailable(
        "ISSUER_UNREACHABLE",
        "The issuer's public keys cannot be fetched now. Try again; if it goes on, check the issuer's jwks_uri.",
        retry_after_s=FAILURE_PAUSE_S,
    )
