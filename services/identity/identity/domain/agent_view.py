"""What an agent view concludes from what was told: sentiment's direction, standing consents, the preferred channel."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

RECENT = timedelta(days=90)
"""How far back "of late" reaches."""

CHANGE = 0.2
"""By how much mean scores (-1 to 1) must differ to be called a change."""

SCALE = 1_000_000

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Mean:
    """Scores in millionths added up: whole numbers, so that no order of adding shows in the last digit."""

    total: int = 0
    count: int = 0

    def value(self) -> float:
        """The mean score, 0 of none."""
        return round(self.total / self.count / SCALE, 6) if self.count else 0.0


def direction(recent: Mean, earlier: Mean) -> str:
    """Where sentiment goes; the values are the contract's names."""
    if not (recent.count and earlier.count):
        return "DIRECTION_UNSPECIFIED"
    change = round(recent.value() - earlier.value(), 6)
    if abs(change) < CHANGE:
        return "DIRECTION_STEADY"
    return "DIRECTION_IMPROVING" if change > 0 else "DIRECTION_WORSENING"


@dataclass(frozen=True, slots=True)
class Statement:
    """What one customer of a person said about a purpose and channel. record: the proof. answers: those it settles."""

    state: str
    record: str
    answers: frozenset[str]
    decide_time: datetime | None


# From the least restrictive to the most, as consent decides; a state this code does not know counts as a no.
_RESTRICTIVENESS = {
    "STATE_GRANTED": 0,
    "STATE_EXPIRED": 1,
    "STATE_PENDING": 1,
    "STATE_REFUSED": 2,
    "STATE_WITHDRAWN": 3,
}


def standing(statements: Mapping[K, Statement]) -> K:
    """Which of a person's statements about one purpose and channel counts: the most restrictive, of equals the last.

    Statements that a standing grant of the same person answers do not count.
    """
    answered = frozenset[str]().union(*(each.answers for each in statements.values() if each.state == "STATE_GRANTED"))
    counted = {key: each for key, each in statements.items() if each.record not in answered} or statements

    def rank(key: K) -> tuple[int, float, str]:
        said = counted[key]
        when = said.decide_time.timestamp() if said.decide_time else 0.0
        return _RESTRICTIVENESS.get(said.state, len(_RESTRICTIVENESS)), when, said.record

    return max(counted, key=rank)


@dataclass(frozen=True, slots=True)
class Use:
    """How often a customer used a channel itself. last: of when the last message or clicked mail is."""

    channel: str
    count: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Agreement:
    """A standing grant for a channel."""

    channel: str
    purpose: str
    when: datetime


def preferred_channel(uses: Iterable[Use], agreements: Iterable[Agreement]) -> tuple[str, str]:
    """The channel (name of the contract, empty when not known) and why, in words.

    What a customer does counts more than what it once agreed to: the channel it used most of late, of equal ones the
    one it used last; else the one it agreed to last.
    """
    counts: dict[str, int] = defaultdict(int)
    last: dict[str, datetime] = {}
    for use in uses:
        counts[use.channel] += use.count
        last[use.channel] = max(use.last, last.get(use.channel, use.last))
    if counts:
        best = max(counts, key=lambda channel: (counts[channel], last[channel], channel))
        return best, (
            f"Used most in the last {RECENT.days} days: {counts[best]} messages or clicked mails, "
            f"the last of {last[best]:%Y-%m-%d}."
        )
    agreed = max(agreements, key=lambda each: (each.when, each.channel), default=None)
    if agreed:
        return agreed.channel, (
            f"No channel was used in the last {RECENT.days} days; agreed to {agreed.purpose} on it "
            f"on {agreed.when:%Y-%m-%d}."
        )
    return "", f"Not known: no ticket and no click in the last {RECENT.days} days, and no channel agreed to."
