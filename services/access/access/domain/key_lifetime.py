"""How long keys live, and what state they are in."""

from datetime import datetime, timedelta

DEFAULT_LIFETIME = timedelta(days=365)
LONGEST_LIFETIME = timedelta(days=5 * 366)
"""Five years, leap days forgiven."""


def expiry_problem(expire_time: datetime, now: datetime) -> str | None:
    """What is wrong with a wished expiry, None when nothing is."""
    if expire_time <= now:
        return "Must lie in the future."
    if expire_time > now + LONGEST_LIFETIME:
        return "Must lie within five years from now."
    return None
