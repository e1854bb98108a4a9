"""Fraud on a stream of payments: velocity in sliding windows, scored by rarity and by stated rules, with reasons.

Of each account the payments of the last 24 hours are kept, at most `MOST_PAYMENTS`. A payment's features are counts and
sums of each window as of its own time, whatever order payments came in. Velocity features: Whitrow et al. 2009, Data
Mining and Knowledge Discovery 18:1.

Sums are of one currency, the payment's own. What is rare is learned of the currency most payments are in; of payments
in others, `without_amounts`, only the numbers of payments, cards and addresses are looked at.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from chassis import money

WINDOWS = {"10 minutes": 600_000, "1 hour": 3_600_000, "24 hours": 86_400_000}
"""Milliseconds; a payment exactly so old is out."""
MEASURES = ("payments", "amount", "cards", "addresses")
MOST_PAYMENTS = 256
LEAST_HISTORY = 1_000
"""With fewer payments to learn from only the rules give alarms."""
RATE = 0.002
"""Stated share of payments of an honest stream that alarm."""
TAIL = 512
"""Largest values of a feature that are kept of the history at least, so that rarity is exact where it matters."""
_REASONS = 3
_LONGEST = max(WINDOWS.values())


class Payment(NamedTuple):
    """One payment, in the order of time."""

    at: int
    """Milliseconds since any fixed instant."""
    id: str
    amount: int
    """Minor units of `currency`."""
    currency: str
    card: str
    """By what it was paid, a pseudonym; empty where it is not known, which is no card. So is `address`."""
    address: str


Features = tuple[int, ...]
"""For each of `WINDOWS` in turn each of `MEASURES`."""
NAMES = tuple((measure, window) for window in WINDOWS for measure in MEASURES)


@dataclass(frozen=True)
class Rule:
    """An alarm whatever the history: `least` or more of a measure, not of `amount`, in a window."""

    measure: str
    window: str
    least: int

    def broken(self, features: Features) -> bool:
        """Whether it gives an alarm."""
        return features[NAMES.index((self.measure, self.window))] >= self.least

    def text(self) -> str:
        """What gives the alarm, in words."""
        return f"{self.least} or more {self.measure} in {self.window}"


RULES = (
    Rule("cards", "10 minutes", 3),
    Rule("cards", "24 hours", 6),
    Rule("addresses", "1 hour", 4),
    Rule("payments", "10 minutes", 12),
)


@dataclass
class _Window:
    milliseconds: int
    payments: deque[Payment] = field(default_factory=deque)
    amounts: Counter[str] = field(default_factory=Counter)
    cards: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)

    def add(self, payment: Payment) -> None:
        self.payments.append(payment)
        self._count(payment, 1)
        while len(self.payments) > MOST_PAYMENTS or self.payments[0].at <= payment.at - self.milliseconds:
            self._count(self.payments.popleft(), -1)

    def features(self, currency: str) -> Features:
        return len(self.payments), self.amounts[currency], len(self.cards), len(self.addresses)

    def _count(self, payment: Payment, step: int) -> None:
        self.amounts[payment.currency] += step * payment.amount
        for counter, name in ((self.cards, payment.card), (self.addresses, payment.address)):
            if name:
                counter[name] += step
                if not counter[name]:
                    del counter[name]


def features_of(payments: Sequence[Payment]) -> list[Features]:
    """Of each of an account's payments, in order and without repeats, the features as of its own time, itself included.

    One pass: a window is kept up to date payment by payment.
    """
    windows = [_Window(milliseconds) for milliseconds in WINDOWS.values()]
    found = []
    for payment in payments:
        for window in windows:
            window.add(payment)
        found.append(tuple(value for window in windows for value in window.features(payment.currency)))
    return found


def kept(payments: Sequence[Payment], now: int) -> list[Payment]:
    """Which of an account's payments, in order, later ones may need: the newest of the 24 hours before the last.

    now: milliseconds, as their times. Payments that claim to be of the future push out nothing of the 24 hours before
    now: clocks of shops may go ahead by a day.
    """
    if not payments:
        return []
    since = min(payments[-1].at, now) - _LONGEST
    recent = [payment for payment in payments if payment.at > since]
    come = [payment for payment in recent if payment.at <= now][-MOST_PAYMENTS:]
    return [*come, *(payment for payment in recent if payment.at > now)][:MOST_PAYMENTS]


def without_amounts(features: Features) -> Features:
    """What is left to compare of a payment in a currency that most payments are not in."""
    return tuple(0 if NAMES[at][0] == "amount" else value for at, value in enumerate(features))


@dataclass(frozen=True)
class FraudModel:
    """What is rare: of each feature the largest values of the history, ascending."""

    tails: tuple[tuple[int, ...], ...]
    history: int
    currency: str
    """That amounts were learned in."""
    threshold: float
    """Rarity under which a payment alarms; 0 for never."""
    rules: tuple[Rule, ...]
    rate: float
    """Stated share of payments that alarm."""
    rule_rate: float
    """Share of the history that broke a rule."""
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """Of one payment."""

    alarm: bool
    rarity: float
    """Least share of the history, over the features, with as high a value: 0.001 is one payment in a thousand."""
    reasons: tuple[str, ...]
    broken: tuple[str, ...]
    """The rules it broke, in words."""


def train(
    history: Sequence[Features], currency: str, rules: tuple[Rule, ...] = RULES, *, rate: float = RATE
) -> FraudModel:
    """Learns what is rare from the features of an honest stream; some fraud in it makes alarms rarer, not more.

    currency: of the amounts; payments in others come `without_amounts`. The threshold of rarity is such that with the
    rules no more than `rate` of the history alarms; rules that alarm more often by themselves are told in a message.
    Raises ValueError for a rate outside (0, 1).
    """
    if not 0 < rate < 1:
        raise ValueError("rate must be between 0 and 1: a share of payments")
    size = len(history)
    if size < LEAST_HISTORY:
        message = f"{size} payments to learn from, {LEAST_HISTORY} are needed: only the rules give alarms until then"
        return FraudModel(((),) * len(NAMES), size, currency, 0.0, rules, rate, 0.0, (message,))
    ordered = [sorted(column) for column in zip(*history, strict=True)]
    most = int(rate * (size + 1))
    tails = tuple(tuple(column[-max(TAIL, most + 1) :]) for column in ordered)
    # Of how many payments any value is as high, where that is least; of those that break no rule.
    others = sorted(
        min(size - bisect_left(column, value) for column, value in zip(ordered, features, strict=True))
        for features in history
        if not any(rule.broken(features) for rule in rules)
    )
    rule_rate = 1 - len(others) / size
    allowed = most - (size - len(others))
    messages = []
    threshold = 0.0
    if allowed < 1:
        messages.append(f"the rules alone alarm {rule_rate:.3%} of the payments, {rate:.3%} were asked for")
    elif (left_out := others[min(allowed, len(others) - 1)]) > 1:
        # As many as allowed; payments as rare as the first one left out do not alarm either.
        threshold = left_out / (size + 1)
    else:
        # Nothing is rarer than what nobody else had.
        messages.append(f"too many of {size} payments had most of something: only the rules alarm until there are more")
    return FraudModel(tails, size, currency, threshold, rules, rate, rule_rate, tuple(messages))


def score(model: FraudModel, features: Features, currency: str) -> Score:
    """Alarm, rarity and reasons of a payment in that currency with these features."""
    if currency != model.currency:
        features = without_amounts(features)
    broken = [rule for rule in model.rules if rule.broken(features)]
    reasons = [
        f"rule: {_told(features[NAMES.index((rule.measure, rule.window))], rule.measure, rule.window, currency)}, "
        f"{rule.least} or more are not allowed"
        for rule in broken
    ]
    rarities = [_rarity(model, tail, value) for tail, value in zip(model.tails, features, strict=True)]
    rarest = min(rarities)
    rare = rarest < model.threshold
    if rare:
        order = sorted(range(len(NAMES)), key=lambda at: rarities[at])
        reasons += [
            f"{_told(features[at], *NAMES[at], currency)}: so much in {rarities[at]:.2%} of the payments at most"
            for at in order[:_REASONS]
            if rarities[at] < model.threshold
        ]
    texts = tuple(rule.text() for rule in broken)
    return Score(bool(broken) or rare, rarest, tuple(reasons[:_REASONS]) or ("nothing unusual",), texts)


def _rarity(model: FraudModel, tail: tuple[int, ...], value: int) -> float:
    """Share of the history with as high a value or a higher one, this payment counted in; 1 where the tail ends."""
    if not tail or (value <= tail[0] and model.history > len(tail)):
        return 1.0
    return (len(tail) - bisect_left(tail, value) + 1) / (model.history + 1)


def _told(value: int, measure: str, window: str, currency: str) -> str:
    if measure == "amount":
        return f"{Decimal(value).scaleb(-(money.digits(currency) or 0)):f} {currency} spent in {window}"
    return f"{value} {measure} in {window}"
