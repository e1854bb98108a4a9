"""What a model of an outcome's probability must show before it may score, and what becomes of it then.

All is measured on the newest rows, which the model that is tested has not seen, beside what is told without a model.
The rules look at measured figures only, so that the same figures lead to the same decision.
"""

from dataclasses import dataclass

from scoring.domain.gates import CHALLENGER, CHAMPION, LEAST_CONSENTING, MOST_WORSE, REJECTED, Gate, Interval, Verdict

LEAST_ROWS = 200
LEAST_TRAINING = 50
"""Rows with the event to learn from, and others."""
LEAST_TESTED = 20
"""Rows with the event to be tested on, and others."""
LEAST_CUSTOMERS = 20
"""Whose each of these are; of fewer `models.classifier` learns nothing."""
MOST_MISCALIBRATION = 0.08
"""Expected calibration error beyond what chance alone gives. What is tested has learned from fewer rows than what then
scores, and is a little surer of itself."""


@dataclass(frozen=True)
class Words:
    """What gates call things."""

    rows: str
    """Such as "leads"."""
    mature: str
    """Rows whose outcome is known."""
    events: str
    """Rows with the event."""
    others: str
    """Rows without."""
    counted: str
    """The events as things that are counted, such as "conversions"."""
    happened: str
    """What rows with the event did, such as "were converted"."""
    rival: str
    """What ranks rows without a model, by name: its gate's, too."""
    rival_words: str
    """The same in words, such as "the points"."""


@dataclass(frozen=True)
class Known:
    """How much there is to learn from and to be tested on."""

    rows: int
    train_events: int
    train_others: int
    test_events: int
    test_others: int
    train_event_customers: int
    """Whose the rows with the event are: several of one customer prove little."""
    train_other_customers: int
    test_event_customers: int
    test_other_customers: int


@dataclass(frozen=True)
class Trial:
    """How a candidate did on the rows it is tested on; intervals are those of paired tests, of 95 percent, in which
    rows of one customer are one cluster."""

    auc: float
    rival_auc: float
    against_rival: Interval
    """Its AUC less that of what ranks without a model (DeLong, Obuchowski)."""
    against_base_rate: Interval
    """Its log loss less that of the share of all, as a share of the latter."""
    against_champion: Interval | None
    """The same against the champion, on rows it has not learned from; None without one, or with too few of them."""
    new_events: int
    """Of the rows that the champion has not learned from, several of one customer counting once."""
    new_others: int
    calibration_error: float
    chance: float
    """The calibration error that a perfect model would stay below in 95 of 100 cases."""


def known(data: Known, words: Words) -> Gate:
    """Whether there is enough to learn from; says what is missing."""
    wanted = (
        (words.mature, data.rows, LEAST_ROWS),
        (f"{words.events} to learn from", data.train_events, LEAST_TRAINING),
        (f"{words.others} to learn from", data.train_others, LEAST_TRAINING),
        (f"{words.events} to be tested on", data.test_events, LEAST_TESTED),
        (f"{words.others} to be tested on", data.test_others, LEAST_TESTED),
    )
    of_customers = (
        (f"customers with {words.events} to learn from", data.train_event_customers, LEAST_CUSTOMERS),
        (f"customers with {words.others} to learn from", data.train_other_customers, LEAST_CUSTOMERS),
        (f"customers with {words.events} to be tested on", data.test_event_customers, LEAST_CUSTOMERS),
        (f"customers with {words.others} to be tested on", data.test_other_customers, LEAST_CUSTOMERS),
    )
    missing = [each for each in wanted if each[1] < each[2]] or [each for each in of_customers if each[1] < each[2]]
    if not missing:
        message = (
            f"learned from {data.train_events + data.train_others} {words.rows} with {data.train_events} "
            f"{words.counted}, tested on {data.test_events + data.test_others} newer ones with {data.test_events}"
        )
        return Gate("minimum_data", True, data.rows, LEAST_ROWS, message)
    told = "; ".join(f"{there} {what}, at least {least} are needed" for what, there, least in missing)
    _, there, least = missing[0]
    return Gate("minimum_data", False, there, least, f"there are {told}")


def judge(data: Known, trial: Trial | None, consenting: float, champion: str, words: Words) -> Verdict:
    """Decides on a candidate. `champion` names the model that scores now, empty when none does.

    One that fails nothing is CHAMPION, one that fails only for want of proof against the champion CHALLENGER, others
    are REJECTED: then the champion goes on, or without one nothing scores.
    """
    gates = [known(data, words), _consenting(consenting, words)]
    if trial is None or not gates[0].passed:
        return Verdict(REJECTED, tuple(gates))
    gates += [_base_rate(trial.against_base_rate, words), _rival(trial, words), _calibration(trial)]
    undecided = False
    if champion:
        gates.append(_champion(trial, champion, words))
        found = trial.against_champion
        undecided = found is None or found.low <= 0 < found.high - MOST_WORSE
    failed = [gate.name for gate in gates if not gate.passed]
    if not failed:
        return Verdict(CHAMPION, tuple(gates))
    return Verdict(CHALLENGER if failed == ["champion"] and undecided else REJECTED, tuple(gates))


def comparable(new_events: int, new_others: int) -> bool:
    """Whether of enough customers outcomes are known that the champion has not learned from."""
    return min(new_events, new_others) >= LEAST_TESTED


def _consenting(share: float, words: Words) -> Gate:
    message = f"{share:.0%} of the {words.rows} may be learned from; at least {LEAST_CONSENTING:.0%} must"
    return Gate("consenting_share", share >= LEAST_CONSENTING, share, LEAST_CONSENTING, message)


def _base_rate(found: Interval, words: Words) -> Gate:
    message = (
        f"its log loss is {_percents(found)} against telling the same of all {words.rows}; it must be smaller beyond "
        "chance"
    )
    return Gate("baseline", found.high < 0, found.value, 0.0, message)


def _rival(trial: Trial, words: Words) -> Gate:
    found = trial.against_rival
    message = (
        f"it ranks {words.rows} with an AUC of {trial.auc:.3f}, {words.rival_words} with {trial.rival_auc:.3f}: "
        f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f}); it must be better beyond chance"
    )
    return Gate(words.rival, found.low > 0, found.value, 0.0, message)


def _calibration(trial: Trial) -> Gate:
    bound = trial.chance + MOST_MISCALIBRATION
    message = (
        f"predicted and real shares are {trial.calibration_error:.1%} apart; at most {bound:.1%} may be, "
        f"of which {trial.chance:.1%} are chance"
    )
    return Gate("calibration", trial.calibration_error <= bound, trial.calibration_error, bound, message)


def _champion(trial: Trial, name: str, words: Words) -> Gate:
    found = trial.against_champion
    if found is None:
        message = (
            f"of the {words.rows} that the champion {name} has not learned from {trial.new_events} {words.happened} "
            f"and {trial.new_others} not, several of one customer counting once; at least {LEAST_TESTED} of each are "
            "needed to compare"
        )
        return Gate("champion", False, min(trial.new_events, trial.new_others), LEAST_TESTED, message)
    message = (
        f"its log loss is {_percents(found)} against that of the champion {name} on the {words.rows} neither has "
        f"learned from; the upper end may be at most {MOST_WORSE:+.0%}"
    )
    return Gate("champion", found.high <= MOST_WORSE, found.value, MOST_WORSE, message)


def _percents(found: Interval) -> str:
    return f"{found.value:+.1%} ({found.low:+.1%} to {found.high:+.1%})"
