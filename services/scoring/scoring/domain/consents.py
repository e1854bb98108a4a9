"""Where a person stands on purposes, from what was told of all its members.

As the consent service decides (`consent.domain.decisions`): the most restrictive statement counts, but for those that
a member's standing grant answers.
"""

from collections.abc import Iterable, Mapping
from typing import TypedDict

from scoring.domain.conditions import GRANTED, NONE, REFUSED

_RESTRICTIVENESS = (GRANTED, NONE, REFUSED)


class Statement(TypedDict):
    """What one member said. state: GRANTED, REFUSED or NONE. record proves it; answered: records it answers."""

    consent: str
    purpose: str
    channel: str
    state: str
    record: str
    answered: list[str]
    sequence: list[int]


def standing(statements: Iterable[Statement]) -> Mapping[tuple[str, str], str]:
    """(purpose, channel) -> state."""
    given = list(statements)
    answered = {record for each in given if each["state"] == GRANTED for record in each["answered"]}
    found: dict[tuple[str, str], str] = {}
    for each in given:
        if each["record"] in answered:
            continue
        about = (each["purpose"], each["channel"])
        found[about] = max(found.get(about, GRANTED), each["state"], key=_RESTRICTIVENESS.index)
    return found
