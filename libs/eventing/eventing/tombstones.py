"""The erased: names of people whose late events must not bring them back (GDPR article 17)."""

from collections.abc import Iterable

from pymongo import UpdateOne

import docstore
from chassis import clock
from eventing.records import Tombstone


def erase(subjects: Iterable[str]) -> None:
    """Marks people (pseudonymous resource names) as erased for the current tenant. Repeating it changes nothing."""
    now = clock.real_now()
    docstore.collection(Tombstone).bulk_write(
        UpdateOne({"uid": subject}, {"$setOnInsert": {"create_time": now}}, upsert=True)
        for subject in dict.fromkeys(subjects)
    )


def erased(subjects: Iterable[str]) -> frozenset[str]:
    """Those of the people whom the current tenant has erased."""
    wanted = list(subjects)
    if not wanted:
        return frozenset()
    rows = docstore.collection(Tombstone).find({"uid": {"$in": wanted}}, {"uid": 1})
    return frozenset(row["uid"] for row in rows)
