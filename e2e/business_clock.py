"""Moving the business clock of the whole running platform; tokens, leases and deadlines keep the real one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


@contextmanager
def standing_at(instant: datetime, clock_file: Path) -> Iterator[None]:
    """Makes it `instant` (aware) from which it goes on, and now again when the block ends.

    Processes look at their clock ten times a second.
    """
    _write_offset(clock_file, (instant - datetime.now(UTC)).total_seconds())
    try:
        yield
    finally:
        _write_offset(clock_file, 0.0)


def _write_offset(clock_file: Path, seconds: float) -> None:
    partial = clock_file.with_suffix(".partial")  # no process may read half of it
    partial.write_text(json.dumps({"offset_seconds": seconds}))
    partial.rename(clock_file)
