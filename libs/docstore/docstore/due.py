"""What is due: documents with a `due` instant, claimed by lease, so that each is worked on by one process at a time.

The business clock decides what is due, the real clock how long a process may hold it. A process that dies leaves its
claims to the others when their leases end.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import groupby
from typing import Any

from pymongo import UpdateOne

from chassis import clock, tenancy
from docstore import leases
from docstore.connection import Row
from docstore.documents import TenantDocument
from docstore.scope import platform_scope
from docstore.tenanted import platform_collection

INDEX: dict[str, Any] = {"fields": [("due", 1), ("lease.until", 1)], "sparse": True, "platform": True}
"""The index of a collection whose documents are claimed."""


def claim(cls: type[TenantDocument], limit: int, lease_s: float, owner: str) -> list[tuple[str, list[Row]]]:
    """Leases up to `limit` due documents of any tenant, those due longest first; returns them by tenant."""
    with platform_scope():
        rows = platform_collection(cls)
        due = {"due": {"$lte": clock.now()}, **leases.free()}
        found = [row["_id"] for row in rows.find(due, {"_id": 1}, sort=[("due", 1)], limit=limit)]
        if not found:
            return []
        lease = leases.new_lease(lease_s, owner)
        rows.update_many({"_id": {"$in": found}, **due}, {"$set": {"lease": lease}})
        mine = rows.find({"_id": {"$in": found}, "lease.token": lease["token"]}, {"outbox": 0})
        claimed = sorted(mine, key=lambda row: (row["tenant"], row["due"], row["_id"]))
    return [(tenant, list(group)) for tenant, group in groupby(claimed, key=lambda row: str(row["tenant"]))]


def work(
    cls: type[TenantDocument], limit: int, lease_s: float, owner: str, method: str, one: Callable[[Row], object]
) -> int:
    """Claims and works at each document by itself, as its tenant; returns at how many. method: what is then traced."""

    def each(rows: list[Row]) -> None:
        for row in rows:
            one(row)

    return work_by_tenant(cls, limit, lease_s, owner, method, each)


def work_by_tenant(
    cls: type[TenantDocument],
    limit: int,
    lease_s: float,
    owner: str,
    method: str,
    all_of: Callable[[list[Row]], object],
) -> int:
    """The same at all claimed documents of a tenant together."""
    count = 0
    for tenant, rows in claim(cls, limit, lease_s, owner):
        with tenancy.service_context(tenant, method=method):
            all_of(rows)
        count += len(rows)
    return count


def plan(row: Row, changes: Row, due: datetime | None) -> UpdateOne:
    """Gives a claimed document back with changes, due again at `due` or never, unless the claim was lost."""
    update: Row = {"$set": dict(changes), "$unset": {"lease": ""}}
    if due is None:
        update["$unset"]["due"] = ""
    else:
        update["$set"]["due"] = due
    return UpdateOne(leases.held(row), update if update["$set"] else {"$unset": update["$unset"]})


def hand_back(cls: type[TenantDocument], rows: Iterable[Row], pause_s: float) -> None:
    """Lets claimed documents of the current tenant be claimed again after `pause_s` seconds."""
    for row in rows:
        leases.release(cls.rows(), row, pause_s=pause_s)
