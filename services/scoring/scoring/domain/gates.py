"""What a model must show before it may score, and what becomes of it then.

The rules look at measured figures only, so that the same figures always lead to the same decision. Losses are squared
errors of the purchases expected; all models are measured on the same customers, none of whose later purchases the
candidate was fitted to. Errors are told as shares: 0.02 is two percent.
"""

from dataclasses import asdict, dataclass
from typing import Any

CANDIDATE, CHAMPION, CHALLENGER = "CANDIDATE", "CHAMPION", "CHALLENGER"
RETIRED, REJECTED, ROLLED_BACK = "RETIRED", "REJECTED", "ROLLED_BACK"
STATES = (CANDIDATE, CHAMPION, CHALLENGER, RETIRED, REJECTED, ROLLED_BACK)

LEAST_CUSTOMERS = 100
"""On whom a model is tested."""
LEAST_PURCHASES = 50
"""Of theirs after the cut, expected or real."""
LEAST_CONSENTING = 0.2
"""Share of customers who may be profiled: fewer do not speak for the others."""
MOST_MISCALIBRATION = 0.25
"""Mean distance of expected and real purchases by tenths of the customers, as a share of real ones, beyond chance."""
MOST_WORSE = 0.01
"""A younger model may be worse than the champion by this share of the loss: the champion has often seen part of the
purchases it is tested on, which flatters it a little."""
MOST_DEGRADED = 0.15
"""A champion may do worse on later purchases than it promised by this share of the promised error."""
DRIFT = 0.2
"""From this stability index on a column has moved; 0.1 to 0.25 is what is usual to ask about (Siddiqi 2006)."""


@dataclass(frozen=True)
class Interval:
    """A measured figure with its 90 percent interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Gate:
    """One condition, as measured."""

    name: str
    passed: bool
    value: float
    bound: float
    message: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON and documents hold it."""
        return asdict(self)


@dataclass(frozen=True)
class RevenueTrial:
    """How a candidate told the revenue of those weeks, in minor units: purchases expected times what one is worth."""

    customers: int
    expected: float
    actual: int
    error: Interval
    """Squared error as a share of that of expecting the same of everybody."""
    against_mean_spend: Interval
    """Squared error less that of the same purchases at the mean spend, as a share of the latter."""
    miscalibration: float
    chance: float
    mean_spends: float
    """Miscalibration of the same purchases at the mean spend."""
    champions: float | None = None
    """The champion's miscalibration on the same customers."""
    fallback: bool = False
    """Whether it is the mean spend itself, which needs no proof."""


@dataclass(frozen=True)
class Trial:
    """How a candidate did on purchases it was not fitted to."""

    customers: int
    purchases: int
    against_baseline: Interval
    """Its loss less that of mean rates, as a share of the latter."""
    against_champion: Interval | None
    """The same against the champion; None without one."""
    miscalibration: float
    chance: float
    """The miscalibration to be expected of a perfect model for this number of customers."""
    champions: float | None = None
    """The champion's miscalibration on the same customers."""
    revenue: RevenueTrial | None = None


@dataclass(frozen=True)
class Verdict:
    """What becomes of a candidate."""

    state: str
    gates: tuple[Gate, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"state": self.state, "gates": [gate.to_dict() for gate in self.gates]}

    @property
    def failed(self) -> list[str]:
        """Why it is not champion, in words."""
        return [gate.message for gate in self.gates if not gate.passed]


def judge(test: Trial | None, why_not: str, consenting: float | None, champion: str) -> Verdict:
    """Decides on a candidate that was tested, or could not be for the reason `why_not`.

    `champion` names the model that scores now, empty when none does. A candidate that fails nothing is CHAMPION; one
    that fails only for want of proof against the champion is CHALLENGER; others are REJECTED.
    """
    gates = [_minimum_data(test, why_not), consenting_share(consenting)]
    if test is None or not gates[0].passed:
        return Verdict(REJECTED, tuple(gates))
    gates += [_baseline(test.against_baseline), _calibration(test)]
    if test.revenue is not None and not test.revenue.fallback:
        gates += [_spend(test.revenue), _revenue(test.revenue)]
    undecided = False
    if test.against_champion is not None:
        gates.append(_champion(test.against_champion, champion))
        undecided = test.against_champion.low <= 0 < test.against_champion.high - MOST_WORSE
    failed = [gate.name for gate in gates if not gate.passed]
    if not failed:
        return Verdict(CHAMPION, tuple(gates))
    return Verdict(CHALLENGER if failed == ["champion"] and undecided else REJECTED, tuple(gates))


