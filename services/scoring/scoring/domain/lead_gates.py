"""What a model of lead conversion must show before it may score, and what becomes of it then.

All is measured on the newest leads, which the model that is tested has not seen; the points are those each lead had
when it was created. The rules look at measured figures only, so that the same figures lead to the same decision.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from scoring.domain.gates import CHALLENGER, CHAMPION, LEAST_CONSENTING, MOST_WORSE, REJECTED, Gate, Interval, Verdict

WITHIN = timedelta(days=30)
"""A lead counts as converted when it was within this time of its creation; one that is younger tells nothing yet.

Not even when it has ended: of the youngest leads only those that end fast have, and they would make conversions look
more frequent than they are.
"""
TESTED_SHARE = 0.3
"""Of the leads, the newest."""
LEAST_LEADS = 200
LEAST_TRAINING = 50
"""Converted ones to learn from, and others."""
LEAST_TESTED = 20
"""Converted ones to be tested on, and others."""
MOST_MISCALIBRATION = 0.08
"""Expected calibration error beyond what chance alone gives. What is tested has learned from half as many leads as what
then scores, and is a little surer of itself."""


@dataclass(frozen=True)
class Known:
    """How much there is to learn from and to be tested on."""

    leads: int
    train_conversions: int
    train_others: int
    test_conversions: int
    test_others: int


@dataclass(frozen=True)
class Trial:
    """How a candidate did on the leads it is tested on; intervals are those of paired tests, of 95 percent."""

    auc: float
    points_auc: float
    against_points: Interval
    """Its AUC less that of the points (DeLong)."""
    against_base_rate: Interval
    """Its log loss less that of the share of all, as a share of the latter."""
    against_champion: Interval | None
    """The same against the champion, on leads it has not learned from; None without one, or with too few of them."""
    new_conversions: int
    """Of the leads that the champion has not learned from."""
    new_others: int
    calibration_error: float
    chance: float
    """The calibration error that a perfect model would stay below in 95 of 100 cases."""


def converted(create_time: datetime, convert_time: datetime | None) -> bool:
    """Whether a lead counts as converted."""
    return convert_time is not None and convert_time <= create_time + WITHIN


def known(data: Known) -> Gate:
    """Whether there is enough to learn from; says what is missing."""
    wanted = (
        ("leads older than 30 days", data.leads, LEAST_LEADS),
        ("converted leads to learn from", data.train_conversions, LEAST_TRAINING),
        ("leads to learn from that were not converted", data.train_others, LEAST_TRAINING),
        ("converted leads to be tested on", data.test_conversions, LEAST_TESTED),
        ("leads to be tested on that were not converted", data.test_others, LEAST_TESTED),
    )
    missing = [(what, there, least) for what, there, least in wanted if there < least]
    if not missing:
        message = (
            f"learned from {data.train_conversions + data.train_others} leads with {data.train_conversions} "
            f"conversions, tested on {data.test_conversions + data.test_others} newer ones with {data.test_conversions}"
        )
        return Gate("minimum_data", True, data.leads, LEAST_LEADS, message)
    told = "; ".join(f"{there} {what}, at least {least} are needed" for what, there, least in missing)
    _, there, least = missing[0]
    return Gate("minimum_data", False, there, least, f"there are {told}")


def judge(data: Known, trial: Trial | None, consenting: float, champion: str) -> Verdict:
    """Decides on a candidate. `champion` names the model that scores now, empty when none does.

    One that fails nothing is CHAMPION, one that fails only for want of proof against the champion CHALLENGER, others
    are REJECTED: then the champion goes on, or without one the points stand.
    """
    gates = [known(data), _consenting(consenting)]
    if trial is None or not gates[0].passed:
        return Verdict(REJECTED, tuple(gates))
    gates += [_base_rate(trial.against_base_rate), _points(trial), _calibration(trial)]
    undecided = False
    if champion:
        gates.append(_champion(trial, champion))
        found = trial.against_champion
        undecided = found is None or found.low <= 0 < found.high - MOST_WORSE
    failed = [gate.name for gate in gates if not gate.passed]
    if not failed:
        return Verdict(CHAMPION, tuple(gates))
    return Verdict(CHALLENGER if failed == ["champion"] and undecided else REJECTED, tuple(gates))


def _consenting(share: float) -> Gate:
    message = f"{share:.0%} of the leads may be learned from; at least {LEAST_CONSENTING:.0%} must"
    return Gate("consenting_share", share >= LEAST_CONSENTING, share, LEAST_CONSENTING, message)


def _base_rate(found: Interval) -> Gate:
    message = (
        f"its log loss is {_percents(found)} against telling the same of every lead; it must be smaller beyond chance"
    )
    return Gate("baseline", found.high < 0, found.value, 0.0, message)


def _points(trial: Trial) -> Gate:
    found = trial.against_points
    message = (
        f"it ranks leads with an AUC of {trial.auc:.3f}, the points with {trial.points_auc:.3f}: "
        f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f}); it must be better beyond chance"
    )
    return Gate("points", found.low > 0, found.value, 0.0, message)


def _calibration(trial: Trial) -> Gate:
    bound = trial.chance + MOST_MISCALIBRATION
    message = (
        f"predicted and real shares are {trial.calibration_error:.1%} apart; at most {bound:.1%} may be, "
        f"of which {trial.chance:.1%} are chance"
    )
    return Gate("calibration", trial.calibration_error <= bound, trial.calibration_error, bound, message)


def comparable(new_conversions: int, new_others: int) -> bool:
    """Whether enough leads have ended that the champion has not learned from."""
    return min(new_conversions, new_others) >= LEAST_TESTED


def _champion(trial: Trial, name: str) -> Gate:
    found = trial.against_champion
    if found is None:
        message = (
            f"of the leads that the champion {name} has not learned from {trial.new_conversions} were converted and "
            f"{trial.new_others} not; at least {LEAST_TESTED} of each are needed to compare"
        )
        return Gate("champion", False, min(trial.new_conversions, trial.new_others), LEAST_TESTED, message)
    message = (
        f"its log loss is {_percents(found)} against that of the champion {name} on the leads neither has learned "
        f"from; the upper end may be at most {MOST_WORSE:+.0%}"
    )
    return Gate("champion", found.high <= MOST_WORSE, found.value, MOST_WORSE, message)


def _percents(found: Interval) -> str:
    return f"{found.value:+.1%} ({found.low:+.1%} to {found.high:+.1%})"
