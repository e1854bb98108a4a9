"""How cards tell figures, in HTML and Markdown alike."""

from datetime import datetime

_BAR = 20
"""Blocks of the longest bar in Markdown."""


class Plain(str):
    """Text made here, that needs no escaping in Markdown."""

    __slots__ = ()


def number(value: float) -> str:
    """To four places, whole from 10,000 on."""
    return Plain(f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}")


def figure(value: float | None) -> str:
    """To three places; nothing where there is none."""
    return Plain("" if value is None else f"{value:.3f}")


def percent(value: float) -> str:
    """Of a share."""
    return Plain(f"{value:.1%}")


def instant(value: datetime | None) -> str:
    """To the minute, UTC."""
    return Plain(f"{value:%Y-%m-%d %H:%M} UTC" if value else "none")


def date(value: datetime) -> str:
    """Of an instant, UTC."""
    return Plain(f"{value:%Y-%m-%d}")


def blocks(value: float, most: float) -> str:
    """A bar of text, as long as the value is of the most."""
    return Plain("█" * round(_BAR * value / most) if most > 0 else "")