def _minimum_data(test: Trial | None, why_not: str) -> Gate:
    if test is None:
        return Gate("minimum_data", False, 0.0, LEAST_CUSTOMERS, f"it could not be tested: {why_not}")
    enough = test.customers >= LEAST_CUSTOMERS and test.purchases >= LEAST_PURCHASES
    message = (
        f"tested on {test.customers} customers with {test.purchases} purchases; "
        f"at least {LEAST_CUSTOMERS} with {LEAST_PURCHASES} are needed"
    )
    short = test.customers < LEAST_CUSTOMERS or enough
    value, bound = (test.customers, LEAST_CUSTOMERS) if short else (test.purchases, LEAST_PURCHASES)
    return Gate("minimum_data", enough, value, bound, message)


def consenting_share(share: float | None) -> Gate:
    """Whether enough customers may be profiled; None when nobody was asked to be left out."""
    if share is None:
        return Gate("consenting_share", True, 1.0, LEAST_CONSENTING, "nobody was asked to be left out")
    message = f"{share:.0%} of the customers may be profiled; at least {LEAST_CONSENTING:.0%} must"
    return Gate("consenting_share", share >= LEAST_CONSENTING, share, LEAST_CONSENTING, message)


def _baseline(found: Interval) -> Gate:
    message = (
        f"its squared error is {_versus(found)} that of expecting the same of everybody; "
        "it must be smaller beyond chance"
    )
    return Gate("baseline", found.high < 0, found.value, 0.0, message)


def _calibration(test: Trial) -> Gate:
    bound = MOST_MISCALIBRATION + test.chance
    message = (
        f"in tenths of the customers, expected and real purchases are {test.miscalibration:.0%} apart; "
        f"at most {bound:.0%} may be, of which {test.chance:.0%} are chance"
    )
    if test.champions is not None and test.champions > bound:
        # Whoever scores now is worse: keeping it would help nobody.
        bound = test.champions
        message += f", or as much as the champion's, {bound:.0%}"
    return Gate("calibration", test.miscalibration <= bound, test.miscalibration, bound, message)


def _spend(test: RevenueTrial) -> Gate:
    """No worse rather than better: some large orders carry most of a squared error of money, so that proof of being
    better is out of reach of most shops, and mean spend for all is no safer.
    """
    found = test.against_mean_spend
    message = (
        f"with the spend model its squared error of revenue is {_versus(found)} that with the mean spend; "
        "it must not be larger beyond chance"
    )
    return Gate("spend", found.low <= 0, found.value, 0.0, message)


def _revenue(test: RevenueTrial) -> Gate:
    bound = MOST_MISCALIBRATION + test.chance
    message = (
        f"in tenths of the customers, expected and real revenue are {test.miscalibration:.0%} apart; "
        f"at most {bound:.0%} may be, of which {test.chance:.0%} are chance"
    )
    standing_in = max(test.mean_spends, test.champions or 0.0)
    if standing_in > bound:
        # What would score in its place is worse: keeping that would help nobody.
        bound = standing_in
        message += f", or as much as with the mean spend or the champion, {bound:.0%}"
    return Gate("revenue", test.miscalibration <= bound, test.miscalibration, bound, message)


def _champion(found: Interval, name: str) -> Gate:
    message = (
        f"its squared error is {_versus(found)} that of the champion {name} on the same customers; "
        f"the upper end may be at most {MOST_WORSE:+.0%}"
    )
    return Gate("champion", found.high <= MOST_WORSE, found.value, MOST_WORSE, message)


def _versus(found: Interval) -> str:
    return f"{found.value:+.1%} ({found.low:+.1%} to {found.high:+.1%}) against"


def degraded(error: Interval, promised: float, slack: float = MOST_DEGRADED) -> bool:
    """Whether a model does worse later than it promised, beyond chance and the bound."""
    return error.low > promised * (1 + slack)


def roll_back(
    error: Interval, promised: float, previous: float | None, slack: float = MOST_DEGRADED, of: str = ""
) -> tuple[bool, str]:
    """Whether a champion with that error goes, and why or why not, in words.

    `previous` is the error of the model before it on the same customers; None when there is none to come back. of: what
    was told, where it is not purchases.
    """
    told = (
        f"its error {of}since is {error.value:.3f} ({error.low:.3f} to {error.high:.3f}) "
        f"of that of expecting the same of everybody; it promised {promised:.3f}"
    )
    if not degraded(error, promised, slack):
        return False, told
    if previous is None:
        return False, f"{told}, and no earlier model is there to come back"
    if previous >= error.value:
        return False, f"{told}, and the model before it would have done no better ({previous:.3f})"
    return True, f"{told}; the model before it has {previous:.3f}"
