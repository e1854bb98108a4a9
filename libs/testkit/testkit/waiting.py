"""Waiting on a condition with a deadline: the only way tests wait."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout: float = 20.0, message: str = "") -> T:
    """Returns the condition's first true value.

    The condition is asked every 50 ms; an AssertionError it raises counts as not yet true. After `timeout`
    seconds AssertionError tells what was waited for and the last answer.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            last = value = condition()
            if value:
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            what = message or getattr(condition, "__doc__", None) or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not so within {timeout:g} s: {what} (last: {last!r})")
        time.sleep(0.05)
