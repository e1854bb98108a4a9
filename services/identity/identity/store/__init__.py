"""Documents of identity and the queries over them."""

from identity.store import agent_view
from identity.store.agent_view import Facet
from identity.store.customers import Customer, IdentifierRow, TenantProfile
from identity.store.erasures import ErasedIdentifier
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
    *agent_view.DOCUMENTS,
    ErasedIdentifier,
    TenantProfile,
)
"""Every collection of the service, for `docstore.migrate`."""

__all__ = [
    "DOCUMENTS",
    "Customer",
    "ErasedIdentifier",
    "Facet",
    "IdentifierRow",
    "IngestionBatch",
    "Merge",
    "MergeConflict",
    "QuarantinedEvent",
    "TenantProfile",
    "TimelineEntry",
]
