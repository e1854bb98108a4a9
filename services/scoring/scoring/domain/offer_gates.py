"""What a model of offers must show before it tells what customers are offered, and what becomes of it then.

Until one has, customers are offered what is popular. The rules look at measured figures only, so that the same figures
always lead to the same decision. Shares of customers come with intervals of 95 percent.
"""

from dataclasses import dataclass

from scoring.domain.gates import (
    CHALLENGER,
    CHAMPION,
    MOST_DEGRADED,
    MOST_MISCALIBRATION,
    REJECTED,
    Gate,
    Interval,
    Verdict,
    consenting_share,
)

FEATURES = {"products_bought": 1, "days_since_bought": 1, "product": 1}
"""What models look at, with the versions of their definitions: those of before `product` were not kept whole."""
TOP = 10
"""An offer is a hit when the customer then bought one of so many items, the best of all they had not bought before."""
LEAST_LEARNED = 50
"""Customers with two different items, to learn from what goes together."""
LEAST_TESTED = 30
"""Customers who later bought something that was new to them."""


@dataclass(frozen=True)
class Beside:
    """How a candidate did beside the champion, on what was bought after all that either had learned from."""

    champion: str
    tested: int
    """Customers who then bought something new to them."""
    days: int
    """How long was looked at; 0 where the champion has learned from all there is."""
    hits: Interval
    champions: Interval
    better: Interval
    """By how much the candidate's hits are more, paired."""
    knows_more: bool = False
    """Whether the champion has learned from purchases of after the job's instant."""
    handicapped: bool = False
    """Whether what was tested had learned from older purchases than the champion: doing worse proves nothing."""


@dataclass(frozen=True)
class Trial:
    """How a model did on what was bought after all it was fitted to."""

    learned: int
    """Customers with two different items before."""
    tested: int
    """Customers who then bought something new to them, of those known before."""
    days: int
    """How long after was looked at."""
    hits: Interval
    popular: Interval
    """Of what is popular, on the same customers."""
    better: Interval
    """By how much hits are more than these."""
    miscalibration: float | None
    """Distance of told and real purchases by tenths of the offers, as a share of real ones; None where none is told."""
    chance: float
    """The distance to be expected of a perfect model."""
    beside: Beside | None = None
    """None without a champion that offers more than what is popular."""


def judge(trial: Trial, consenting: float | None) -> Verdict:
    """CHAMPION when all gates are passed; CHALLENGER when only proof against the champion is wanting; else REJECTED.

    Then the champion goes on, or without one what is popular is offered.
    """
    gates = [_minimum_data(trial), consenting_share(consenting)]
    undecided = False
    if gates[0].passed:
        gates += [_baseline(trial), _calibration(trial)]
        if trial.beside is not None:
            gate, undecided = _champion(trial.beside)
            gates.append(gate)
    failed = [gate.name for gate in gates if not gate.passed]
    if not failed:
        return Verdict(CHAMPION, tuple(gates))
    return Verdict(CHALLENGER if failed == ["champion"] and undecided else REJECTED, tuple(gates))


def calibrated(trial: Trial) -> bool:
    """Whether probabilities may be told. Who buys is one thing, how many do in a season another: a model that ranks
    well may offer without them.
    """
    return trial.miscalibration is not None and trial.miscalibration <= MOST_MISCALIBRATION + trial.chance


def degraded(hits: Interval, promised: float) -> bool:
    """Whether a model is bought from less than it promised, beyond chance and the bound."""
    return hits.high < promised * (1 - MOST_DEGRADED)


def roll_back(hits: Interval, promised: float, previous: float | None) -> tuple[bool, str]:
    """Whether a champion with such hits goes, and why or why not, in words.

    `previous` is the hit rate of the model before it on the same customers and days; None when there is none.
    """
    told = f"one of the {TOP} products it ranked first was bought by {_percents(hits)}; it promised {promised:.1%}"
    if not degraded(hits, promised):
        return False, told
    if previous is None:
        return False, f"{told}, and no earlier model is there to come back"
    if previous <= hits.value:
        return False, f"{told}, and the model before it would have done no better ({previous:.1%})"
    return True, f"{told}; the model before it has {previous:.1%}"


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
    message = (
        f"one of the {TOP} products it offers is bought by {_percents(trial.hits)} of the customers, of the {TOP} most "
        f"popular ones by {_percents(trial.popular)}: {_more(trial.better)}; it must be more beyond chance"
    )
    return Gate("baseline", trial.better.low > 0, trial.better.value, 0.0, message)


def _calibration(trial: Trial) -> Gate:
    bound = MOST_MISCALIBRATION + trial.chance
    if trial.miscalibration is None:
        return Gate("calibration", True, 0.0, bound, "it tells no probabilities: offers have scores only")
    message = (
        f"in tenths of the offers, told and real purchases are {trial.miscalibration:.0%} apart; at most {bound:.0%} "
        f"may be, of which {trial.chance:.0%} are chance"
    )
    if not calibrated(trial):
        message += "; so it tells no probabilities, and offers have scores only"
    return Gate("calibration", True, trial.miscalibration, bound, message)


def _champion(beside: Beside) -> tuple[Gate, bool]:
    """The gate, and whether failing it is want of proof rather than proof of being worse."""
    name, better = beside.champion, beside.better
    if beside.knows_more:
        message = f"the champion {name} has learned from purchases of after this job's instant: it goes on"
        return Gate("champion", False, 0.0, 0.0, message), True
    if not beside.tested:
        message = f"nothing new was bought since the champion {name} learned: the other gates decide"
        return Gate("champion", True, 0.0, 0.0, message), False
    if beside.tested < LEAST_TESTED:
        message = (
            f"{beside.tested} customers bought something new in the {beside.days} days that neither it nor the "
            f"champion {name} has learned from; at least {LEAST_TESTED} are needed to compare"
        )
        return Gate("champion", False, beside.tested, LEAST_TESTED, message), True
    message = (
        f"of {beside.tested} customers, in {beside.days} days that neither has learned from, {_percents(beside.hits)} "
        f"bought one of the {TOP} products it ranked first, of those of the champion {name} "
        f"{_percents(beside.champions)}: {_more(better)}; it must be more beyond chance"
    )
    worse = better.high < 0 and not beside.handicapped
    return Gate("champion", better.low > 0, better.value, 0.0, message), not worse


def _percents(found: Interval) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _more(found: Interval) -> str:
    return f"{found.value:+.1%} ({found.low:+.1%} to {found.high:+.1%})"
