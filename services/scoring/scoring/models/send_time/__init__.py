"""When in the week a customer is active, and when to write to them."""

from scoring.models.send_time.clock import HOURS, QuietHours, local_hours, next_send
from scoring.models.send_time.model import (
    DEFAULT,
    LEAST_PURCHASES,
    Choice,
    Purchases,
    SendTime,
    Settings,
    best,
    evaluate,
    predict,
    train,
)

__all__ = [
    "DEFAULT",
    "HOURS",
    "LEAST_PURCHASES",
    "Choice",
    "Purchases",
    "QuietHours",
    "SendTime",
    "Settings",
    "best",
    "evaluate",
    "local_hours",
    "next_send",
    "predict",
    "train",
]
