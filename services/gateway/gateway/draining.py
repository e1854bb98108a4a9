"""Whether the process is about to stop."""

import threading

_draining = threading.Event()


def begin() -> bool:
    """Says that the process is about to stop; False when that was said before."""
    if _draining.is_set():
        return False
    _draining.set()
    return True


def is_draining() -> bool:
    """Whether the process is about to stop: answers then close their connections."""
    return _draining.is_set()
