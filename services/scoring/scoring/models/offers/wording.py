"""Why an item is offered, in words: the largest part of its score."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.baskets.rules import percent
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

_NAMED = 2
_LEAST_SHARE = 0.1
"""A second item is named when it adds a tenth or more of what the first one does."""
_LEAST_BUYERS = 5
"""Fewer people than this are an anecdote, and somebody might know them."""

Also = Callable[[int], tuple[int, int]]
"""From the code of an item to how many bought it and the one offered, too, and how many bought it at all."""


@dataclass(frozen=True)
class Parts:
    """What the score of one item is made of."""

    repeat: float
    popular: float
    others: Ints
    """Codes of the customer's items."""
    shares: Floats
    """What each of them adds."""
    days: tuple[int, ...]
    """How many days ago the item itself was bought, the longest ago first."""


def reason(parts: Parts, names: NDArray[np.str_], buyers: float, also: Also | None = None) -> str:
    """`because you bought X and Y: 31 % of those who bought X bought it, too`, and the like.

    buyers: share of customers who bought the item lately. also: of the item whose reason it is; without it no share of
    others' buyers is told.
    """
    ranked = np.lexsort((parts.others, -np.round(parts.shares, 9)))[:_NAMED]
    strongest = float(parts.shares[ranked[0]]) if len(ranked) else 0.0
    from_others = float(parts.shares[parts.shares > 0].sum())
    if parts.days and parts.repeat >= max(from_others, parts.popular):
        return f"because you bought it {_times(len(parts.days))}, {_ago(parts.days[-1])}"
    if strongest > 0 and from_others >= parts.popular:
        named = [str(names[parts.others[at]]) for at in ranked if parts.shares[at] >= _LEAST_SHARE * strongest]
        both, of = also(int(parts.others[ranked[0]])) if also else (0, 0)
        told = f": {percent(both, of)} of those who bought {named[0]} bought it, too" if both >= _LEAST_BUYERS else ""
        return f"because you bought {' and '.join(named)}{told}"
    share = f"{100 * buyers:.0f} %" if buyers >= 0.1 else f"{100 * buyers:.1f} %"
    return f"because many buy it: {share} of customers lately" if buyers >= 0.001 else "because others buy it"


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
