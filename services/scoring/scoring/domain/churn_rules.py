"""Who may churn, when a customer has, as of which instants that is learned, and what gates call them."""

from datetime import timedelta

from scoring.domain.propensity_gates import Words
from scoring.features.declared import FEATURES, OTHER, PURCHASE, Aggregation, Feature

ACTIVE_WITHIN = timedelta(days=365)
"""Customers count who bought within this time before an instant; who did not has left already."""
INSTANTS_MOST = 8
"""Instants that are learned from at most, each one horizon before the next, the newest first."""
ROWS_MOST = 200_000
"""Customers, each as of an instant, that are learned from at most; whom more are left out of says a hash of theirs."""

LOOKED_AT: tuple[Feature, ...] = tuple(
    feature
    for feature in FEATURES
    if PURCHASE in feature.kinds
    and OTHER not in feature.kinds
    and feature.aggregation is not Aggregation.REFUNDED_SHARE
)
"""The declared features that purchases, with their refunds, are enough for; revenue is what is left of them.

Other activity is kept for 400 days: as of most instants that are learned from it would be missing, and a model would
take for a trait of those who left what is a trait of the past.
"""
VERSIONS = {feature.name: 1 for feature in LOOKED_AT}
"""Name -> version of the definition."""


def words(horizon_weeks: int) -> Words:
    """What gates call customers."""
    return Words(
        rows="customers",
        mature=f"customers who bought within {ACTIVE_WITHIN.days} days, with {_weeks(horizon_weeks)} after that known",
        events="customers who left",
        others="customers who stayed",
        counted="departures",
        happened="left",
        rival="recency",
        rival_words="the time since the last purchase alone",
    )


def _weeks(number: int) -> str:
    return "week" if number == 1 else f"{number} weeks"
