"""One JSON object a line on standard output: name, value, unit, limit, ratio."""

import json
import sys


def tell(name: str, value: float, unit: str, limit: float | None = None) -> None:
    """Prints one figure. limit: what the raw part did in the same run; ratio is value / limit."""
    figure = {"name": name, "value": round(value, 3), "unit": unit}
    if limit is not None:
        figure |= {"limit": round(limit, 3), "ratio": round(value / limit, 3)}
    print(json.dumps(figure), flush=True)


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
