"""Erasure requests and what the services have answered."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, ClassVar, Self

import mongoengine as me

import docstore
from docstore.aggregate import Aggregate
from docstore.documents import InstantField

REQUESTED = "STATE_REQUESTED"
RUNNING = "STATE_RUNNING"
COMPLETED = "STATE_COMPLETED"


class ErasedItems(me.EmbeddedDocument):
    """How much of one kind was erased."""

    kind: Any = me.StringField(required=True)
    removed: Any = me.LongField(required=True)
    anonymized: Any = me.LongField(required=True)


class ErasureStep(me.EmbeddedDocument):
    """One service's part. Without `sequence` it has not answered."""

    service: Any = me.StringField(required=True)
    sequence: Any = me.ListField(me.LongField())
    """That of the answer's event; the highest holds, for every answer tells of all rounds."""
    customers: Any = me.ListField(me.StringField())
    items: Any = me.EmbeddedDocumentListField(ErasedItems)
    erase_time: Any = InstantField()
    interrupted: Any = me.BooleanField()
    """The counts are minima."""

    def answered(self, customers: Collection[str]) -> bool:
        """Whether the service has erased all these customers."""
        return bool(self.sequence) and set(customers) <= set(self.customers)


class Certificate(me.EmbeddedDocument):
    """The signed proof, as it is given out."""

    text: Any = me.StringField(required=True)
    signature: Any = me.BinaryField(required=True)
    key_id: Any = me.StringField(required=True)
    public_key_pem: Any = me.StringField(required=True)


class ErasureRequest(Aggregate):
    """One request. open: the canonical customer as long as it is not completed, so that a person has one open request.

    residue_days: how long raw copies may last, as it was set when the request was made.
    """

    resource = "erasureRequests"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "erasure_requests",
        "indexes": [
            ["tenant", "id"],
            ["tenant", "customers", "id"],
            ["tenant", "state", "id"],
            {"fields": ["tenant", "open"], "unique": True, "partialFilterExpression": {"open": {"$exists": True}}},
            {
                "fields": ["request_time"],
                "partialFilterExpression": {"open": {"$exists": True}},
                "name": "open_since",
                "platform": True,
            },
        ],
    }

    customer: Any = me.StringField(required=True)
    customers: Any = me.ListField(me.StringField(), required=True)
    method: Any = me.StringField(required=True)
    origin: Any = me.StringField()
    state: Any = me.StringField(required=True, choices=[REQUESTED, RUNNING, COMPLETED], default=REQUESTED)
    steps: Any = me.EmbeddedDocumentListField(ErasureStep, required=True)
    rounds: Any = me.IntField(required=True, default=1)
    actor: Any = me.StringField(required=True)
    request_time: Any = InstantField(required=True)
    due_time: Any = InstantField(required=True)
    complete_time: Any = InstantField()
    residue_days: Any = me.IntField(required=True)
    certificate: Any = me.EmbeddedDocumentField(Certificate)
    open: Any = me.StringField()

    @classmethod
    def open_about(cls, customers: Collection[str]) -> Self | None:
        """An open request about one of the customers (resource names)."""
        found = cls.find({"customers": {"$in": list(customers)}, "open": {"$exists": True}}, limit=1)
        return found[0] if found else None

    def step(self, service: str) -> ErasureStep:
        """The part of a service; one that was not asked for is added, for what it erased is told too."""
        found: ErasureStep
        for found in self.steps:
            if found.service == service:
                return found
        self.steps.append(ErasureStep(service=service))
        found = self.steps[-1]
        return found


def oldest_open() -> datetime | None:
    """When the oldest request of any tenant that is not completed was made."""
    with docstore.platform_scope():
        rows = docstore.platform_collection(ErasureRequest)
        row = rows.find_one(
            {"open": {"$exists": True}}, {"request_time": 1}, sort=[("request_time", 1)], hint="open_since"
        )
    return row["request_time"] if row else None
