"""How long something lasts: Kaplan and Meier's estimate (1958, Journal of the American Statistical Association 53).

The variance is Greenwood's (1926). Intervals are 90 percent ones of ln(-ln S) (Kalbfleisch and Prentice 1980), which
stay between 0 and 1 and hold in small groups, too.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scoring.models.fitting import Floats, Z
from scoring.models.rounding import shortened
from scoring.models.summary import DAYS_PER_WEEK

THIRDS = ("lowest", "middle", "highest")
_LEAST = 20
"""Rows of a third that are shown: of fewer a curve says more of single people than of the model."""


@dataclass(frozen=True)
class Point:
    """What is known of a group at the end of a day. at_risk: rows that had neither ended nor gone out of sight."""

    days: int
    at_risk: int
    lasting: float
    low: float
    high: float


def kaplan_meier(waited: Floats, ended: Floats, days: Sequence[int]) -> list[Point]:
    """The share that lasts longer than so many days, ascending.

    waited: whole days each row was seen, until it ended or went out of sight; ended: 1 where it ended then, else 0.
    """
    times = np.unique(waited[ended > 0])
    seen = np.sort(waited)
    at_risk = len(seen) - np.searchsorted(seen, times, side="left")
    ends = np.searchsorted(np.sort(waited[ended > 0]), times, side="right")
    events = np.diff(ends, prepend=0)
    with np.errstate(divide="ignore"):
        lasting = np.cumprod(1 - events / at_risk)
        spread = np.cumsum(events / (at_risk * np.maximum(at_risk - events, 0.0)))
    found = []
    for day in days:
        place = int(np.searchsorted(times, day, side="right")) - 1
        left = int(len(seen) - np.searchsorted(seen, day, side="right"))
        share, variance = (float(lasting[place]), float(spread[place])) if place >= 0 else (1.0, 0.0)
        low, high = share, share
        if 0 < share < 1:
            width = Z * np.sqrt(variance) / abs(np.log(share))
            low, high = (float(share ** np.exp(sign * width)) for sign in (1, -1))
        found.append(Point(day, left, *map(shortened, (share, low, high))))
    return found


def by_third(told: Floats, waited: Floats, horizon_days: int) -> list[dict[str, Any]]:
    """Of the rows with the lowest, the middle and the highest probability how many still wait, week by week.

    waited: days until what ends the wait, NaN where it did not happen within the horizon. Sums only; none of too few.
    """
    thirds = np.array_split(np.argsort(told, kind="stable"), len(THIRDS))
    if min(map(len, thirds)) < _LEAST:
        return []
    weeks = list(range(0, horizon_days + 1, DAYS_PER_WEEK))
    found = []
    for name, rows in zip(THIRDS, thirds, strict=True):
        days = np.where(np.isnan(waited[rows]), float(horizon_days), waited[rows] + 1)  # over at the day's end
        points = kaplan_meier(days, (~np.isnan(waited[rows])).astype(np.float64), weeks)
        found.append({"third": name, "rows": len(rows), "points": [asdict(point) for point in points]})
    return found
