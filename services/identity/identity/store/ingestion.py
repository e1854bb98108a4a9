"""Ingestion batches and quarantined events."""

from datetime import timedelta
from typing import Any, ClassVar

from mongoengine import BinaryField, IntField, StringField

import docstore

QUARANTINE_KEPT = timedelta(days=30)


class IngestionBatch(docstore.Batch):
    """A durable intake of events, applied by role `run`."""

    resource: ClassVar[str] = "ingestionBatches"
    kept_for: ClassVar[timedelta] = timedelta(days=7)

    source: Any = StringField(required=True)
    payload: Any = BinaryField()
    """`IngestEventsRequest` with the source and the accepted events."""
    accepted_count: Any = IntField(required=True)
    duplicate_count: Any = IntField()
    unread_value_count: Any = IntField()

    meta: ClassVar[dict[str, Any]] = {"collection": "ingestion_batches"}


class QuarantinedEvent(docstore.Record):
    """An event that could not be accepted."""

    source: Any = StringField(required=True)
    message_id: Any = StringField()
    reason: Any = StringField(required=True)
    field: Any = StringField()
    description: Any = StringField(required=True)
    body: Any = StringField()
    create_time: Any = docstore.InstantField(required=True)
    expire_time: Any = docstore.InstantField(required=True)

    meta: ClassVar[dict[str, Any]] = {
        "collection": "quarantined_events",
        "indexes": [
            {"fields": ["tenant", "create_time", "id"]},
            {"fields": ["tenant", "source", "message_id"]},
            {"fields": ["expire_time"], "expireAfterSeconds": 0},
        ],
    }
