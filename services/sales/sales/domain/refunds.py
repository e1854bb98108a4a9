"""Refund arithmetic in integer minor units: never more is given back than was paid, whatever is told in what order."""

from collections.abc import Iterable
from dataclasses import dataclass

PLACED, PARTLY_REFUNDED, REFUNDED = "STATE_PLACED", "STATE_PARTLY_REFUNDED", "STATE_REFUNDED"


@dataclass(frozen=True, slots=True)
class Asked:
    """A refund as it was told. minor: how much, None for all that is left."""

    minor: int | None
    currency: str | None


def rest(amount: int, refunded: int) -> int:
    """What can still be given back; nothing of an order that itself gave money."""
    return max(0, amount - refunded)


def shares(amount: int, currency: str, asked: Iterable[Asked]) -> list[int | None]:
    """What each refund gives back, in order; None for one in another currency, which cannot count.

    The sum does not depend on the order: it is all that was asked for, and at most the amount.
    """
    given: list[int | None] = []
    refunded = 0
    for each in asked:
        if each.minor is not None and each.currency != currency:
            given.append(None)
            continue
        left = rest(amount, refunded)
        share = left if each.minor is None else min(each.minor, left)
        refunded += share
        given.append(share)
    return given


def state(amount: int, refunded: int, count: int) -> str:
    """The state of an order of which `count` refunds gave back `refunded`."""
    if not count:
        return PLACED
    return PARTLY_REFUNDED if rest(amount, refunded) else REFUNDED
