"""What conditions are asked of: a person at one instant, and the functions that ask."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scoring.domain.happenings import Series

Compare = Callable[[Any, Any], bool]
COMPARE: dict[str, Compare] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(slots=True)
class Person:
    """What is known of one customer, its merged members included, at one instant.

    now: milliseconds since 1970. scores: by the names of conditions, with amounts in minor units and their `currency`;
    None without scores. consents: (purpose, channel) -> state. inside: uids of segments, those asked for by others
    before these. due: when the answer can change by itself, None for never.
    """

    now: int
    traits: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] | None = None
    series: Mapping[str, Sequence[Series]] = field(default_factory=dict)
    consents: Mapping[tuple[str, str], str] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)
    due: int | None = None

    def again_at(self, instant: int) -> None:
        """Says that something may be different from that instant on."""
        if self.due is None or instant < self.due:
            self.due = instant


Rule = Callable[[Person], bool | None]
Decimals = Callable[[str], int]
"""The decimals of a currency."""
