"""Fraud on a stream of payments: velocity in sliding windows, scored by rarity and by stated rules, with reasons.

Of each account the payments of the last 24 hours are kept, at most `MOST_PAYMENTS`, and of at most `MOST_ACCOUNTS`
accounts, those seen last. Counts, sums and distinct cards and addresses of each window are updated payment by payment
and equal a recompute from what is kept; a payment known already (same id) changes nothing, a late one is put in its
place. Velocity features: Whitrow et al. 2009, Data Mining and Knowledge Discovery 18:1.
"""

from bisect import bisect_left, insort
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

WINDOWS = {"10 minutes": 600, "1 hour": 3_600, "24 hours": 86_400}
"""Seconds; a payment exactly so old is out."""
MEASURES = ("payments", "amount", "cards", "addresses")
MOST_PAYMENTS = 256
MOST_ACCOUNTS = 100_000
LEAST_HISTORY = 1_000
"""With fewer payments to learn from only the rules give alarms."""
RATE = 0.002
"""Stated share of payments of an honest stream that alarm."""
_TAIL = 4_096
"""Largest values of a feature that are kept of the history, so that rarity is exact where it matters."""
_REASONS = 3


class Payment(NamedTuple):
    """One payment, in the order of time. Names should be pseudonyms: they stay in memory for 24 hours."""

    at: float
    """Seconds since any fixed instant."""
    id: str
    amount: int
    """Minor units of one currency."""
    card: str
    address: str


Features = tuple[int, ...]
"""For each of `WINDOWS` in turn each of `MEASURES`."""
NAMES = tuple((measure, window) for window in WINDOWS for measure in MEASURES)


@dataclass(frozen=True)
class Rule:
    """An alarm whatever the history: `least` or more of a measure in a window."""

    measure: str
    window: str
    least: int

    def broken(self, features: Features) -> bool:
        """Whether it gives an alarm."""
        return features[NAMES.index((self.measure, self.window))] >= self.least


RULES = (
    Rule("cards", "10 minutes", 3),
    Rule("cards", "24 hours", 6),
    Rule("addresses", "1 hour", 4),
    Rule("payments", "10 minutes", 12),
)


@dataclass
class _Window:
    seconds: int
    payments: deque[Payment] = field(default_factory=deque)
    amount: int = 0
    cards: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)

    def add(self, payment: Payment) -> None:
        self.payments.append(payment)
        self.amount += payment.amount
        self.cards[payment.card] += 1
        self.addresses[payment.address] += 1
        while len(self.payments) > MOST_PAYMENTS or self.payments[0].at <= payment.at - self.seconds:
            self._remove(self.payments.popleft())

    def features(self) -> Features:
        return len(self.payments), self.amount, len(self.cards), len(self.addresses)

    def _remove(self, payment: Payment) -> None:
        self.amount -= payment.amount
        for counter, name in ((self.cards, payment.card), (self.addresses, payment.address)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]


