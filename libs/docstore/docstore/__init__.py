"""Stored documents: tenant-bound, versioned, with events and idempotent requests, on MongoDB.

A service declares `Aggregate` and `Record` classes, writes its use cases as `@command` functions, and reads through the
classes or `collection(...)`. Everything here belongs to the current tenant (`chassis.tenancy`).
"""

from docstore import aliases, batches, blobs, due, explain, filters, leases, listener, masks, paging
from docstore.aggregate import Aggregate, aggregate_of, aggregates
from docstore.batches import Batch
from docstore.commands import command
from docstore.connection import Row, client, connect, database, disconnect, ping
from docstore.documents import InstantField, whole_milliseconds
from docstore.errors import Conflict
from docstore.gathering import asked_once, gathered_writes
from docstore.migration import Migration, create_indexes, migrate, require_version
from docstore.records import Record
from docstore.scope import in_platform_scope, platform_scope
from docstore.tenanted import TenantCollection, collection, platform_collection
from docstore.transactions import in_transaction, transaction_active

__all__ = [
    "Aggregate",
    "Batch",
    "Conflict",
    "InstantField",
    "Migration",
    "Record",
    "Row",
    "TenantCollection",
    "aggregate_of",
    "aggregates",
    "aliases",
    "asked_once",
    "batches",
    "blobs",
    "client",
    "collection",
    "command",
    "connect",
    "create_indexes",
    "database",
    "disconnect",
    "due",
    "explain",
    "filters",
    "gathered_writes",
    "in_platform_scope",
    "in_transaction",
    "leases",
    "listener",
    "masks",
    "migrate",
    "paging",
    "ping",
    "platform_collection",
    "platform_scope",
    "require_version",
    "transaction_active",
    "whole_milliseconds",
]
