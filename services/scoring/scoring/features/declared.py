"""The features: what each means, what it is made of, and who answers for it. Both computations follow this table.

`features.row` computes them of one customer from the events of its profile, `features.table` of many from columns.
Rules that hold for all of them:

- As of an instant, only events before it count: by their own time, however late they came. A window of n days is n
  times 24 hours that end at the instant (which is not in it), so that time zones do not come in; days are those of UTC.
- Nothing older than `LONGEST` counts in anything.
- An event counts once by its source and message id.
- A link that is followed within `PROGRAMS_FOLLOW` after a message to the customer counts in nothing: programs that look
  for harmful pages follow all links of a message when it comes.
- Money is in minor units of the tenant's main currency. A refund is known from its own time on and reduces what is left
  of its order's purchases, oldest first, never below 0; one whose order has no purchase within `LONGEST` reduces
  nothing. A purchase with a negative amount is a refund.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from scoring.domain.happenings import MESSAGE_CLICKED, MESSAGE_SENT
from scoring.domain.purchases import ORDER_COMPLETED

ORDER_REFUNDED = "Order Refunded"
PURCHASE, REFUND, OTHER, SENT, CLICKED = range(5)
KINDS = (PURCHASE, REFUND, OTHER, SENT, CLICKED)
"""Codes of what an event is; see `kind_of`."""
DONE = (PURCHASE, REFUND, OTHER, CLICKED)
"""What customers do; a message is sent to them."""
PROGRAMS_FOLLOW = timedelta(seconds=30)
LONGEST = timedelta(days=365)
"""No window is longer: profiles keep the events of `domain.happenings.KEPT_DAYS`."""


def kind_of(event: str, *, has_amount: bool) -> int:
    """What an event is by its name: `Order Completed` and `Order Refunded` of Segment's commerce specification;
    messages of campaigns, and followed links in them.
    """
    if not has_amount:
        return {MESSAGE_SENT: SENT, MESSAGE_CLICKED: CLICKED}.get(event, OTHER)
    return {ORDER_COMPLETED: PURCHASE, ORDER_REFUNDED: REFUND}.get(event, OTHER)


class Value(StrEnum):
    """What a feature's value is."""

    COUNT = "count"
    MONEY = "money"
    """Minor units of the tenant's main currency."""
    DAYS = "days"
    RATIO = "ratio"


class Aggregation(StrEnum):
    """How a feature is made of the events of its kinds within its window."""

    COUNT = "count"
    """How many there are."""
    REVENUE = "revenue"
    """What is left of the purchases after refunds."""
    MEAN_VALUE = "mean value"
    """What is left of a purchase on average; those refunded in full do not come in. None without any."""
    REFUNDED_SHARE = "refunded share"
    """The part of what was paid that was refunded, 0 to 1. None when nothing was paid."""
    DAYS_SINCE_LAST = "days since the last"
    """24 hours each, with fractions. None without any."""
    DAYS_SINCE_FIRST = "days since the first"
    """24 hours each, with fractions. None without any."""
    DISTINCT_DAYS = "distinct days"
    """UTC days with at least one."""
    MEAN_GAP = "mean gap"
    """Days from one distinct day to the next, on average. None with fewer than two."""
    LAST_GAP = "last gap"
    """Days between the last two distinct days. None with fewer than two."""
    LATENESS = "lateness"
    """Days since the last over the mean gap: from 1 on one is overdue. None with fewer than two distinct days."""
    RATE_RATIO = "rate ratio"
    """Events a day in the `recent` part of the window over those before it. None when there were none before."""
    KIND_RATIO = "kind ratio"
    """Events of the first kind over those of the second. None without any of the second."""


@dataclass(frozen=True)
class Feature:
    """One feature. Where it has no value it is NaN."""

    name: str
    value: Value
    window: timedelta
    """At most `LONGEST`."""
    kinds: tuple[int, ...]
    """Which events it is made of."""
    aggregation: Aggregation
    documentation: str
    recent: timedelta | None = None
    """The newest part of the window, for RATE_RATIO."""
    owner: str = "scoring"
    """Who answers for its meaning."""
    personal: bool = True
    """Whether it tells something about an identifiable person; such values go where the person's data go."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the events it is made of; `*` for all others."""
        return tuple(_SOURCES[kind] for kind in self.kinds)


_SOURCES = {
    PURCHASE: ORDER_COMPLETED,
    REFUND: ORDER_REFUNDED,
    OTHER: "*",
    SENT: MESSAGE_SENT,
    CLICKED: MESSAGE_CLICKED,
}


def _days(number: int) -> timedelta:
    return timedelta(days=number)


_BOUGHT, _REFUNDED = (PURCHASE,), (REFUND,)
_MONEY_KINDS = (PURCHASE, REFUND)
_YEAR = LONGEST

