"""Change streams that stay cheap for the server while others write much.

The server wakes every waiting change stream for every write of anybody, and each looks whether the write is its own:
nine streams that wait add half to the processor time of an insert. So who has had nothing to read for a while, on a
server where much is written, asks ten times a second instead of waiting there.
"""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.synchronous.change_stream import ChangeStream

from docstore.connection import Row, client

_AWAIT_MS = 700
"""How long one wait at the server lasts: a stop is noticed in between."""
_REST_S = 0.1
_SILENCE_S = 1.0
"""Who has read something within this time waits at the server."""
_CROWD = 100
"""Writes a second, of anybody, from which on asking costs the server less than waiting."""
_MEASURED_S = 0.5


class Changes:
    """What a pipeline lets through of the changes of a database or collection, from entering the context on.

    A context that can be entered again and again, by one thread. Entering and `next` raise the driver's errors.
    pause: waits so many seconds, less when the process shall end.
    resting: whether it asks now and then at the moment, instead of waiting at the server.
    """

    def __init__(
        self,
        source: Callable[[], Database[Row] | Collection[Row]],
        pipeline: Sequence[Row],
        pause: Callable[[float], object],
    ) -> None:
        self.resting = False
        self._source = source
        self._pipeline = pipeline
        self._pause = pause
        self._crowd = _Crowd()
        self._read = time.monotonic()

    def __enter__(self) -> "Changes":
        self._session = client().start_session(causal_consistency=False)
        try:
            self._stream = self._open()
        except BaseException:
            self._session.end_session()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._stream.close()
        finally:
            self._session.end_session()

    def next(self) -> Row | None:
        """The next change, or None after less than a second without one."""
        if self.resting:
            self._pause(_REST_S)
        change = self._stream.try_next()
        now = time.monotonic()
        if change is not None:
            self._read = now
        self._crowd.note(self._session, now)
        rest = self._crowd.here and now - self._read > _SILENCE_S
        if rest != self.resting:
            self.resting = rest
            token = self._stream.resume_token
            self._stream.close()
            self._stream = self._open(token)
        return change

    def _open(self, token: Any = None) -> ChangeStream[Row]:
        return self._source().watch(
            self._pipeline,
            max_await_time_ms=1 if self.resting else _AWAIT_MS,
            session=self._session,
            resume_after=token,
        )


class _Crowd:
    """Whether much is written, told by the server's logical clock: the `increment` of its operation times counts the
    writes of a second, and comes with every answer."""

    def __init__(self) -> None:
        self.here = False
        self._since = time.monotonic()
        self._seen: tuple[int, int] = (0, 0)
        self._written = 0

    def note(self, session: ClientSession, now: float) -> None:
        told = session.operation_time
        if told is None:
            return
        second, writes = self._seen
        # Of seconds in between only the last one's writes are known; it is a lower bound then.
        self._written += told.inc - writes if told.time == second else told.inc
        self._seen = (told.time, told.inc)
        if now - self._since >= _MEASURED_S:
            self.here = self._written / (now - self._since) >= _CROWD
            self._since, self._written = now, 0
