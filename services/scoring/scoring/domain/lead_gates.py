"""When a lead counts as converted, which leads test a model, and what gates (`propensity_gates`) call them."""

from datetime import datetime, timedelta

from scoring.domain.propensity_gates import Words

WITHIN = timedelta(days=30)
"""A lead counts as converted when it was within this time of its creation; one that is younger tells nothing yet.

Not even when it has ended: of the youngest leads only those that end fast have, and they would make conversions look
more frequent than they are.
"""
TESTED_SHARE = 0.3
"""Of the leads, the newest."""
WORDS = Words(
    rows="leads",
    mature="leads older than 30 days",
    events="converted leads",
    others="leads that were not converted",
    counted="conversions",
    happened="were converted",
    rival="points",
    rival_words="the points",
)


def converted(create_time: datetime, convert_time: datetime | None) -> bool:
    """Whether a lead counts as converted."""
    return convert_time is not None and convert_time <= create_time + WITHIN
