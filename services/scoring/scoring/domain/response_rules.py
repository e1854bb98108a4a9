"""Who may respond to messages, when a customer has, as of which instants that is learned, and what gates call them."""

from datetime import timedelta

from scoring.domain import churn_rules
from scoring.domain.propensity_gates import Words
from scoring.features.declared import CLICKED, FEATURES, OTHER, SENT, Feature

HORIZON = timedelta(days=14)
"""Within which a customer responds."""
REACHED_WITHIN = timedelta(days=365)
"""Customers are scored to whom a message was sent, or who bought, within this time before an instant."""
INSTANTS_MOST = 8
"""Instants that are learned from at most, each one horizon before the next, the newest first."""
ROWS_MOST = 200_000
"""Customers, each as of an instant, that are learned from at most; whom more are left out of says a hash of theirs."""
_LONGEST = timedelta(days=180)
"""Windows of activity that are whole as of the oldest instant: activity is kept for 400 days."""

LOOKED_AT: tuple[Feature, ...] = tuple(
    feature
    for feature in FEATURES
    if feature in churn_rules.LOOKED_AT or ({OTHER, SENT, CLICKED} & {*feature.kinds} and feature.window <= _LONGEST)
)
"""The declared features that purchases, and what is kept of other activity, are enough for as of each instant."""
VERSIONS = {feature.name: 1 for feature in LOOKED_AT}
"""Name -> version of the definition."""
WORDS = Words(
    rows="customers",
    mature=f"customers, each as of an instant, to whom a message was sent in the {HORIZON.days} days after it",
    events="customers who responded",
    others="customers who did not",
    counted="responses",
    happened="responded",
    rival="click_share",
    rival_words="their own share of messages with a followed link",
)
