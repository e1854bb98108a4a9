"""What is bought together in one purchase: rules that hold beyond chance and for more than a few people."""

from fractions import Fraction
from typing import Any

import numpy as np

from scoring.models import baskets
from scoring.models.baskets import Baskets, Rules, TooManyItemsets, least_count
from scoring.models.baskets.rules import LEAST_BASKETS
from scoring.models.offers import Purchases
from scoring.models.summary import Ints

MOST = 1_000
"""Rules that are kept, the strongest: nobody reads more."""
SUPPORT = Fraction(1, 1_000)
"""Least share of purchases with all products of a rule; five of them at least."""
CONFIDENCE = Fraction(1, 20)
LONGEST = 3
"""Products of both sides."""
FALSE_FINDS = 0.05
"""At most this share of the rules are there by chance."""
LEAST_CUSTOMERS = 5
"""Who bought all products of a rule: what fewer people do is about these people."""
_TRIES = 6


def found(bought: Baskets, purchases: Purchases) -> dict[str, Any]:
    """The rules as JSON holds them, the strongest first, counts exact; the number of baskets they were found in; and a
    message where rules of many baskets are missing, because together with them there were too many to count.

    purchases: the same by customer, with the same products.
    """
    rules, support = _rules(bought)
    if rules is None:
        message = "so many products are bought together that no rules could be counted"
        return {"baskets": len(bought), "rules": [], "message": message}
    q_value = rules.q_value
    surplus = rules.both * rules.baskets - rules.left_count * rules.right_count
    kept: list[dict[str, Any]] = []
    buyers = purchases.owned().tocsc()
    q_added = rules.q_added
    for at in np.argsort(-surplus, kind="stable").tolist():
        if len(kept) == MOST:
            break
        if q_value[at] > FALSE_FINDS or q_added[at] > FALSE_FINDS:
            continue
        left = [int(code) for code in rules.left[at] if code >= 0]
        people = _buyers(buyers.indices, buyers.indptr, [*left, int(rules.right[at])])
        if people >= LEAST_CUSTOMERS:
            told = {"both": rules.both, "antecedent_count": rules.left_count, "consequent_count": rules.right_count}
            kept.append(
                {
                    "antecedents": [str(rules.names[code]) for code in left],
                    "consequent": str(rules.names[rules.right[at]]),
                    **{name: int(counts[at]) for name, counts in told.items()},
                    "customers": people,
                    "p_value": float(rules.p_value[at]),
                    "q_value": float(q_value[at]),
                }
            )
    least = max(least_count(support, len(bought)), LEAST_BASKETS)
    message = f"only of products together in {least} purchases and more: there are too many others to count"
    return {"baskets": rules.baskets, "rules": kept, "message": message if support > SUPPORT else ""}


def _rules(bought: Baskets) -> tuple[Rules | None, Fraction]:
    """With as little support as can be counted, which is told; None when even much support is too little."""
    support = SUPPORT
    for _ in range(_TRIES):
        try:
            return baskets.fit(bought, support, CONFIDENCE, LONGEST)[0], support
        except TooManyItemsets:
            support = min(4 * support, Fraction(1))
    return None, support


def _buyers(customers: Ints, starts: Ints, products: list[int]) -> int:
    """How many customers bought all of these."""
    of_each = sorted((customers[starts[code] : starts[code + 1]] for code in products), key=len)
    both = of_each[0]
    for others in of_each[1:]:
        both = np.intersect1d(both, others, assume_unique=True)
    return len(both)
