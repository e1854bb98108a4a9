"""Which clock a person goes by."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def first_known(*names: str | None) -> ZoneInfo:
    """The first of the IANA names that is a time zone; UTC when none is."""
    for name in names:
        if name:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue
    return ZoneInfo("UTC")
