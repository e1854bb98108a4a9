"""Who did it: turns the identifiers that arrive together in one event into one customer.

Strong identifiers seen together are one person. An anonymous id belongs to whom it was seen with first, by event
time: two people on one shared device stay two, whatever order their events arrive in. The result for a set of events
does not depend on their order, unless a guard stops something.

`Resolver` works on a snapshot of what the store knows and records what has to change; it does no I/O.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from identity.domain.graph import Node, canonical, pair
from identity.domain.guards import Guard, Limits, exceeded_kind
from identity.domain.identifiers import Identifier, Kind


class Claim(NamedTuple):
    """The evidence that ties an anonymous id to a person. The smallest one holds."""

    event_time: datetime
    message_id: str


class Evidence(NamedTuple):
    """The identifiers of one event, all of the same person."""

    message_id: str
    event_time: datetime
    strong: tuple[Identifier, ...]
    """In order of trust: the first one decides whose event it is when a guard keeps them apart."""
    weak: tuple[Identifier, ...] = ()
    previous: str = ""
    """Of an alias call: another id the source has for the person. It means a device if the source has used it as
    one before, else a user id."""


@dataclass
class Known:
    """An identifier the platform knows."""

    customer: str
    """Uid of the customer it was first seen on; a merge does not change it."""
    claim: Claim | None = None
    """For anonymous ids: why it belongs to that customer; None while nobody is known to own it."""


@dataclass
class Profile:
    """A connected component of the merge graph, with what guards need to know of it."""

    members: set[Node]
    counts: Counter[Kind] = field(default_factory=Counter)
    deleted: bool = False

    @property
    def strong(self) -> bool:
        """Whether it is known by anything that names a person."""
        return any(count for kind, count in self.counts.items() if kind.strong)


@dataclass(frozen=True)
class PlannedMerge:
    """Two customers to join, and why."""

    customers: tuple[str, str]
    kind: Kind
    message_id: str
    alias: bool


@dataclass(frozen=True)
class PlannedConflict:
    """A merge or link that a guard stopped. `customers` holds one when an identifier was refused to it."""

    customers: tuple[str, ...]
    guard: Guard
    kind: Kind
    message_id: str


@dataclass
class Resolver:
    """Resolves evidence, one event after the other, against a snapshot that it keeps up to date."""

    identifiers: dict[Identifier, Known]
    profiles: dict[str, Profile]
    """Uid of every customer at hand -> its profile; members share the object."""
    undone: Collection[str]
    """`graph.pair` keys of customers that people have separated."""
    limits: Limits
    new_uid: Callable[[], str]
    now: datetime

    new_customers: list[str] = field(default_factory=list)
    new_identifiers: dict[Identifier, Known] = field(default_factory=dict)
    changed_claims: set[Identifier] = field(default_factory=set)
    merges: list[PlannedMerge] = field(default_factory=list)
    conflicts: dict[tuple[tuple[str, ...], Guard, Kind], PlannedConflict] = field(default_factory=dict)

    def resolve(self, evidence: Evidence) -> tuple[str, Identifier]:
        """Uid of the customer the event belongs to, and the identifier that brought it there.

        Raises ValueError when there is no identifier at all.
        """
        if evidence.previous:
            evidence = self._with_previous(evidence)
        if evidence.strong:
            lead = evidence.strong[0]
            owner = self._resolve_strong(evidence)
            for identifier in evidence.weak:
                self._claim(identifier, owner, evidence)
            return owner, lead
        if not evidence.weak:
            raise ValueError("evidence without an identifier")
        lead = evidence.weak[0]
        known = self.identifiers.get(lead)
        if known is None:
            known = self._add(lead, self._new_customer(), None)
        return known.customer, lead

    def _with_previous(self, evidence: Evidence) -> Evidence:
        source = evidence.strong[0].source
        device = Identifier(Kind.ANONYMOUS_ID, source, evidence.previous)
        if device in evidence.weak:
            return evidence
        if device in self.identifiers:
            return evidence._replace(weak=(*evidence.weak, device))
        return evidence._replace(strong=(*evidence.strong, Identifier(Kind.USER_ID, source, evidence.previous)))

    def _resolve_strong(self, evidence: Evidence) -> str:
        """Every user id starts as a customer of its own: what joins it to others is a merge, explained and undoable."""
        lead = evidence.strong[0]
        known = self.identifiers.get(lead)
        if known:
            anchor = known.customer
        elif lead.kind is Kind.USER_ID:
            anchor = self._adopt(evidence) or self._new_customer()
        else:
            named = next((found.customer for one in evidence.strong if (found := self.identifiers.get(one))), None)
            anchor = named or self._adopt(evidence) or self._new_customer()
        for identifier in evidence.strong:
            known = self.identifiers.get(identifier)
            if known is None and identifier.kind is Kind.USER_ID and identifier != lead:
                known = self._add(identifier, self._new_customer(), None)
            if known is None:
                if self._has_room(anchor, identifier, evidence):
                    self._add(identifier, anchor, None)
            elif known.customer != anchor:
                self._merge(anchor, known.customer, identifier.kind, evidence)
        return anchor

    def _adopt(self, evidence: Evidence) -> str | None:
        """The customer of an anonymous id that nobody owns yet: who comes first with a name is that person."""
        for identifier in evidence.weak:
            known = self.identifiers.get(identifier)
            if known and known.claim is None:
                profile = self.profiles[known.customer]
                if not profile.strong and not profile.deleted:
                    return known.customer
        return None

    def _claim(self, identifier: Identifier, owner: str, evidence: Evidence) -> None:
        claim = Claim(evidence.event_time, evidence.message_id)
        known = self.identifiers.get(identifier)
        if known is None:
            if self._has_room(owner, identifier, evidence):
                self._add(identifier, owner, claim)
            return
        mine, theirs = self.profiles[owner], self.profiles[known.customer]
        if mine is theirs:
            if known.claim is None or claim < known.claim:
                self._change(identifier, known.customer, claim)
        elif known.claim is None:
            # Never seen with a person: what it did before belongs to the one it is now seen with. A profile that got
            # its name otherwise (by the API, by a merge) keeps it.
            if not theirs.strong and self._merge(owner, known.customer, identifier.kind, evidence):
                self._change(identifier, known.customer, claim)
        elif (
            claim < known.claim
            and pair(owner, known.customer) not in self.undone
            and self._has_room(owner, identifier, evidence)
        ):
            # Seen earlier with somebody else: the id moves, what it already brought stays where it is.
            theirs.counts[identifier.kind] -= 1
            mine.counts[identifier.kind] += 1
            self._change(identifier, owner, claim)

    def _merge(self, one: str, other: str, kind: Kind, evidence: Evidence) -> bool:
        """Joins two profiles unless a guard stops it. True when they are one afterwards."""
        mine, theirs = self.profiles[one], self.profiles[other]
        if mine is theirs:
            return True
        counts = mine.counts + theirs.counts
        exceeded = exceeded_kind(counts, self.limits)
        if mine.deleted or theirs.deleted:
            guard = Guard.CUSTOMER_DELETED
        elif self._separated(mine, theirs):
            guard = Guard.UNMERGED_BEFORE
        elif len(mine.members) + len(theirs.members) > self.limits.members:
            guard = Guard.MEMBER_LIMIT
        elif exceeded:
            guard, kind = Guard.IDENTIFIER_LIMIT, exceeded
        else:
            self.merges.append(PlannedMerge((one, other), kind, evidence.message_id, bool(evidence.previous)))
            joined = Profile(mine.members | theirs.members, counts)
            for member in joined.members:
                self.profiles[member.uid] = joined
            return True
        self._conflict(tuple(sorted((canonical(mine.members), canonical(theirs.members)))), guard, kind, evidence)
        return False

    def _separated(self, mine: Profile, theirs: Profile) -> bool:
        if not self.undone:
            return False
        return any(pair(a.uid, b.uid) in self.undone for a in mine.members for b in theirs.members)

    def _has_room(self, customer: str, identifier: Identifier, evidence: Evidence) -> bool:
        profile = self.profiles[customer]
        kind = identifier.kind
        if profile.counts[kind] < self.limits.identifiers[kind]:
            return True
        self._conflict((canonical(profile.members),), Guard.IDENTIFIER_LIMIT, kind, evidence)
        return False

    def _conflict(self, customers: tuple[str, ...], guard: Guard, kind: Kind, evidence: Evidence) -> None:
        self.conflicts.setdefault(
            (customers, guard, kind), PlannedConflict(customers, guard, kind, evidence.message_id)
        )

    def _new_customer(self) -> str:
        uid = self.new_uid()
        self.new_customers.append(uid)
        self.profiles[uid] = Profile({Node(self.now, uid)})
        return uid

    def _add(self, identifier: Identifier, customer: str, claim: Claim | None) -> Known:
        known = Known(customer, claim)
        self.identifiers[identifier] = self.new_identifiers[identifier] = known
        self.profiles[customer].counts[identifier.kind] += 1
        return known

    def _change(self, identifier: Identifier, customer: str, claim: Claim) -> None:
        known = self.identifiers[identifier]
        known.customer, known.claim = customer, claim
        if identifier not in self.new_identifiers:
            self.changed_claims.add(identifier)


def distinct(evidence: Collection[Evidence]) -> set[Identifier]:
    """Every identifier the evidence may speak of: what `Resolver.identifiers` must know, if it is known."""
    found = {identifier for one in evidence for identifier in (*one.strong, *one.weak)}
    for one in evidence:
        if one.previous:
            source = one.strong[0].source
            found |= {Identifier(kind, source, one.previous) for kind in (Kind.USER_ID, Kind.ANONYMOUS_ID)}
    return found
