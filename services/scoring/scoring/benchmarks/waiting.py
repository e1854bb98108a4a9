"""Says on standard error that something is still at work."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_S = 15.0


@contextmanager
def telling(name: str, every_s: float = EVERY_S) -> Iterator[None]:
    """Says the name at once, and how long it takes every so often until done."""
    done = threading.Event()

    def tell() -> None:
        began = time.monotonic()
        while not done.wait(every_s):
            print(f"{name}: at work for {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)  # noqa: T201 - how far it is

    print(f"{name} ...", file=sys.stderr, flush=True)  # noqa: T201 - how far it is
    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
