"""Why an item is offered, in words: the largest part of its score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

_NAMED = 2
_LEAST_SHARE = 0.1
"""A second item is named when it adds a tenth or more of what the first one does."""


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


def reason(parts: Parts, names: NDArray[np.str_], buyers: float) -> str:
    """`because you bought X and Y`, and the like; `buyers` is the share of customers who bought the item lately."""
    ranked = np.lexsort((parts.others, -np.round(parts.shares, 9)))[:_NAMED]
    strongest = float(parts.shares[ranked[0]]) if len(ranked) else 0.0
    from_others = float(parts.shares[parts.shares > 0].sum())
    if parts.days and parts.repeat >= max(from_others, parts.popular):
        return f"because you bought it {_times(len(parts.days))}, {_ago(parts.days[-1])}"
    if strongest > 0 and from_others >= parts.popular:
        named = [str(names[parts.others[at]]) for at in ranked if parts.shares[at] >= _LEAST_SHARE * strongest]
        return f"because you bought {' and '.join(named)}"
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
