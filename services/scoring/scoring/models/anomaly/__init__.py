"""Usage that drops or surges: a customer's counts against what is usual of them, at a stated false-alarm rate."""

from scoring.models.anomaly.baseline import MOST_CYCLES, WINDOWS, Groups, Usage, groups_of
from scoring.models.anomaly.detection import (
    LEAST_CALIBRATION,
    LEAST_PERIODS,
    RATE,
    Detector,
    Finding,
    detect,
    detect_against,
    explain,
    judgeable,
    train,
)
from scoring.models.anomaly.thresholds import cautious

__all__ = [
    "LEAST_CALIBRATION",
    "LEAST_PERIODS",
    "MOST_CYCLES",
    "RATE",
    "WINDOWS",
    "Detector",
    "Finding",
    "Groups",
    "Usage",
    "cautious",
    "detect",
    "detect_against",
    "explain",
    "groups_of",
    "judgeable",
    "train",
]
