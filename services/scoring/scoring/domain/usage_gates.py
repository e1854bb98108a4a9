"""What counts as use, and what there must be before alarms go by calibrated thresholds.

The rules look at measured figures only, so that the same figures always lead to the same decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scoring.domain.conditions import DROP, SURGE
from scoring.domain.gates import CHAMPION, REJECTED, Gate, Verdict, consenting_share
from scoring.domain.happenings import MESSAGE_CLICKED
from scoring.domain.purchases import ORDER_COMPLETED, ORDER_REFUNDED
from scoring.domain.send_time_gates import OF_SYSTEMS
from scoring.domain.subscriptions import SUBSCRIPTION_EVENTS

ANOMALIES = (DROP, SURGE)
NO_USE = OF_SYSTEMS | {MESSAGE_CLICKED, "Email Link Clicked", "Unsubscribed", ORDER_COMPLETED, *SUBSCRIPTION_EVENTS}
"""Events that are no use, unless a job names them: what systems do, what answers a message, purchases and contracts."""
OF_ORDERS = (ORDER_COMPLETED, ORDER_REFUNDED)
"""Events that are in files of purchases if they have an amount."""
EVENTS_MOST = 20
"""Names of events that a job may count alone."""
EVENT_MAX = 64
"""Characters of one; as long as files keep them (`store.activity`)."""
LEAST_CUSTOMERS = 50
"""Of so many usage must be judged: fewer do not say how all stand."""


@dataclass(frozen=True)
class Trial:
    """What there was to learn from."""

    judged: int
    """Customers whose last week was."""
    calibrated_on: int
    """Past weeks of customers that thresholds were learned from."""
    needed: int
    """Of these, to verify the stated rate."""


def judge(trial: Trial, consenting: float | None) -> Verdict:
    """CHAMPION when all gates are passed, else REJECTED: then cautious thresholds stand in, if anybody is judged."""
    gates = (_minimum_data(trial), consenting_share(consenting), _stated_rate(trial))
    return Verdict(CHAMPION if all(gate.passed for gate in gates) else REJECTED, gates)


def problem_of_events(names: Sequence[str]) -> str | None:
    """What is wrong with the names of events that are to count as use; none is right: all count then."""
    if len(names) > EVENTS_MOST:
        return f"Name up to {EVENTS_MOST} events; without any all that a customer does counts."
    if any(not name.strip() or len(name) > EVENT_MAX for name in names):
        return f"Name each event with 1 to {EVENT_MAX} characters."
    return "The same event comes twice: name each once." if len(set(names)) < len(names) else None


def _minimum_data(trial: Trial) -> Gate:
    message = (
        f"usage of {trial.judged} customers can be judged, who used something in eight weeks and more; at least "
        f"{LEAST_CUSTOMERS} are needed"
    )
    return Gate("minimum_data", trial.judged >= LEAST_CUSTOMERS, trial.judged, LEAST_CUSTOMERS, message)


def _stated_rate(trial: Trial) -> Gate:
    message = (
        f"{trial.calibrated_on} past weeks of customers could be judged to verify the rate of false alarms; at least "
        f"{trial.needed} are needed"
    )
    return Gate("stated_rate", trial.calibrated_on >= trial.needed, trial.calibrated_on, trial.needed, message)
