"""The erased: names of people whose late events must not bring them back (GDPR article 17)."""

from collections.abc import Iterable

import docstore
from chassis import clock, tenancy

from eventing.records import Tombstone


def erase(subjects: Iterable[str]) -> None:
    """Marks people (pseudonymous resource names) as erased for the current tenant. Repeating it changes nothing."""
    rows = docstore.collection(Tombstone)
    for subject in subjects:
        rows.update_one(
            {"_id": f"{tenancy.tenant()}/{subject}"},
            {"$setOnInsert": {"subject": subject, "create_time": clock.now()}},
            upsert=True,
        )


def erased(subjects: Iterable[str]) -> frozenset[str]:
    """Those of the people whom the current tenant has erased."""
    wanted = [f"{tenancy.tenant()}/{subject}" for subject in subjects]
    if not wanted:
        return frozenset()
    rows = docstore.collection(Tombstone).find({"_id": {"$in": wanted}}, {"subject": 1})
    return frozenset(row["subject"] for row in rows)


def is_erased(tenant: str, subjects: Iterable[str]) -> bool:
    """True when `tenant` has erased at least one of the people."""
    with tenancy.service_context(tenant, principal="services/eventing"):
        return bool(erased(subjects))
