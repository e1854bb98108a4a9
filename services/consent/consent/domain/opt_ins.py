"""Confirmed opt-in (double opt-in): how often to ask, and what a link in hand is still worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from consent.domain.states import State

LINK_LIFETIME = timedelta(days=7)
"""How long a person can confirm after being asked."""

RESEND_AFTER = timedelta(minutes=10)
"""How long the same question to the same address must wait."""

DAILY_MAX = 5
"""How many messages about one consent are sent within 24 hours."""

DAY = timedelta(days=1)


class Link(Enum):
    """What following a link can do."""

    OPEN = auto()
    """The question stands: confirming grants."""
    CONFIRMED = auto()
    """It was confirmed with this very question: confirming again changes nothing."""
    EXPIRED = auto()
    """The time to confirm is over."""
    SUPERSEDED = auto()
    """Something was said or asked since: the link must not undo it."""


@dataclass(frozen=True, slots=True)
class Question:
    """The last question asked by e-mail. nonce: what its links carry. expire_time: when it can no more be confirmed."""

    nonce: str
    expire_time: datetime


def link_of(nonce: str, question: Question | None, state: State, now: datetime) -> Link:
    """What a link that carries `nonce` is worth. `question`: the one that led to `state`, None when another did."""
    if question is None or question.nonce != nonce:
        return Link.SUPERSEDED
    match state:
        case State.GRANTED:
            return Link.CONFIRMED
        case State.EXPIRED:
            return Link.EXPIRED
        case State.PENDING:
            return Link.OPEN if now < question.expire_time else Link.EXPIRED
        case _:
            return Link.SUPERSEDED


def wait_before_sending(sent: Sequence[datetime], now: datetime, *, repeats: bool) -> timedelta:
    """How long the next message about a consent must wait; zero when it may go now.

    `sent`: when earlier ones were asked for, oldest first. `repeats`: the same question is open at the same address.
    """
    recent = [time for time in sent if time > now - DAY]
    waits = [timedelta()]
    if repeats and recent:
        waits.append(recent[-1] + RESEND_AFTER - now)
    if len(recent) >= DAILY_MAX:
        waits.append(recent[-DAILY_MAX] + DAY - now)
    return max(waits)


def mask_email(address: str) -> str:
    """The address so that its owner knows it and others do not, such as `a***@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"
