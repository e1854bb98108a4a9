"""Waiting for a server that takes its time to start."""

import time
from collections.abc import Callable

import pymongo.errors

from localrun.childprocess import ChildProcess
from localrun.ports import listening

HOST = "127.0.0.1"
"""Where our servers listen: this machine only."""


class NotReadyError(Exception):
    """A server ended, or was not ready in time; the message holds the end of its log."""


def refuse_taken(title: str, *ports: int) -> None:
    """Raises NotReadyError if somebody listens on a port: what answered there would be taken for our server."""
    for port in ports:
        if listening(HOST, port):
            raise NotReadyError(f"{title} cannot start: {HOST}:{port} is taken by another process")


# While a server starts, any of these means "not yet".
_NOT_YET = (OSError, pymongo.errors.PyMongoError)


def holds(condition: Callable[[], bool]) -> bool:
    """True if `condition` does; its network errors mean "not yet"."""
    try:
        return condition()
    except _NOT_YET:
        return False


def wait_until(title: str, process: ChildProcess | None, timeout: float, condition: Callable[[], bool]) -> None:
    """Polls `condition` until it holds; its network errors mean "not yet"."""
    if process is None:
        raise NotReadyError(f"{title} was not started")
    deadline, reason = time.monotonic() + timeout, "no answer"
    while True:
        try:
            if condition():
                return
        except _NOT_YET as error:
            reason = type(error).__name__
        code = process.exit_code()
        if code is not None:
            raise NotReadyError(
                f"{title} ended with exit code {code}; {process.log} ends with:\n{process.last_lines()}"
            )
        if time.monotonic() > deadline:
            raise NotReadyError(
                f"{title} was not ready after {timeout:.0f} s ({reason}); "
                f"{process.log} ends with:\n{process.last_lines()}"
            )
        time.sleep(0.1)
