"""Objections and merges: what other services tell about customers takes scores away at once.

All of this runs in the transaction of an event handler.
"""

from datetime import datetime

from docstore import aliases
from docstore.aliases import AliasChange
from scoring.store import Objection
from scoring.store.objections import objecting, profile_of
from scoring.usecases import memberships
from scoring.usecases.memberships import Cause


def object_to_profiling(customer: str, consent: str, decide_time: datetime) -> None:
    """A customer objected: the profile has no scores any more, and gets none."""
    row = {"customer": customer, "consent": consent, "decide_time": decide_time}
    Objection.rows().update_one({"uid": _uid(customer)}, {"$set": row}, upsert=True)
    memberships.forestall()
    memberships.remove([_uid(name) for name in profile_of(customer)], Cause.CAUSE_SCORES_REMOVED)


def allow_profiling(customer: str) -> None:
    """A customer agreed again; the next job may score the profile, if consent then allows it."""
    Objection.rows().delete_one({"uid": _uid(customer)})


def follow_alias(change: AliasChange) -> None:
    """A customer belongs to a profile now, or stands alone again.

    Scores stand for whole profiles: those of a merged member go at once, and the profile's with them if a member
    objected. What the profile is worth as a whole shows after the next job.
    """
    aliases.apply([change])
    canonical = aliases.resolve([change.customer])[change.customer]
    if canonical == change.customer:
        return
    memberships.forestall()
    memberships.remove([_uid(change.customer)], Cause.CAUSE_MERGED)
    if objecting([canonical]):
        memberships.remove([_uid(canonical)], Cause.CAUSE_SCORES_REMOVED)


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
