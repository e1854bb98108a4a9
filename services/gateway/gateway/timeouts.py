"""How long a call may take: the header `X-Rapport-Timeout`, in seconds."""

import math
import time

from flask import Request

from chassis.errors import InvalidArgument

HEADER = "X-Rapport-Timeout"
TIMEOUT_MIN_S, TIMEOUT_MAX_S = 0.1, 30.0


def deadline_of(request: Request, default_s: float) -> float:
    """When the answer must be there, on `time.monotonic()`'s scale; more than 30 s is cut to 30.

    Raises InvalidArgument for anything but a number of at least 0.1: no call could be made in less.
    """
    text = request.headers.get(HEADER)
    if text is None:
        return time.monotonic() + default_s
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (seconds >= TIMEOUT_MIN_S and math.isfinite(seconds)):
        raise InvalidArgument(
            "INVALID_TIMEOUT", f"{HEADER} must be a number of seconds, {TIMEOUT_MIN_S:g} at least, such as 2.5."
        )
    return time.monotonic() + min(seconds, TIMEOUT_MAX_S)
