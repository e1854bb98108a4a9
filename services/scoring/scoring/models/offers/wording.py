"""Why an item is offered, in words: the largest part of its score."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.baskets.rules import percent

NAMED = 2
_LEAST_SHARE = 0.1
"""A second item is named when it adds a tenth or more of what the first one does."""
LEAST_BUYERS = 5
"""Fewer people than this are an anecdote, and somebody might know them."""

Also = Callable[[int], tuple[int, int]]
"""From the code of an item to how many bought it and the one offered, too, and how many bought it at all."""


@dataclass(frozen=True)
class Parts:
    """What the score of one item is made of."""

    repeat: float
    popular: float
    from_others: float
    """What the customer's items that add to it add together."""
    others: tuple[int, ...]
    """Codes of those that add most, the first one first: NAMED at most."""
    shares: tuple[float, ...]
    """What each of these adds."""
    days: tuple[int, ...]
    """How many days ago the item itself was bought, the longest ago first."""


def reason(
    parts: Parts, names: NDArray[np.str_], buyers: float, also: Also | None = None, *, newcomer: bool = False
) -> str:
    """`because you bought X and Y: 31 % of those who bought X bought it, too`, and the like.

    buyers: share of customers who bought the item lately, 0 where they are too few to tell. also: of the item whose
    reason it is; without it no share of others' buyers is told. newcomer: it came after the model had learned.
    """
    strongest = parts.shares[0] if parts.shares else 0.0
    if parts.days and (newcomer or parts.repeat >= max(parts.from_others, parts.popular)):
        return f"because you bought it {_times(len(parts.days))}, {_ago(parts.days[-1])}"
    if not newcomer and strongest > 0 and parts.from_others >= parts.popular:
        shares = zip(parts.others, parts.shares, strict=True)
        named = [str(names[code]) for code, share in shares if share >= _LEAST_SHARE * strongest]
        both, of = also(parts.others[0]) if also else (0, 0)
        told = f": {percent(both, of)} of those who bought {named[0]} bought it, too" if both >= LEAST_BUYERS else ""
        return f"because you bought {' and '.join(named)}{told}"
    share = f"{100 * buyers:.0f} %" if buyers >= 0.1 else f"{100 * buyers:.1f} %"
    who = f"many buy it: {share} of customers lately" if buyers >= 0.001 else "others buy it"
    return f"because it is new and {who}" if newcomer else f"because {who}"


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _ago(days: int) -> str:
    return (
        "today"
        if days <= 0
        else "yesterday"
        if days == 1
        else f"last {days} days ago"
        if days < 14
        else f"last {days // 7} weeks ago"
    )
