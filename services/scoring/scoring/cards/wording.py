"""What a card calls things, by the kind of the model."""

from dataclasses import dataclass

NEXT_OFFER, USAGE = "NEXT_OFFER", "USAGE"
KINDS = {
    "LIFETIME_VALUE": "Lifetime value",
    "CHURN": "Churn",
    "LEAD_CONVERSION": "Lead conversion",
    "RESPONSE": "Response",
    "NEXT_OFFER": "Next offer",
    "SEND_TIME": "Send time",
    "CLUSTERS": "Clusters",
    "USAGE": "Usage",
    "RENEWAL": "Renewals",
}
TELLS = {
    "LIFETIME_VALUE": "purchases to come of each customer and what they are worth",
    "CHURN": "how likely it is that a customer stops buying, or ends a contract",
    "LEAD_CONVERSION": "how likely it is that a lead is converted within 30 days of its creation",
    "RESPONSE": "how likely it is that a customer responds to messages within 14 days",
    "NEXT_OFFER": "which product a customer will buy next",
    "SEND_TIME": "when in the week a customer is active",
    "CLUSTERS": "which group of customers who are alike each is in",
    "USAGE": "whether a customer uses as much as is usual of this customer",
    "RENEWAL": "how likely it is that a customer renews a contract",
}
STATES = {
    "CANDIDATE": "not judged yet",
    "CHAMPION": "champion: scores come from it",
    "CHALLENGER": "challenger: measured beside the champion",
    "RETIRED": "retired: another model took its place",
    "REJECTED": "rejected: it did not pass its gates",
    "ROLLED_BACK": "rolled back",
}


@dataclass(frozen=True)
class Words:
    """What a card calls the rows a model was tested on, what happened to them, and the first of them by score."""

    rows: str
    events: str
    first: str


WORDS = {
    "LIFETIME_VALUE": Words("customers", "purchases", "most promising"),
    "CHURN": Words("customers", "departures", "most at risk"),
    "LEAD_CONVERSION": Words("leads", "conversions", "most promising"),
    "RESPONSE": Words("customers", "responses", "most promising"),
    "NEXT_OFFER": Words("customers", "purchases", "most promising"),
    "SEND_TIME": Words("customers", "active hours", "most active"),
    "CLUSTERS": Words("customers", "purchases", "most promising"),
    "USAGE": Words("customers", "events", "most unusual"),
    "RENEWAL": Words("contracts", "renewals", "most loyal"),
}

PARTS = {
    "LIFETIME_VALUE": ("purchases", "spend"),
    "CHURN": ("churn",),
    "LEAD_CONVERSION": ("lead_conversion",),
    "RESPONSE": ("response",),
    "NEXT_OFFER": ("offers",),
    "SEND_TIME": ("send_time",),
    "CLUSTERS": ("clusters",),
    "USAGE": ("usage",),
    "RENEWAL": ("renewals",),
}
"""Parts of a model's parameters."""

OFFERED = Words("offers", "purchases", "most probable")
"""Of the tenths of a model of offers: each customer has ten of them."""
