"""Resolution against the store: what `domain.resolution` needs to know is read in bulk, what it decides is written."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

import docstore
from chassis import ids
from identity.domain.graph import Node
from identity.domain.identifiers import Identifier, Kind
from identity.domain.resolution import Claim, Evidence, Known, Profile, Resolver, distinct
from identity.settings import IdentitySettings
from identity.store import Customer, IdentifierRow
from identity.store.merges import record_conflicts, separated_pairs
from identity.usecases import merges, profiles

News = tuple[str, Mapping[str, Any], datetime]
"""Uid of a customer, values to learn (keys as in `domain.profile`), and when they were true."""


@dataclass
class Resolved:
    """Whose each piece of evidence is, and what has to be written for it."""

    owners: list[tuple[str, Identifier]]
    resolver: Resolver
    canonicals: dict[str, str]
    """Uid of every stored customer at hand -> uid of the one that stands for it."""


def resolve(evidence: Sequence[Evidence], now: datetime, settings: IdentitySettings) -> Resolved:
    """Decide for all evidence at once, in its order. At most five queries."""
    identifiers = _known(distinct(evidence))
    owners = {known.customer for known in identifiers.values()}
    canonicals = _canonicals(owners)
    # Rows alone decide as long as every identifier is known and all those of one event name one profile.
    settled = all(_settled(one, identifiers, canonicals) for one in evidence)
    if settled:
        stored = {uid: Profile({Node(now, canonicals[uid])}) for uid in set(canonicals.values())}
        whole = {uid: stored[canonical] for uid, canonical in canonicals.items()}
        undone: set[str] = set()
    else:
        whole = _profiles(set(canonicals.values()), canonicals)
        undone = separated_pairs(list(whole)) if whole else set()
    resolver = Resolver(identifiers, whole, undone, settings.limits(), ids.uuid7, docstore.whole_milliseconds(now))
    return Resolved([resolver.resolve(one) for one in evidence], resolver, canonicals)


def write(resolved: Resolved, news: Sequence[News], actor: str, now: datetime) -> None:
    """Store what was decided and learnt, with its events. Runs inside a transaction."""
    resolver = resolved.resolver
    _write_identifiers(resolver, now)
    record_conflicts(resolver.conflicts.values(), now)
    touched = {known.customer for known in resolver.new_identifiers.values()}
    touched |= {resolver.identifiers[identifier].customer for identifier in resolver.changed_claims}
    concerned = touched | {uid for merge in resolver.merges for uid in merge.customers} | {uid for uid, _, _ in news}
    if not concerned:
        return
    started = {uid: Customer.started(uid, resolver.now) for uid in resolver.new_customers}
    stored = {resolved.canonicals[uid] for uid in concerned if uid not in started}
    customers = started | (profiles.load(stored) if stored else {})
    updated = {uid for uid, values, when in _in_order(news) if customers[uid].learn(values, when)}
    for merge in resolver.merges:
        rule = "RULE_ALIAS" if merge.alias else "RULE_SHARED_IDENTIFIER"
        reason = {"rule": rule, "identifier_kind": merge.kind.value, "message_id": merge.message_id}
        merges.join(customers, merge.customers, reason, f"sources/{actor}")
        updated.add(merge.customers[0])
    profiles.write(customers, updated=updated, touched=touched)


def _in_order(news: Iterable[News]) -> list[News]:
    """Oldest first, so that a value told twice in one batch is learnt once more at most."""
    return sorted(news, key=lambda one: one[2])


def _known(wanted: Iterable[Identifier]) -> dict[Identifier, Known]:
    uids = {IdentifierRow.uid_of(identifier): identifier for identifier in wanted}
    known: dict[Identifier, Known] = {}
    for row in IdentifierRow.rows().find({"uid": {"$in": list(uids)}}):
        claim = Claim(row["claim_time"], row["claim_message"]) if "claim_time" in row else None
        known[uids[row["uid"]]] = Known(row["customer"], claim)
    return known


def _canonicals(customers: Iterable[str]) -> dict[str, str]:
    found = Customer.rows().find({"uid": {"$in": list(customers)}}, {"_id": 0, "uid": 1, "canonical": 1})
    return {row["uid"]: row["canonical"] for row in found}


def _settled(evidence: Evidence, identifiers: Mapping[Identifier, Known], canonicals: Mapping[str, str]) -> bool:
    """Whether the event tells nothing new about identities: the case of nearly all events."""
    if evidence.previous:
        return False
    profiles_named = set()
    for identifier in (*evidence.strong, *evidence.weak):
        known = identifiers.get(identifier)
        if known is None:
            return False
        claim = Claim(evidence.event_time, evidence.message_id)
        if not identifier.kind.strong and evidence.strong and (known.claim is None or claim < known.claim):
            return False
        if identifier.kind.strong or not evidence.strong:
            profiles_named.add(canonicals[known.customer])
    return len(profiles_named) == 1


def _profiles(canonicals: set[str], known: dict[str, str]) -> dict[str, Profile]:
    """The whole profiles, by uid of every member; `known` learns the members too."""
    if not canonicals:
        return {}
    found: dict[str, Profile] = {}
    fields = {"_id": 0, "uid": 1, "canonical": 1, "create_time": 1, "delete_time": 1}
    for row in Customer.rows().find({"canonical": {"$in": list(canonicals)}}, fields):
        profile = found.setdefault(row["canonical"], Profile(set()))
        profile.members.add(Node(row["create_time"], row["uid"]))
        profile.deleted = profile.deleted or row.get("delete_time") is not None
        known[row["uid"]] = row["canonical"]
    members = {node.uid: profile for profile in found.values() for node in profile.members}
    counted = IdentifierRow.rows().aggregate(
        [
            {"$match": {"customer": {"$in": list(members)}}},
            {"$group": {"_id": {"customer": "$customer", "kind": "$kind"}, "count": {"$sum": 1}}},
        ]
    )
    for group in counted:
        members[group["_id"]["customer"]].counts += Counter({Kind(group["_id"]["kind"]): group["count"]})
    return members


def _write_identifiers(resolver: Resolver, now: datetime) -> None:
    rows = [
        IdentifierRow.row(identifier, known.customer, now, known.claim)
        for identifier, known in resolver.new_identifiers.items()
    ]
    if rows:
        IdentifierRow.rows().insert_many(rows)
    changes = []
    for identifier in resolver.changed_claims:
        known = resolver.identifiers[identifier]
        if known.claim is None:
            raise AssertionError("a changed claim is a claim")
        changes.append(
            UpdateOne(
                {"uid": IdentifierRow.uid_of(identifier)},
                {
                    "$set": {
                        "customer": known.customer,
                        "claim_time": known.claim.event_time,
                        "claim_message": known.claim.message_id,
                    }
                },
            )
        )
    IdentifierRow.rows().bulk_write(changes)
