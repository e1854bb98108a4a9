"""Guards: what data may not do to profiles on its own. A stopped merge becomes a conflict for people to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from identity.domain.identifiers import Kind


class Guard(StrEnum):
    """The guards; the values are the names of `MergeConflict.Guard` in the contract."""

    IDENTIFIER_LIMIT = "GUARD_IDENTIFIER_LIMIT"
    MEMBER_LIMIT = "GUARD_MEMBER_LIMIT"
    UNMERGED_BEFORE = "GUARD_UNMERGED_BEFORE"
    CUSTOMER_DELETED = "GUARD_CUSTOMER_DELETED"


@dataclass(frozen=True)
class Limits:
    """How large one profile may become through data: a shared till or a test account grows past it, people do not."""

    identifiers: Mapping[Kind, int] = field(
        default_factory=lambda: {Kind.USER_ID: 10, Kind.EMAIL: 5, Kind.PHONE: 5, Kind.ANONYMOUS_ID: 50}
    )
    """Most identifiers of each kind."""
    members: int = 50
    """Most customers in one profile."""


def exceeded_kind(counts: Mapping[Kind, int], limits: Limits) -> Kind | None:
    """The first kind of which a profile with these counts would hold too many; None when all fit."""
    return next((kind for kind in Kind if counts.get(kind, 0) > limits.identifiers[kind]), None)
