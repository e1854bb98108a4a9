"""Documents of identity and the queries over them."""

from identity.store.customers import Customer, IdentifierRow, TenantProfile
from identity.store.ingestion import IngestionBatch, QuarantinedEvent
from identity.store.merges import Merge, MergeConflict
from identity.store.timeline import TimelineEntry

DOCUMENTS = (
    Customer,
    IdentifierRow,
    Merge,
    MergeConflict,
    IngestionBatch,
    QuarantinedEvent,
    TimelineEntry,
    TenantProfile,
)
"""Every collection of the service, for `docstore.migrate`."""

__all__ = [
    "DOCUMENTS",
    "Customer",
    "IdentifierRow",
    "IngestionBatch",
    "Merge",
    "MergeConflict",
    "QuarantinedEvent",
    "TenantProfile",
    "TimelineEntry",
]
