"""What a customer mostly did, in words."""

import numpy as np

from scoring.models.fitting import Floats

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PARTS = ((0, 6, "night"), (6, 12, "morning"), (12, 18, "afternoon"), (18, 24, "evening"))
_LEAST = 3
"""Fewer times are no habit."""


def habit(counts: Floats, *, known: bool) -> str:
    """What the customer mostly did, the most particular habit that holds for more than half of the times."""
    total = round(float(counts.sum()))
    others = "customers of the same segment" if known else "customers"
    if total == 0:
        return f"not active yet: when {others} are most active"
    by_day = counts.reshape(7, 24)
    parts = np.stack([by_day[:, begin:end].sum(axis=1) for begin, end, _ in _PARTS], axis=1)
    of_day, of_part = parts.sum(axis=1), parts.sum(axis=0)
    day, part = np.unravel_index(int(parts.argmax()), parts.shape)
    habits = (
        (float(parts[day, part]), f"on {_DAYS[day]} {_PARTS[part][2]}s"),
        (float(of_part.max()), ("at night", "in the morning", "in the afternoon", "in the evening")[of_part.argmax()]),
        (float(of_day.max()), f"on {_DAYS[of_day.argmax()]}s"),
    )
    for count, name in habits:
        if total >= _LEAST and 2 * count > total:
            return f"active mostly {name}, {round(count)} of {total} times"
    return f"no clear habit in {total} times: mostly when {others} are active"


def named(hour: int) -> str:
    """The hour of the week."""
    return f"{_DAYS[hour // 24]} {hour % 24}:00"
