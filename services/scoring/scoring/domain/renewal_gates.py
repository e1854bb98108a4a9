"""What a model of renewals must show before customers are told by it; until then one rate for all stands in.

The rules look at measured figures only, so that the same figures always lead to the same decision.
"""

from dataclasses import dataclass

from scoring.domain.gates import CHAMPION, REJECTED, Gate, Interval, Verdict, consenting_share

LEAST_LOSSES = 30
"""Contracts that were not renewed: fewer do not tell new ones from old ones (as `models.sbg`)."""
LEAST_TESTED, LEAST_TESTED_LOSSES = 100, 10
"""Renewals that came due in the last period, and how many of them did not come."""
MOST_MISCALIBRATION = 0.25
"""Distance of told and real losses of the last period, as a share of the real ones, beyond chance."""


@dataclass(frozen=True)
class Trial:
    """How a model did on the renewals of the last period, none of which it was fitted to; log losses in nats."""

    losses: int
    """That all are learned from, of the periods that have most."""
    tested: int
    """Renewals that came due."""
    tested_losses: int
    expected_losses: float
    chance: float
    """By how much told and real losses differ by chance, as a share of the real ones: two standard deviations."""
    loss: float
    usual_loss: float
    """Of one rate for all contracts of a period, on the same renewals."""
    better: Interval
    """By how much its loss is less than that: 95 percent interval, customers being drawn, not renewals."""

    @property
    def enough(self) -> bool:
        """Whether there is enough to hold a model to."""
        return self.losses >= LEAST_LOSSES and self.tested >= LEAST_TESTED and self.tested_losses >= LEAST_TESTED_LOSSES


def judge(trial: Trial, consenting: float | None) -> Verdict:
    """CHAMPION when all gates are passed, else REJECTED."""
    gates = [_minimum_data(trial), consenting_share(consenting)]
    if trial.enough:
        gates += [_baseline(trial), _calibration(trial)]
    return Verdict(CHAMPION if all(gate.passed for gate in gates) else REJECTED, tuple(gates))


def _minimum_data(trial: Trial) -> Gate:
    figures = (
        (trial.losses, LEAST_LOSSES),
        (trial.tested, LEAST_TESTED),
        (trial.tested_losses, LEAST_TESTED_LOSSES),
    )
    value, bound = next((figure for figure in figures if figure[0] < figure[1]), figures[0])
    message = (
        f"{trial.losses} contracts were not renewed, of {trial.tested} renewals of the last period "
        f"{trial.tested_losses} did not come; at least {LEAST_LOSSES} of the former, and {LEAST_TESTED} renewals with "
        f"{LEAST_TESTED_LOSSES} that did not come, are needed"
    )
    return Gate("minimum_data", trial.enough, value, bound, message)


def _baseline(trial: Trial) -> Gate:
    better = trial.better
    message = (
        f"its log loss of the renewals of the last period is {trial.loss:.3f}, that of one rate for all "
        f"{trial.usual_loss:.3f}: better by {better.value:+.4f} ({better.low:+.4f} to {better.high:+.4f}); "
        "it must be better beyond chance"
    )
    return Gate("baseline", better.low > 0, better.value, 0.0, message)


def _calibration(trial: Trial) -> Gate:
    apart = abs(trial.expected_losses - trial.tested_losses) / max(trial.tested_losses, 1)
    bound = MOST_MISCALIBRATION + trial.chance
    message = (
        f"it told {trial.expected_losses:.0f} losses of the last period and {trial.tested_losses} came: {apart:.0%} "
        f"apart; at most {bound:.0%} may be, of which {trial.chance:.0%} are chance"
    )
    return Gate("calibration", apart <= bound, apart, bound, message)
