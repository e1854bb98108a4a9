"""What counts as being active, and what a model of send times must show before it tells customers apart.

The rules look at measured figures only, so that the same figures always lead to the same decision.
"""

from dataclasses import dataclass
from datetime import timedelta

from scoring.domain.gates import CHAMPION, REJECTED, Gate, Interval, Verdict, consenting_share
from scoring.domain.happenings import MESSAGE_SENT

WITHIN = timedelta(days=365)
"""What customers did within this time before an instant counts."""
TESTED_DAYS = 90
"""The latest days, a quarter of all where that is less, test what was learned before them."""
LEAST_LEARNED = 500
LEAST_DAYS = 28
"""Of active hours before those that test: fewer, or of fewer days, tell neither habits nor what is usual."""
LEAST_TESTED = 30
"""Customers who were active before and in the days that test."""
OF_SYSTEMS = frozenset(
    {
        *("Order Updated", "Order Refunded", "Order Cancelled", "Order Shipped", "Order Delivered"),
        *("Email Delivered", "Email Bounced", "Email Opened", "Email Marked as Spam"),
        MESSAGE_SENT,
    }
)
"""Events that systems make, not the customer (names of Segment's commerce and e-mail specifications).

Mail programs load pictures by themselves, which counts as opening, and filters mark as spam what nobody has seen.
"""


@dataclass(frozen=True)
class Trial:
    """How a model did on active hours after all it learned from; log losses over the hours of the week, in nats."""

    learned: int
    """Active hours before."""
    learned_days: int
    tested: int
    """Customers who were active before and then."""
    days: int
    loss: float
    usual_loss: float
    """Of one histogram for all, on the same hours."""
    better: Interval
    """By how much its loss is less than that: 95 percent interval, customers being drawn, not hours."""

    @property
    def enough(self) -> bool:
        """Whether there is enough to tell anything from."""
        return self.learned >= LEAST_LEARNED and self.learned_days >= LEAST_DAYS and self.tested >= LEAST_TESTED


def judge(trial: Trial, consenting: float | None) -> Verdict:
    """CHAMPION when all gates are passed, else REJECTED: then all are told the hours of all, given enough data."""
    gates = [_minimum_data(trial), consenting_share(consenting)]
    if trial.enough:
        gates.append(_baseline(trial))
    return Verdict(CHAMPION if all(gate.passed for gate in gates) else REJECTED, tuple(gates))


def _minimum_data(trial: Trial) -> Gate:
    message = (
        f"learned from {trial.learned} active hours of {trial.learned_days} days, tested on {trial.tested} customers "
        f"in {trial.days} days; at least {LEAST_LEARNED} hours of {LEAST_DAYS} days, and {LEAST_TESTED} customers, "
        "are needed"
    )
    figures = (
        (trial.learned, LEAST_LEARNED),
        (trial.learned_days, LEAST_DAYS),
        (trial.tested, LEAST_TESTED),
    )
    value, bound = next((figure for figure in figures if figure[0] < figure[1]), figures[0])
    return Gate("minimum_data", trial.enough, value, bound, message)


def _baseline(trial: Trial) -> Gate:
    better = trial.better
    message = (
        f"its log loss of the hours of the week is {trial.loss:.3f}, that of one histogram for all "
        f"{trial.usual_loss:.3f}: better by {better.value:+.3f} ({better.low:+.3f} to {better.high:+.3f}); "
        "it must be better beyond chance"
    )
    return Gate("baseline", better.low > 0, better.value, 0.0, message)
