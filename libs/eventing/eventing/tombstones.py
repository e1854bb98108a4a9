"""The erased: names of people whose late events must not bring them back (GDPR article 17)."""

from collections.abc import Iterable

import docstore
from chassis import clock, tenancy
from eventing.records import Tombstone


def erase(subjects: Iterable[str]) -> None:
    """Marks people (pseudonymous resource names) as erased for the current tenant. Repeating it changes nothing."""
    rows = docstore.collection(Tombstone)
    for subject in subjects:
        rows.update_one({"uid": subject}, {"$setOnInsert": {"create_time": clock.real_now()}}, upsert=True)


def erased(subjects: Iterable[str]) -> frozenset[str]:
    """Those of the people whom the current tenant has erased."""
    wanted = list(subjects)
    if not wanted:
        return frozenset()
    rows = docstore.collection(Tombstone).find({"uid": {"$in": wanted}}, {"uid": 1})
    return frozenset(row["uid"] for row in rows)


def is_erased(tenant: str, subjects: Iterable[str]) -> bool:
    """True when `tenant` has erased at least one of the people."""
    with tenancy.service_context(tenant):
        return bool(erased(subjects))
