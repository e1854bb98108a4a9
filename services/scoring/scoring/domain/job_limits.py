"""What a scoring job may be asked for, and what it does unless asked."""

from collections.abc import Sequence
from datetime import datetime, timedelta

HORIZON_WEEKS_DEFAULT = 52
HORIZON_WEEKS_MAX = 520
CHURN_HORIZON_WEEKS_DEFAULT = 13
CHURN_HORIZON_WEEKS_MAX = 52
"""Customers count who bought within a year: of longer ones nothing is told."""
DISCOUNT_BASIS_POINTS_DEFAULT = 1_000
DISCOUNT_BASIS_POINTS_MAX = 10_000
INSTANTS_MAX = 400
"""Of one backfill: daily for more than a year."""
_CLOCK_DIFFERENCE = timedelta(seconds=5)
"""By how much clocks of callers may run ahead."""


def problem_of_instant(as_of: datetime, now: datetime) -> str | None:
    """What is wrong with the instant a job looks from."""
    return "In the future: give an instant up to now." if as_of > now + _CLOCK_DIFFERENCE else None


def problem_of_instants(instants: Sequence[datetime], now: datetime) -> str | None:
    """What is wrong with the instants, in order, that a backfill looks from."""
    if not 1 <= len(instants) <= INSTANTS_MAX:
        return f"Give 1 to {INSTANTS_MAX} instants; more are another job's."
    if len(set(instants)) < len(instants):
        return "The same instant comes twice: give each once."
    return problem_of_instant(instants[-1], now)


def problem_of_horizon(weeks: int, most: int = HORIZON_WEEKS_MAX) -> str | None:
    """What is wrong with a horizon."""
    return None if 1 <= weeks <= most else f"1 to {most} weeks."


def problem_of_discount(basis_points: int) -> str | None:
    """What is wrong with an annual discount."""
    good = 0 <= basis_points <= DISCOUNT_BASIS_POINTS_MAX
    return None if good else f"0 to {DISCOUNT_BASIS_POINTS_MAX} hundredths of a percent."
