"""May a purpose be pursued with a person now? The answer from the purpose and from what the person has said.

A merged person has several members, each with what was said under its name. The most restrictive statement decides,
in the order of `_RESTRICTIVENESS`, from the least: a standing grant, a grant that a later notice made void, a question
not answered, a question that expired, a refusal, a withdrawal. A member about whom nothing was said adds nothing.
One thing softens this: a grant given after the merge names the statements of the other members it answers
(`overrides`); those no longer count while the merge holds. A later statement of theirs counts again, and after an
unmerge every member stands alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from consent.domain.states import State


class LegalBasis(StrEnum):
    """GDPR article 6 (1), (a) to (f); the values are the contract's names."""

    CONSENT = "LEGAL_BASIS_CONSENT"
    CONTRACT = "LEGAL_BASIS_CONTRACT"
    LEGAL_OBLIGATION = "LEGAL_BASIS_LEGAL_OBLIGATION"
    VITAL_INTERESTS = "LEGAL_BASIS_VITAL_INTERESTS"
    PUBLIC_TASK = "LEGAL_BASIS_PUBLIC_TASK"
    LEGITIMATE_INTERESTS = "LEGAL_BASIS_LEGITIMATE_INTERESTS"


class Reason(StrEnum):
    """Why a decision is what it is; the values are the contract's names."""

    CONSENT_GRANTED = "REASON_CONSENT_GRANTED"
    BASIS_WITHOUT_CONSENT = "REASON_BASIS_WITHOUT_CONSENT"
    NEVER_ASKED = "REASON_NEVER_ASKED"
    NOT_CONFIRMED = "REASON_NOT_CONFIRMED"
    REFUSED = "REASON_REFUSED"
    WITHDRAWN = "REASON_WITHDRAWN"
    NOTICE_OUTDATED = "REASON_NOTICE_OUTDATED"
    CHANNEL_NOT_IN_PURPOSE = "REASON_CHANNEL_NOT_IN_PURPOSE"
    ERASED = "REASON_ERASED"


@dataclass(frozen=True, slots=True)
class Statement:
    """What stands for one member. record: id of the record that proves it. overrides: ids of records it answers."""

    state: State
    notice_version: int
    record: str
    overrides: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a purpose says about deciding. valid_from_version: grants to earlier notices are void."""

    legal_basis: LegalBasis
    channels: frozenset[str]
    valid_from_version: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision's answer, the reason, and the ids of the records it rests on, sorted."""

    allowed: bool
    reason: Reason
    records: tuple[str, ...] = ()


ERASED = Verdict(False, Reason.ERASED)
"""Of an erased customer: nothing is allowed, on no basis."""

# From the least restrictive to the most; a person's position is the highest of the members'.
_RESTRICTIVENESS = (
    Reason.CONSENT_GRANTED,
    Reason.NOTICE_OUTDATED,
    Reason.NOT_CONFIRMED,
    Reason.REFUSED,
    Reason.WITHDRAWN,
)


def decide(terms: Terms, channel: str, statements: Iterable[Statement]) -> Verdict:
    """The answer for one person, given the statements of all its members for the purpose and channel.

    A basis other than consent allows until somebody says no; a legal obligation allows even then (articles 17 (3) (b)
    and 21 (1) give no objection against (c)). A channel that the purpose does not use is refused on every basis.
    """
    if channel not in terms.channels:
        return Verdict(False, Reason.CHANNEL_NOT_IN_PURPOSE)
    counted = effective(statements)
    records = tuple(sorted(statement.record for statement in counted))
    if terms.legal_basis is LegalBasis.LEGAL_OBLIGATION:
        return Verdict(True, Reason.BASIS_WITHOUT_CONSENT)
    position = most_restrictive(_position(statement, terms.valid_from_version) for statement in counted)
    if terms.legal_basis is LegalBasis.CONSENT:
        reason = position or Reason.NEVER_ASKED
        return Verdict(reason is Reason.CONSENT_GRANTED, reason, records)
    # A void grant is no objection; an open question is treated as one, to be on the safe side.
    if position in (None, Reason.CONSENT_GRANTED, Reason.NOTICE_OUTDATED):
        return Verdict(True, Reason.BASIS_WITHOUT_CONSENT, records)
    assert position is not None
    return Verdict(False, position, records)


def effective(statements: Iterable[Statement]) -> list[Statement]:
    """The statements that count: those that no standing grant of another member answers."""
    given = list(statements)
    answered = frozenset[str]().union(*(each.overrides for each in given if each.state is State.GRANTED))
    return [each for each in given if each.state is not State.NONE and each.record not in answered]


def most_restrictive(positions: Iterable[Reason]) -> Reason | None:
    """The most restrictive of some positions, None of none."""
    return max(positions, key=_RESTRICTIVENESS.index, default=None)


def _position(statement: Statement, valid_from_version: int) -> Reason:
    match statement.state:
        case State.GRANTED:
            void = statement.notice_version < valid_from_version
            return Reason.NOTICE_OUTDATED if void else Reason.CONSENT_GRANTED
        case State.WITHDRAWN:
            return Reason.WITHDRAWN
        case State.REFUSED:
            return Reason.REFUSED
        case _:
            return Reason.NOT_CONFIRMED
