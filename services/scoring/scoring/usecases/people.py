"""Objections and merges: what other services tell about customers takes scores and memberships away at once.

All of this runs in the transaction of an event handler.
"""

from collections.abc import Collection
from datetime import datetime

from docstore import aliases
from docstore.aliases import AliasChange
from scoring.store import Objection, histories
from scoring.store.objections import due_in_results, objecting, profile_of
from scoring.usecases import (
    customer_offers,
    customer_send_times,
    journey_entrants,
    leads,
    memberships,
    payments,
    signals,
)
from scoring.usecases.memberships import Cause


def object_to_profiling(customer: str, consent: str, decide_time: datetime) -> None:
    """A customer objected: the profile has no scores any more, is in no segment, and comes into none."""
    row = {"customer": customer, "consent": consent, "decide_time": decide_time, **due_in_results()}
    Objection.rows().update_one({"uid": _uid(customer)}, {"$set": row}, upsert=True)
    memberships.forestall()
    profile = profile_of(customer)
    _leave([_uid(name) for name in profile], Cause.CAUSE_SCORES_REMOVED)
    histories.forget(profile)
    customer_offers.remove(profile)
    customer_send_times.remove(profile)
    leads.remove_of(profile)
    journey_entrants.forget(profile)
    payments.forget(profile)


def allow_profiling(customer: str) -> None:
    """A customer agreed again: it may come into segments, and the next job may score it, if consent then allows it."""
    Objection.rows().delete_one({"uid": _uid(customer)})
    profile = profile_of(customer)
    signals.look_again(profile, Cause.CAUSE_CUSTOMER_CHANGED)
    leads.look_again(profile)


def follow_alias(change: AliasChange) -> None:
    """A customer belongs to a profile now, or stands alone again.

    Scores stand for whole profiles: those of a merged member go at once, and the profile's with them if a member
    objected. What the profile is worth as a whole shows after the next job; its traits, events and consents count
    together from now on.
    """
    before = aliases.resolve([change.customer])[change.customer]
    aliases.apply([change])
    canonical = aliases.resolve([change.customer])[change.customer]
    signals.look_again({change.customer, before, canonical}, Cause.CAUSE_CUSTOMER_CHANGED)
    if canonical == change.customer:
        return
    memberships.forestall()
    _leave([_uid(change.customer)], Cause.CAUSE_MERGED)
    customer_offers.remove([change.customer])
    customer_send_times.remove([change.customer])
    if objecting([canonical]):
        _leave([_uid(canonical)], Cause.CAUSE_SCORES_REMOVED)
        profile = profile_of(canonical)
        Objection.rows().update_many({"uid": {"$in": list(map(_uid, profile))}}, {"$set": due_in_results()})
        histories.forget(profile)
        customer_offers.remove([canonical])
        customer_send_times.remove([canonical])
        leads.remove_of(profile)
        journey_entrants.forget(profile)
        payments.forget(profile)


def _leave(uids: Collection[str], cause: Cause.Cause) -> None:
    memberships.expel(uids, cause)
    memberships.remove(uids, cause)


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
