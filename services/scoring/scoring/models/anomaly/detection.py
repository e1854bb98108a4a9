"""Alarms at a stated rate: evidence of a change over several windows, against its own past (`thresholds`).

Each window has a threshold of its own, so that one whose evidence is off does not silence the others. The rate is that
of all customers together: those whose usage tells little have fewer alarms, false or right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.models.anomaly.baseline import WINDOWS, Groups, Judged, Usage, judged, judged_against
from scoring.models.anomaly.thresholds import Thresholds, cautious, thresholds_of
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

LEAST_PERIODS = 8
"""A customer with fewer past cycles (weeks) is not judged: what is usual of them is not known."""
LEAST_CALIBRATION = 500
"""With fewer past customer-periods judged, a bound on the model's evidence is taken."""
_FOLLOW = (1.0, 0.5, 0.0)
_COMPARED = 4
_SURELY = 2.0
"""Standard errors."""
_CALIBRATION = 12
"""Past periods judged to learn the threshold."""
DROP = 0.25
"""Drops are looked for as changes to this share of the usual; any other drop is evidence too, if less."""
SURGE = 3.0
RATE = 0.005
"""Stated share of quiet customer-periods with a false alarm, of drops and of surges each."""


@dataclass(frozen=True)
class Week:
    """What the thresholds alarm in one of the past periods they were learned from."""

    judged: int
    drops: int
    surges: int


@dataclass(frozen=True)
class Detector:
    """An alarm is evidence at or over the threshold of its window."""

    rate: float
    follow: float
    """The power of the group's standing that customers follow."""
    drop: Thresholds
    surge: Thresholds
    calibrated_on: int
    """Past customer-periods judged."""
    messages: tuple[str, ...]
    past: tuple[Week, ...] = ()
    """The periods judged, the last one last."""


@dataclass(frozen=True)
class Finding:
    """One element a customer, about the last period and the windows that end with it."""

    drop: NDArray[np.bool_]
    surge: NDArray[np.bool_]
    probability: Floats
    """Of usage so far from the usual or further, in the most telling window; 1 for who is not judged."""
    window: Ints
    """That window, in periods."""
    used: Ints
    expected: Floats
    low: Ints
    """Usual usage in the window: 90 percent of quiet times are from here to `high`."""
    high: Ints
    as_group: Floats
    """How the others of the group stand in the window; 1 as usual."""
    judged: NDArray[np.bool_]
    """False with too little history: never an alarm."""
    drop_tellable: NDArray[np.bool_]
    """False when no usage at all in one period is no alarm: who uses so little is seen to stop later, if at all."""


def train(usage: Usage, *, rate: float = RATE, least_gain: float = 0.0) -> Detector:
    """Learns the thresholds from the last periods of `usage`, each judged from what came before.

    rate: stated share of quiet customer-periods with a false alarm, of drops and of surges each. least_gain: by how
    much likelier the past of a customer-period must be (nats) for customers not to follow their group wholly: where
    all stood as usual, chance decides, and a first holiday would be everybody's drop. Raises ValueError for arrays that
    do not fit together or a rate outside (0, 0.5).
    """
    _check(usage)
    if not 0 < rate < 0.5:
        raise ValueError("rate must be between 0 and 0.5: a share of customer-periods")
    drops, surges = [], []
    periods = usage.counts.shape[1]
    ends = range(max(1, periods - _CALIBRATION + 1), periods + 1)
    follow = _followed([usage.until(end) for end in ends[-_COMPARED:]], least_gain)
    for end in ends:
        before = usage.until(end)
        windows, enough = judged(before, follow), judgeable(before)
        drops.append(_evidence(windows, DROP)[:, enough])
        surges.append(_evidence(windows, SURGE)[:, enough])
    calibrated_on = sum(each.shape[1] for each in drops)
    if calibrated_on < LEAST_CALIBRATION:
        message = (
            f"{calibrated_on} past customer-periods could be judged, {LEAST_CALIBRATION} are needed to verify the rate "
            "of false alarms: alarms are given only on evidence that keeps it whatever the counts, if the model holds"
        )
        drop = surge = cautious(rate)
        messages: tuple[str, ...] = (message,)
    else:
        drop, surge = (thresholds_of(each, rate) for each in (drops, surges))
        messages = ()
    past = tuple(_alarms(*evidence, drop, surge) for evidence in zip(drops, surges, strict=True))
    return Detector(rate, follow, drop, surge, calibrated_on, messages, past)


def judgeable(usage: Usage) -> NDArray[np.bool_]:
    """Of which customers enough is known to judge the last period."""
    # Neither the one that is judged nor the one a customer began in says what is usual.
    enough: NDArray[np.bool_] = usage.counts.shape[1] - 2 - usage.first >= LEAST_PERIODS * usage.cycle
    return enough


def detect(detector: Detector, usage: Usage) -> Finding:
    """Judges the last period of each customer."""
    _check(usage)
    return _found(detector, usage, judged(usage, detector.follow))


