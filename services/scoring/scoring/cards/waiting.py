"""What a card tells of how long customers waited until they bought again, by thirds of the risk they were told."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from scoring.cards import plots
from scoring.cards.plots import Band

_CSS = ("a", "c", "b")
_ROWS = 8
"""Of the table, beside the first one."""


def plot(thirds: Sequence[Mapping[str, Any]]) -> Markup:
    """The share of each third that had not bought again, with its band."""
    bands = [
        Band(f"{third['third']} third of risk", _of(third, "lasting"), _of(third, "low"), _of(third, "high"), css)
        for third, css in zip(thirds, _CSS, strict=True)
    ]
    weeks = [point["days"] / 7 for point in thirds[0]["points"]]
    return plots.steps("Not back yet, by told risk", weeks, bands, "weeks after the risk was told")


def table(thirds: Sequence[Mapping[str, Any]]) -> list[tuple[float, list[Mapping[str, Any]]]]:
    """Weeks, and the point of each third."""
    points = list(zip(*(third["points"] for third in thirds), strict=True))
    chosen = points[:: max(1, len(points) // _ROWS)]
    return [(each[0]["days"] / 7, list(each)) for each in chosen]


def _of(third: Mapping[str, Any], what: str) -> list[float]:
    return [point[what] for point in third["points"]]
