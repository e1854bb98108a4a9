"""Leases: one process works on a document at a time, and a dead one's work is free again when its lease ends.

Leases run on the real clock. A leased document carries `lease: {owner, token, until}`.
"""

from datetime import timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.collection import Collection

from chassis import clock, ids
from docstore.connection import Row
from docstore.tenanted import Filter, TenantCollection

Leasable = TenantCollection | Collection[Row]
"""A tenant's collection, or inside `platform_scope()` that of all tenants."""


class LeaseLost(Exception):  # noqa: N818 - reads as what is the matter
    """Somebody else has claimed the document meanwhile; nothing was changed."""


def free() -> Row:
    """Filter for documents nobody holds. Combine it with an index that ends in `lease.until`."""
    return {"lease.until": {"$not": {"$gt": clock.real_now()}}}


def new_lease(lease_s: float, owner: str) -> Row:
    """The stored lease; its token tells this claim from every other one."""
    return {"owner": owner, "token": ids.uuid7(), "until": clock.real_now() + timedelta(seconds=lease_s)}


def claim(collection: Leasable, filter: Filter, lease_s: float, owner: str, **options: Any) -> Row | None:
    """Lease one free document that matches, for `lease_s` seconds; returns it with its lease, or None.

    `options` are those of pymongo's find_one_and_update (`sort`, `projection` and so on; keep `lease` in it).
    """
    wanted = {**filter, **free()}
    update = {"$set": {"lease": new_lease(lease_s, owner)}}
    if isinstance(collection, TenantCollection):
        return collection.find_one_and_update(wanted, update, **options)
    return collection.find_one_and_update(wanted, update, return_document=ReturnDocument.AFTER, **options)


def renew(collection: Leasable, leased: Row, lease_s: float) -> bool:
    """Prolong the lease of a claimed document; False when somebody else has claimed it meanwhile."""
    until = clock.real_now() + timedelta(seconds=lease_s)
    return collection.update_one(held(leased), {"$set": {"lease.until": until}}).matched_count == 1


def release(collection: Leasable, leased: Row, *, pause_s: float = 0.0) -> bool:
    """Give a claimed document back, to be claimed again after `pause_s` seconds; False when the lease was lost."""
    until = clock.real_now() + timedelta(seconds=pause_s)
    return collection.update_one(held(leased), {"$set": {"lease.until": until}}).matched_count == 1


def change(collection: Leasable, leased: Row, update: Row, **as_it_was: Any) -> None:
    """Change a claimed document, or make the transaction fail. as_it_was: fields that must not have changed either.

    Raises LeaseLost.
    """
    if collection.update_one({**held(leased), **as_it_was}, update).matched_count != 1:
        raise LeaseLost


def held(leased: Row) -> Row:
    """Filter for a claimed document as long as nobody else has claimed it; put it into every update of it."""
    owned: Row = {"tenant": leased["tenant"]} if "tenant" in leased else {}
    return {**owned, "_id": leased["_id"], "lease.token": leased["lease"]["token"]}
