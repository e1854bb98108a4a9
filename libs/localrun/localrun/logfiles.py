"""Printing logs that are emptied when they get too long."""

import sys
import time
from pathlib import Path

from localrun.childprocess import last_lines

_POLL_S = 0.3


def show_last(log: Path, lines: int) -> int:
    """Prints the last lines; the position to follow from."""
    position = log.stat().st_size
    if text := last_lines(log, lines):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    return position


def follow(log: Path, position: int) -> None:
    """Prints what is added from `position` on, also after the log was emptied, until interrupted."""
    while True:
        if log.stat().st_size < position:
            position = 0
        with log.open("rb") as file:
            file.seek(position)
            added = file.read()
        position += len(added)
        sys.stdout.write(added.decode(errors="replace"))
        sys.stdout.flush()
        time.sleep(_POLL_S)
