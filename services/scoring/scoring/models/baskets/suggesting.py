"""What to offer beside a basket: the items on the right of the rules whose left side it holds."""

from dataclasses import dataclass

import numpy as np

from scoring.models.baskets.rules import Rules
from scoring.models.summary import Ints


@dataclass(frozen=True)
class Suggestion:
    """One item, by the best rule that leads to it."""

    item: str
    probability: float
    """Confidence of the rule, with its interval of 95 %."""
    low: float
    high: float
    reason: str


def suggest(rules: Rules, basket: Ints, most: int = 5) -> tuple[Suggestion, ...]:
    """Items not in the basket, the most probable first, ties by id; empty when no rule applies.

    basket: codes of the items in it; -1 or codes beyond the rules' items stand for unknown ones and are passed over.
    """
    held = np.zeros(len(rules.names) + 1, dtype=np.bool_)
    held[basket[(basket >= 0) & (basket < len(rules.names))]] = True
    absent = ~held[rules.right]
    held[-1] = True  # where the left side has no further item
    fitting = np.flatnonzero(held[rules.left].all(axis=1) & absent)
    # The lower end of the interval ranks: a rule seen five times does not outdo one seen a thousand times.
    low, high = rules.confidence_interval
    ranked = fitting[np.lexsort((rules.right[fitting], -np.round(low[fitting], 9)))]
    _, first = np.unique(rules.right[ranked], return_index=True)
    return tuple(
        Suggestion(
            str(rules.names[rules.right[rule]]),
            float(rules.confidence[rule]),
            float(low[rule]),
            float(high[rule]),
            rules.words(int(rule)),
        )
        for rule in ranked[np.sort(first)][:most]
    )
