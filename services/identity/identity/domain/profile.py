"""The data of a profile: how one customer's values change, and how a merged profile is folded from its members'.

Survivorship: the canonical customer's own value wins, an emptied one too; a value it never had comes from the member
that learnt it last (ties: the smaller uid). Members keep their own values, so that an unmerge is exact.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FIELDS = (
    "display_name",
    "given_name",
    "family_name",
    "email",
    "phone",
    "region_code",
    "language_code",
    "time_zone",
)
"""The single values of a customer; traits are named `traits.<name>` beside them."""

TRAIT_PREFIX = "traits."
MAX_TRAITS = 100
MAX_TRAITS_BYTES = 16 * 1024


@dataclass
class OwnData:
    """What one customer document knows by itself."""

    uid: str
    values: dict[str, Any] = field(default_factory=dict)
    """Field or `traits.<name>` -> value; "" and None are values that were emptied on purpose."""
    times: dict[str, datetime] = field(default_factory=dict)
    """The same keys -> when the value was true, in the words of who told it."""


def learn(
    values: Mapping[str, Any], times: Mapping[str, datetime], news: Mapping[str, Any], when: datetime
) -> dict[str, Any]:
    """The part of `news` that changes `values`: what is not older than what is known, and differs.

    Per value, so that identify calls give the same profile in whatever order they arrive. Equal times: the greater
    value wins, which is arbitrary but the same everywhere.
    """
    changed: dict[str, Any] = {}
    for key, value in news.items():
        known = times.get(key)
        if known is not None and known > when:
            continue
        if known == when and key in values and repr(values[key]) >= repr(value):
            continue
        if key not in values or values[key] != value or known != when:
            changed[key] = value
    return changed


def fold(canonical: str, members: Iterable[OwnData]) -> dict[str, Any]:
    """The values of the profile that `members` form and `canonical` stands for, without the emptied ones."""
    ordered = list(members)
    own = next(member for member in ordered if member.uid == canonical)
    folded: dict[str, tuple[datetime, str, Any]] = {}
    for member in ordered:
        if member is own:
            continue
        for key, value in member.values.items():
            known = folded.get(key)
            told = member.times[key]
            if value in ("", None):
                continue
            if known is None or told > known[0] or (told == known[0] and member.uid < known[1]):
                folded[key] = (told, member.uid, value)
    result = {key: value for key, (_, _, value) in folded.items()}
    result.update(own.values)
    return {key: value for key, value in result.items() if value not in ("", None)}


def is_trait(key: str) -> bool:
    """Whether the key of a profile's value names a trait."""
    return key.startswith(TRAIT_PREFIX)


def fits(traits: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether a trait may be added to these: at most MAX_TRAITS of them, MAX_TRAITS_BYTES of JSON."""
    grown = {**traits, name: value}
    return len(grown) <= MAX_TRAITS and json_size(grown) <= MAX_TRAITS_BYTES


def json_size(value: Any) -> int:
    """Bytes of the value as JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def without_forgotten(times: Mapping[str, datetime], traits: Mapping[str, Any]) -> dict[str, datetime]:
    """`times` without the oldest removed traits, once more than MAX_TRAITS are remembered as removed."""
    removed = sorted(
        (time, key)
        for key, time in times.items()
        if key.startswith(TRAIT_PREFIX) and key.removeprefix(TRAIT_PREFIX) not in traits
    )
    forgotten = {key for _, key in removed[: max(0, len(removed) - MAX_TRAITS)]}
    return {key: time for key, time in times.items() if key not in forgotten}