FEATURES: tuple[Feature, ...] = (
    *(
        Feature(
            f"purchases_{days}d",
            Value.COUNT,
            _days(days),
            _BOUGHT,
            Aggregation.COUNT,
            f"Purchases of the last {days} days, refunded or not.",
        )
        for days in (30, 90, 180, 365)
    ),
    *(
        Feature(
            f"revenue_{days}d",
            Value.MONEY,
            _days(days),
            _MONEY_KINDS,
            Aggregation.REVENUE,
            f"What the purchases of the last {days} days brought after refunds.",
        )
        for days in (30, 90, 180, 365)
    ),
    Feature(
        "mean_order_value_365d",
        Value.MONEY,
        _YEAR,
        _MONEY_KINDS,
        Aggregation.MEAN_VALUE,
        "What a purchase of the last 365 days that was not refunded in full brought on average.",
    ),
    Feature(
        "refunds_365d", Value.COUNT, _YEAR, _REFUNDED, Aggregation.COUNT, "Refunds of the last 365 days, whole or part."
    ),
    Feature(
        "refunded_share_365d",
        Value.RATIO,
        _YEAR,
        _MONEY_KINDS,
        Aggregation.REFUNDED_SHARE,
        "The part of what was paid in the last 365 days that was refunded.",
    ),
    Feature(
        "days_since_last_purchase",
        Value.DAYS,
        _YEAR,
        _BOUGHT,
        Aggregation.DAYS_SINCE_LAST,
        "Days since the last purchase, if there was one in the last 365 days.",
    ),
    Feature(
        "days_since_first_purchase",
        Value.DAYS,
        _YEAR,
        _BOUGHT,
        Aggregation.DAYS_SINCE_FIRST,
        "Days since the first purchase of the last 365 days.",
    ),
    Feature(
        "purchase_days_365d",
        Value.COUNT,
        _YEAR,
        _BOUGHT,
        Aggregation.DISTINCT_DAYS,
        "Days of the last 365 with a purchase.",
    ),
    Feature(
        "mean_purchase_gap",
        Value.DAYS,
        _YEAR,
        _BOUGHT,
        Aggregation.MEAN_GAP,
        "Days from one purchase day to the next, on average over the last 365 days.",
    ),
    Feature(
        "last_purchase_gap",
        Value.DAYS,
        _YEAR,
        _BOUGHT,
        Aggregation.LAST_GAP,
        "Days between the last two purchase days of the last 365 days.",
    ),
    Feature(
        "purchase_lateness",
        Value.RATIO,
        _YEAR,
        _BOUGHT,
        Aggregation.LATENESS,
        "Days since the last purchase over the mean gap between purchase days.",
    ),
    Feature(
        "purchase_rate_ratio",
        Value.RATIO,
        _YEAR,
        _BOUGHT,
        Aggregation.RATE_RATIO,
        "Purchases a day in the last 90 days over those in the 275 days before.",
        recent=_days(90),
    ),
    *(
        Feature(
            f"active_days_{days}d",
            Value.COUNT,
            _days(days),
            DONE,
            Aggregation.DISTINCT_DAYS,
            f"Days of the last {days} with an event of any kind but messages sent to the customer.",
        )
        for days in (30, 90)
    ),
    *(
        Feature(
            f"events_{days}d",
            Value.COUNT,
            _days(days),
            DONE,
            Aggregation.COUNT,
            f"Events of any kind but messages sent to the customer in the last {days} days.",
        )
        for days in (30, 90)
    ),
    Feature(
        "days_since_last_event",
        Value.DAYS,
        _YEAR,
        DONE,
        Aggregation.DAYS_SINCE_LAST,
        "Days since the last event of any kind but messages sent to the customer, if one was in the last 365 days.",
    ),
    Feature(
        "activity_rate_ratio",
        Value.RATIO,
        _days(90),
        DONE,
        Aggregation.RATE_RATIO,
        "Events a day but messages sent to the customer in the last 30 days over those in the 60 days before.",
        recent=_days(30),
    ),
    Feature(
        "messages_sent_90d",
        Value.COUNT,
        _days(90),
        (SENT,),
        Aggregation.COUNT,
        "Messages that were sent to the customer in the last 90 days.",
    ),
    Feature(
        "message_clicks_90d",
        Value.COUNT,
        _days(90),
        (CLICKED,),
        Aggregation.COUNT,
        "Links in messages that the customer followed in the last 90 days.",
    ),
    Feature(
        "clicks_per_message_90d",
        Value.RATIO,
        _days(90),
        (CLICKED, SENT),
        Aggregation.KIND_RATIO,
        "Links that the customer followed in the last 90 days for each message sent to them.",
    ),
    Feature(
        "days_since_last_click",
        Value.DAYS,
        _days(180),
        (CLICKED,),
        Aggregation.DAYS_SINCE_LAST,
        "Days since a link in a message was last followed, if one was in the last 180 days.",
    ),
)
"""All features, in the order of their columns."""

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
