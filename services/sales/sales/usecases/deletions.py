"""Soft deletion: what may be brought back, and what goes for good when its time is over."""

import logging

import docstore
from chassis import clock, tenancy
from chassis.errors import Aborted, FailedPrecondition, NotFound
from docstore.aggregate import Aggregate
from sales.store import Account, Contact, Pipeline

logger = logging.getLogger(__name__)

_AT_ONCE = 100
_KINDS: tuple[type[Aggregate], ...] = (Account, Contact, Pipeline)


def require_deleted(document: Aggregate) -> None:
    """Raises FailedPrecondition NOT_DELETED for a document that is there."""
    if document.delete_time is None:
        raise FailedPrecondition(
            "NOT_DELETED", f"{document.name} is not deleted.", metadata={"resource": document.name}
        )


def purge_due() -> int:
    """Removes deleted accounts, contacts and pipelines of all tenants whose time is over; returns how many went."""
    return sum(_purge(kind) for kind in _KINDS)


def _purge(kind: type[Aggregate]) -> int:
    with docstore.platform_scope():
        due = {"purge_time": {"$lte": clock.now()}}
        found = list(docstore.platform_collection(kind).find(due, {"tenant": 1, "uid": 1}, limit=_AT_ONCE))
    for row in found:
        with tenancy.service_context(row["tenant"], method="purge"):
            try:
                document = kind.get(row["uid"], deleted=True)
                if document.purge_time is not None and document.purge_time <= clock.now():
                    document.purge()
            except (Aborted, NotFound):
                logger.info("a deleted document was changed while it was to be purged; looked at again")
    return len(found)
