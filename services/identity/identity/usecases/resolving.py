"""Resolution against the store: what `domain.resolution` needs to know is read in bulk, what it decides is written."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

import docstore
from chassis import clock, ids
from identity.domain.graph import Node
from identity.domain.identifiers import Identifier, Kind
from identity.domain.resolution import Claim, Evidence, Known, Profile, Resolver, distinct
from identity.settings import IdentitySettings
from identity.store import Customer, IdentifierRow
from identity.store.erasures import erased
from identity.store.merges import record_conflicts, separated_pairs
from identity.usecases import merges, profiles

News = tuple[int, Mapping[str, Any], datetime]
"""Index of the evidence it came with, values to learn (keys as in `domain.profile`), and when they were true."""

Owner = tuple[str, Identifier]
"""Uid of the customer an event belongs to, and the identifier that says so."""


def settle(
    evidence: Sequence[Evidence],
    news: Sequence[News],
    source: str,
    receive_time: datetime,
    settings: IdentitySettings,
) -> list[Owner | None]:
    """Whose each piece of evidence is, after storing what it says about identities and profiles.

    None for what is about somebody who was erased (`domain.erasures`): nothing of it is stored. Events that say
    nothing new, nearly all, cost three queries and no transaction. Repeating it changes nothing.
    """
    if not news:
        gone = erased(evidence, receive_time)
        kept = [one for place, one in enumerate(evidence) if place not in gone]
        identifiers = _known(distinct(kept))
        canonicals = _canonicals(known.customer for known in identifiers.values())
        if all(_says_nothing_new(one, identifiers, canonicals) for one in kept):
            leads = [(one.strong or one.weak)[0] for one in evidence]
            return [None if place in gone else (identifiers[lead].customer, lead) for place, lead in enumerate(leads)]
    return docstore.in_transaction(lambda: _settle(evidence, news, source, receive_time, settings))


def _settle(
    evidence: Sequence[Evidence],
    news: Sequence[News],
    source: str,
    receive_time: datetime,
    settings: IdentitySettings,
) -> list[Owner | None]:
    now = docstore.whole_milliseconds(clock.now())
    # In the transaction: its snapshot either has the person's identifiers still, and conflicts with the erasure when
    # it writes their profile, or has the marks that took their place.
    gone = erased(evidence, receive_time)
    identifiers = _known(distinct([one for place, one in enumerate(evidence) if place not in gone]))
    canonicals = _canonicals(known.customer for known in identifiers.values())
    whole = _profiles(set(canonicals.values()), canonicals)
    undone = separated_pairs(list(whole)) if whole else set()
    resolver = Resolver(identifiers, whole, undone, settings.limits(), ids.uuid7, now)
    owners = [None if place in gone else resolver.resolve(one) for place, one in enumerate(evidence)]
    _write_identifiers(resolver, now)
    record_conflicts(resolver.conflicts.values(), now)
    learnt = [(owner[0], values, when) for place, values, when in news if (owner := owners[place])]
    _write_profiles(resolver, canonicals, learnt, source)
    return owners


def _write_profiles(
    resolver: Resolver,
    canonicals: Mapping[str, str],
    news: Sequence[tuple[str, Mapping[str, Any], datetime]],
    source: str,
) -> None:
    touched = {known.customer for known in resolver.new_identifiers.values()}
    touched |= {resolver.identifiers[identifier].customer for identifier in resolver.changed_claims}
    concerned = touched | {uid for merge in resolver.merges for uid in merge.customers} | {uid for uid, _, _ in news}
    if not concerned:
        return
    started = {uid: Customer.started(uid, resolver.now) for uid in resolver.new_customers}
    stored = {canonicals[uid] for uid in concerned if uid not in started}
    customers = started | (profiles.load(stored) if stored else {})
    # Oldest first: what is told twice in one batch is then written once.
    updated = {uid for uid, values, when in sorted(news, key=lambda one: one[2]) if customers[uid].learn(values, when)}
    for merge in resolver.merges:
        rule = "RULE_ALIAS" if merge.alias else "RULE_SHARED_IDENTIFIER"
        reason = {"rule": rule, "identifier_kind": merge.kind.value, "message_id": merge.message_id}
        merges.join(customers, merge.customers, reason, f"sources/{source}")
        updated.add(merge.customers[0])
    profiles.write(customers, updated=updated, touched=touched)


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


def _says_nothing_new(
    evidence: Evidence, identifiers: Mapping[Identifier, Known], canonicals: Mapping[str, str]
) -> bool:
    """Whether all its identifiers are known, and as one person's."""
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
