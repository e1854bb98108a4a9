"""The business clock: the wall clock, movable on platforms marked as test.

It decides journeys, SLA, quiet hours and retention. Rules take the instant as an argument, so callers read the clock
once per request. Tokens, leases, ids and deadlines use real time.
"""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chassis.settings import Settings

_CHECK_INTERVAL_S = 0.1


class _OffsetFile:
    """The offset in a file, `{"offset_seconds": 86400.0}`; replace the file atomically (write aside, then rename)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._next_check = 0.0
        self._seen: tuple[int, int] | None = None
        self._offset = timedelta()

    def offset(self) -> timedelta:
        """The current offset; zero while there is no file. Raises ValueError when the file is malformed."""
        with self._lock:
            if time.monotonic() >= self._next_check:
                self._next_check = time.monotonic() + _CHECK_INTERVAL_S
                self._read_if_changed()
            return self._offset

    def _read_if_changed(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._seen, self._offset = None, timedelta()
            return
        # Inode too: a replaced file may keep the mtime within the file system's resolution.
        seen = (status.st_mtime_ns, status.st_ino)
        if seen == self._seen:
            return
        try:
            self._offset = timedelta(seconds=float(json.loads(self._path.read_text())["offset_seconds"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f'{self._path}: expected {{"offset_seconds": <number>}}') from error
        self._seen = seen


_file: _OffsetFile | None = None


def configure(settings: "Settings") -> None:
    """Takes the offset file of a platform marked `environment="test"`; elsewhere the business clock is the real one."""
    global _file
    movable = settings.environment == "test"
    _file = _OffsetFile(settings.clock_file) if settings.clock_file and movable else None


def now() -> datetime:
    """The business instant, timezone-aware UTC."""
    return real_now() if _file is None else real_now() + _file.offset()


def real_now() -> datetime:
    """The real instant, timezone-aware UTC."""
    return datetime.now(UTC)
