"""When in the week a customer is active, and when to write to them."""

from scoring.models.send_time.clock import HOURS, QuietHours, local_hours, next_send
from scoring.models.send_time.model import (
    DEFAULT,
    LEAST_TIMES,
    Activity,
    Choice,
    SendTime,
    Settings,
    best,
    evaluate,
    everybody,
    predict,
    train,
)

__all__ = [
    "DEFAULT",
    "HOURS",
    "LEAST_TIMES",
    "Activity",
    "Choice",
    "QuietHours",
    "SendTime",
    "Settings",
    "best",
    "evaluate",
    "everybody",
    "local_hours",
    "next_send",
    "predict",
    "train",
]
