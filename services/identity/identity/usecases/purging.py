"""Removing deleted customers for good, 30 days after their deletion."""

import logging

import docstore
from chassis import clock, tenancy
from identity.store import Customer, Facet, IdentifierRow, Merge, MergeConflict, TimelineEntry
from identity.usecases import profiles

logger = logging.getLogger(__name__)

_AT_ONCE = 100


def purge_due() -> int:
    """Purge the deleted customers of all tenants whose time is over; returns how many customers went."""
    with docstore.platform_scope():
        due = {"purge_time": {"$lte": clock.now()}, "merged": False}
        found = list(docstore.platform_collection(Customer).find(due, {"tenant": 1, "uid": 1}, limit=_AT_ONCE))
    count = 0
    for row in found:
        with tenancy.service_context(row["tenant"], method="purge"):
            count += _purge(row["uid"])
    return count


def _purge(canonical: str) -> int:
    """Remove a whole profile. Timeline first: it may be long, and removing it again is harmless."""
    uids = [member.uid for member in profiles.load([canonical]).values()]
    TimelineEntry.rows().delete_many({"customer": {"$in": uids}})
    Facet.rows().delete_many({"customer": {"$in": uids}})
    return docstore.in_transaction(lambda: _purge_profile(canonical))


def _purge_profile(canonical: str) -> int:
    members = profiles.load([canonical])
    if any(member.purge_time is None or member.purge_time > clock.now() for member in members.values()):
        return 0
    uids = list(members)
    IdentifierRow.rows().delete_many({"customer": {"$in": uids}})
    TimelineEntry.rows().delete_many({"customer": {"$in": uids}})
    Facet.rows().delete_many({"customer": {"$in": uids}})
    MergeConflict.rows().delete_many({"customers": {"$in": uids}})
    for merge in Merge.find({"ends": {"$in": uids}}):
        merge.purge()
    for member in members.values():
        member.purge()
    logger.info("purged a deleted profile", extra={"customers": len(members)})
    return len(members)