class Velocity:
    """Sliding windows of all accounts; bounded memory."""

    def __init__(self, most_accounts: int = MOST_ACCOUNTS) -> None:
        self._most = most_accounts
        self._accounts: OrderedDict[str, tuple[_Window, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts)

    def add(self, account: str, payment: Payment) -> Features:
        """Takes the payment in; its features as of its own time, itself included."""
        windows = self._accounts.get(account) or self._opened(account)
        self._accounts.move_to_end(account)
        kept = windows[-1].payments
        if not kept or payment[:2] > kept[-1][:2]:
            for window in windows:
                window.add(payment)
            return tuple(value for window in windows for value in window.features())
        ordered = list(kept)
        if all(each.id != payment.id for each in ordered):
            insort(ordered, payment)
            self._accounts[account] = tuple(_Window(window.seconds) for window in windows)
            for each in ordered:
                for window in self._accounts[account]:
                    window.add(each)
        return recompute(ordered, payment)

    def forget(self, account: str) -> None:
        """Drops what is kept of the account, as after an erasure."""
        self._accounts.pop(account, None)

    def _opened(self, account: str) -> tuple[_Window, ...]:
        if len(self._accounts) >= self._most:
            self._accounts.popitem(last=False)
        self._accounts[account] = tuple(_Window(seconds) for seconds in WINDOWS.values())
        return self._accounts[account]


def recompute(payments: Iterable[Payment], payment: Payment) -> Features:
    """The features of one payment from all that were kept: what `Velocity` keeps up to date."""
    found: list[int] = []
    until = sorted(each for each in payments if each[:2] <= payment[:2])
    for seconds in WINDOWS.values():
        inside = [each for each in until if each.at > payment.at - seconds][-MOST_PAYMENTS:]
        amount = sum(each.amount for each in inside)
        found += len(inside), amount, len({each.card for each in inside}), len({each.address for each in inside})
    return tuple(found)


@dataclass(frozen=True)
class FraudModel:
    """What is rare: of each feature the largest values of the history, ascending."""

    tails: tuple[tuple[int, ...], ...]
    history: int
    threshold: float
    """Rarity under which a payment alarms; 0 for never."""
    rules: tuple[Rule, ...]
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


def train(history: Sequence[Features], rules: tuple[Rule, ...] = RULES, *, rate: float = RATE) -> FraudModel:
    """Learns what is rare from the features of an honest stream; some fraud in it makes alarms rarer, not more.

    The threshold of rarity is such that with the rules no more than `rate` of the history alarms; rules that alarm
    more often by themselves are told in a message. Raises ValueError for a rate outside (0, 1).
    """
    if not 0 < rate < 1:
        raise ValueError("rate must be between 0 and 1: a share of payments")
    size = len(history)
    if size < LEAST_HISTORY:
        message = f"{size} payments to learn from, {LEAST_HISTORY} are needed: only the rules give alarms until then"
        return FraudModel(((),) * len(NAMES), size, 0.0, rules, 0.0, (message,))
    values = np.array(history, dtype=np.int64)
    ordered = np.sort(values, axis=0)
    tails = tuple(tuple(column[-_TAIL:].tolist()) for column in ordered.T)
    counts = np.stack(
        [size - np.searchsorted(column, value) for column, value in zip(ordered.T, values.T, strict=True)]
    )
    rarity = counts.min(axis=0)
    broken = np.array([any(rule.broken(features) for rule in rules) for features in values.tolist()])
    allowed = int(rate * (size + 1)) - int(broken.sum())
    messages = []
    threshold = 0.0
    if allowed < 1:
        messages.append(f"the rules alone alarm {broken.mean():.3%} of the payments, {rate:.3%} were asked for")
    else:
        others = np.sort(rarity[~broken])
        # As many as allowed; payments as rare as the first one left out do not alarm either.
        threshold = float(others[min(allowed, len(others) - 1)]) / (size + 1)
    return FraudModel(tails, size, threshold, rules, float(broken.mean()), tuple(messages))


def score(model: FraudModel, features: Features) -> Score:
    """Alarm, rarity and reasons of a payment with these features."""
    reasons = [
        f"rule: {_told(features[NAMES.index((rule.measure, rule.window))], rule.measure, rule.window)}, "
        f"{rule.least} or more are not allowed"
        for rule in model.rules
        if rule.broken(features)
    ]
    by_rule = bool(reasons)
    rarities = [_rarity(model, tail, value) for tail, value in zip(model.tails, features, strict=True)]
    rarest = min(rarities)
    rare = rarest < model.threshold
    if rare:
        order = sorted(range(len(NAMES)), key=lambda at: rarities[at])
        reasons += [
            f"{_told(features[at], *NAMES[at])}: so many in {rarities[at]:.2%} of the payments at most"
            for at in order[:_REASONS]
            if rarities[at] < model.threshold
        ]
    return Score(by_rule or rare, rarest, tuple(reasons[:_REASONS]) or ("nothing unusual",))


def _rarity(model: FraudModel, tail: tuple[int, ...], value: int) -> float:
    """Share of the history with as high a value or a higher one, this payment counted in."""
    if not tail:
        return 1.0
    if value <= tail[0] and model.history > len(tail):
        return 1.0
    return (len(tail) - bisect_left(tail, value) + 1) / (model.history + 1)


def _told(value: int, measure: str, window: str) -> str:
    return f"{value} minor units spent in {window}" if measure == "amount" else f"{value} {measure} in {window}"
