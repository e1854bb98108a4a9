"""What a model of offers must show before it tells what customers are offered; until then that is what is popular.

The rules look at measured figures only, so that the same figures always lead to the same decision.
"""

from dataclasses import dataclass

from scoring.domain.gates import CHAMPION, REJECTED, Gate, Interval, Verdict, consenting_share

TOP = 10
"""An offer is a hit when the customer then bought one of so many items, the best of all they had not bought before."""
LEAST_LEARNED = 50
"""Customers with two different items, to learn from what goes together."""
LEAST_TESTED = 30
"""Customers who later bought something that was new to them."""


@dataclass(frozen=True)
class Trial:
    """How a model did on what was bought after all it was fitted to. Shares of customers, intervals of 95 percent."""

    learned: int
    """Customers with two different items before."""
    tested: int
    """Customers who then bought something new to them, of those known before."""
    days: int
    """How long after was looked at."""
    hits: Interval
    popular_hits: float
    """Of what is popular, on the same customers."""
    better: Interval
    """By how much hits are more than these."""


def judge(trial: Trial, consenting: float | None) -> Verdict:
    """CHAMPION when all gates are passed, else REJECTED: then what is popular is offered."""
    gates = [_minimum_data(trial), consenting_share(consenting)]
    if gates[0].passed:
        gates.append(_baseline(trial))
    return Verdict(CHAMPION if all(gate.passed for gate in gates) else REJECTED, tuple(gates))


def _minimum_data(trial: Trial) -> Gate:
    enough = trial.learned >= LEAST_LEARNED and trial.tested >= LEAST_TESTED
    message = (
        f"learned from {trial.learned} customers with two different products, tested on {trial.tested} who bought "
        f"something new within {trial.days} days; at least {LEAST_LEARNED} and {LEAST_TESTED} are needed"
    )
    short = trial.learned < LEAST_LEARNED
    value, bound = (trial.learned, LEAST_LEARNED) if short else (trial.tested, LEAST_TESTED)
    return Gate("minimum_data", enough, value, bound, message)


def _baseline(trial: Trial) -> Gate:
    better = trial.better
    message = (
        f"one of the {TOP} products it offers is bought by {trial.hits.value:.1%} ({trial.hits.low:.1%} to "
        f"{trial.hits.high:.1%}) of the customers, of the {TOP} most popular ones by {trial.popular_hits:.1%}: "
        f"{better.value:+.1%} ({better.low:+.1%} to {better.high:+.1%}); it must be more beyond chance"
    )
    return Gate("baseline", better.low > 0, better.value, 0.0, message)