def detect_against(
    detector: Detector, groups: Mapping[int, Groups], usage: Usage, inside: NDArray[np.bool_]
) -> Finding:
    """As `detect`, a few customers at a time, against groups as they are known (`baseline.judged_against`)."""
    _check(usage)
    return _found(detector, usage, judged_against(groups, usage, inside, detector.follow))


def _found(detector: Detector, usage: Usage, windows: dict[int, Judged]) -> Finding:
    enough = judgeable(usage)
    drop_window, drop_over = _telling(_evidence(windows, DROP), detector.drop)
    surge_window, surge_over = _telling(_evidence(windows, SURGE), detector.surge)
    # Who did both is told what is surer.
    of_drop = drop_over >= surge_over
    window = np.where(of_drop, drop_window, surge_window)
    stopped = replace(windows[1], used=np.zeros(len(window)))

    def told(value: Callable[[Judged], Floats | Ints]) -> Floats:
        """The value of each customer's most telling window."""
        return np.choose(np.searchsorted(WINDOWS, window), [value(windows[size]) for size in WINDOWS])

    return Finding(
        drop=enough & of_drop & (drop_over >= 0),
        surge=enough & ~of_drop & (surge_over >= 0),
        probability=np.where(enough, told(Judged.tail), 1.0),
        window=window,
        used=told(lambda each: each.used).astype(np.int64),
        expected=told(lambda each: each.expected),
        low=told(lambda each: each.quantile(0.05)).astype(np.int64),
        high=told(lambda each: each.quantile(0.95)).astype(np.int64),
        as_group=told(lambda each: each.as_group),
        judged=enough,
        drop_tellable=enough & (stopped.evidence(DROP) >= detector.drop[0]),
    )


def explain(finding: Finding, period: str = "week") -> list[tuple[str, ...]]:
    """Reasons in words for each customer; period: what one is called."""
    told: list[tuple[str, ...]] = []
    for row in range(len(finding.drop)):
        if not finding.judged[row]:
            told.append((f"too little history: what is usual is told from {LEAST_PERIODS} weeks on",))
            continue
        size = int(finding.window[row])
        last = f"the last {period}" if size == 1 else f"the last {size} {period}s"
        reasons = [
            f"{finding.used[row]} in {last}, while {finding.expected[row]:.1f} are usual "
            f"({finding.low[row]} to {finding.high[row]})"
        ]
        if abs(finding.as_group[row] - 1) >= 0.1:
            reasons.append(f"the others of the group are at {100 * finding.as_group[row]:.0f} percent of their usual")
        if not finding.drop_tellable[row]:
            reasons.append(f"used too seldom for a stop to be seen within a {period}")
        told.append(tuple(reasons))
    return told


def _followed(pasts: list[Usage], least_gain: float) -> float:
    """The power of the group's standing that customers follow: 1, unless another surely made the past likelier."""
    whole, *others = (np.concatenate([_log_likelihoods(past, power) for past in pasts]) for power in _FOLLOW)
    gains = [
        float(gain.sum()) if _surely_positive(gain) and gain.mean() >= least_gain else 0.0
        for gain in (other - whole for other in others)
    ]
    return _FOLLOW[int(np.argmax([0.0, *gains]))]


def _surely_positive(gain: Floats) -> bool:
    return len(gain) > 0 and bool(gain.mean() > _SURELY * gain.std() / np.sqrt(len(gain)))


def _log_likelihoods(usage: Usage, follow: float) -> Floats:
    last = judged(usage, follow, (1,))
    return last[1].log_likelihood()[judgeable(usage)]


def _evidence(windows: dict[int, Judged], change: float) -> Floats:
    """Evidence of the change, shape (windows, customers)."""
    return np.stack([windows[size].evidence(change) for size in WINDOWS])


def _telling(evidence: Floats, thresholds: Thresholds) -> tuple[Ints, Floats]:
    """Of each customer the most telling window, and by how much its evidence is over the threshold."""
    over = evidence - np.array(thresholds)[:, None]
    at = over.argmax(axis=0)
    return np.array(WINDOWS, dtype=np.int64)[at], over[at, np.arange(over.shape[1])]


def _alarms(drops: Floats, surges: Floats, drop: Thresholds, surge: Thresholds) -> Week:
    """drops, surges: evidence of one period, shape (windows, customers)."""
    if not drops.shape[1]:
        return Week(0, 0, 0)
    (_, drop_over), (_, surge_over) = _telling(drops, drop), _telling(surges, surge)
    of_drop = drop_over >= surge_over
    dropped, surged = of_drop & (drop_over >= 0), ~of_drop & (surge_over >= 0)
    return Week(drops.shape[1], int(dropped.sum()), int(surged.sum()))


def _check(usage: Usage) -> None:
    if usage.counts.ndim != 2 or not len(usage.counts) == len(usage.first) == len(usage.group):
        raise ValueError("counts must be (customers, periods), with a first period and a group for each customer")
    if usage.counts.shape[1] < 1 or usage.cycle < 1:
        raise ValueError("there must be at least one period, and a cycle of at least one")
    if (usage.counts < 0).any():
        raise ValueError("counts must not be negative")
