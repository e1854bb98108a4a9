"""Usage that drops or surges: a customer's counts against what is usual of them, at a stated false-alarm rate."""

from scoring.models.anomaly.baseline import WINDOWS, Usage
from scoring.models.anomaly.detection import (
    LEAST_CALIBRATION,
    LEAST_PERIODS,
    Detector,
    Finding,
    detect,
    explain,
    train,
)

__all__ = [
    "LEAST_CALIBRATION",
    "LEAST_PERIODS",
    "WINDOWS",
    "Detector",
    "Finding",
    "Usage",
    "detect",
    "explain",
    "train",
]
