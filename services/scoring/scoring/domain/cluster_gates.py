"""What clusters must show before customers are told theirs; until then these are in the groups of recency, frequency
and monetary value.

The rules look at measured figures only, so that the same figures always lead to the same decision.
"""

from dataclasses import dataclass

from scoring.domain.gates import CHAMPION, REJECTED, Gate, Verdict, consenting_share

LEAST_CUSTOMERS = 200
"""Fewer do not form groups."""
LEAST_STRENGTH = 0.8
"""Prediction strength: of two customers in one cluster, how often clusters of others keep them together, too."""
FEATURES = {
    "days_since_last_purchase": 1,
    "purchase_days_365d": 1,
    "revenue_365d": 1,
    "mean_order_value_365d": 1,
    "days_since_first_purchase": 1,
}
"""What clusters are made of, with the versions of their definitions (`features.declared`), in the order of
`models.clustering.CUSTOMER_FEATURES`."""


@dataclass(frozen=True)
class Trial:
    """What was found. strength: None where there were too few customers to look for groups."""

    customers: int
    clusters: int
    strength: float | None


def judge(trial: Trial, consenting: float) -> Verdict:
    """CHAMPION when all gates are passed, else REJECTED."""
    gates = [_minimum_data(trial), consenting_share(consenting)]
    if trial.strength is not None:
        gates.append(_stability(trial, trial.strength))
    return Verdict(CHAMPION if all(gate.passed for gate in gates) else REJECTED, tuple(gates))


def _minimum_data(trial: Trial) -> Gate:
    enough = trial.customers >= LEAST_CUSTOMERS and trial.strength is not None
    alike = " and they are too much alike" if trial.customers >= LEAST_CUSTOMERS and not enough else ""
    message = (
        f"{trial.customers} customers bought within a year and may be profiled{alike}; at least {LEAST_CUSTOMERS} "
        "different ones form groups"
    )
    return Gate("minimum_data", enough, trial.customers, LEAST_CUSTOMERS, message)


def _stability(trial: Trial, strength: float) -> Gate:
    found = f"{trial.clusters} clusters are" if trial.clusters > 1 else "no division is"
    message = (
        f"{found} found again in the other half of the customers: of two customers of one cluster {strength:.0%} are "
        f"kept together there, in the worst cluster; at least {LEAST_STRENGTH:.0%} must be"
    )
    return Gate("stability", trial.clusters > 1 and strength >= LEAST_STRENGTH, strength, LEAST_STRENGTH, message)
