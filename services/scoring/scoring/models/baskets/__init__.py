"""What is bought together: frequent itemsets and association rules with exact counts and their significance."""

from scoring.models.baskets.encoding import Baskets
from scoring.models.baskets.itemsets import Itemsets, TooManyItemsets, frequent, least_count
from scoring.models.baskets.later import Later, evaluate
from scoring.models.baskets.rules import Rules, derive, fit
from scoring.models.baskets.suggesting import Suggestion, suggest

__all__ = [
    "Baskets",
    "Itemsets",
    "Later",
    "Rules",
    "Suggestion",
    "TooManyItemsets",
    "derive",
    "evaluate",
    "fit",
    "frequent",
    "least_count",
    "suggest",
]
