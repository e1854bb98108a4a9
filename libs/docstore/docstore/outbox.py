"""Events kept in the document that caused them, until the relay has published them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from bson import Binary
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from chassis import ids
from contracts import descriptors
from docstore.tracing import current_traceparent

CAP = 500
"""Unsent events one document may hold; a write past it is refused until the relay has caught up."""

PURGED_AND_SENT: dict[str, Any] = {"purged": True, "outbox.0": {"$exists": False}}
"""Matches tombstones whose last event is out: nothing needs them any more."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An event on its way into the outbox."""

    type: str
    body: bytes
    datasubjects: tuple[str, ...]
    id: str = field(default_factory=ids.uuid7)


def pending(event: Message, datasubjects: Iterable[str]) -> Pending:
    """The event as it is now. Raises ValueError for a message whose proto does not declare it an event."""
    if descriptors.event_rule(cast(Descriptor, event.DESCRIPTOR)) is None:
        raise ValueError(f"{event.DESCRIPTOR.full_name} carries no rapport.options.v1.event option")
    body = event.SerializeToString(deterministic=True)
    return Pending(event.DESCRIPTOR.full_name, body, tuple(dict.fromkeys(datasubjects)))


def entries(
    events: Sequence[Pending], *, subject: str, tenant: str, version: int, time: datetime
) -> list[dict[str, Any]]:
    """The stored form. `version` is the aggregate's after the write; it opens every event's sequence.

    Keys: id, type, subject (the aggregate's name), tenant, time (business clock; the id tells real time), datasubjects,
    sequence (`[version, index]`), traceparent (absent without a trace) and body (Binary).
    """
    traceparent = current_traceparent()
    trace = {"traceparent": traceparent} if traceparent else {}
    return [
        {
            "id": event.id,
            "type": event.type,
            "subject": subject,
            "tenant": tenant,
            "time": time,
            "datasubjects": list(event.datasubjects),
            "sequence": [version, index],
            **trace,
            "body": Binary(event.body),
        }
        for index, event in enumerate(events)
    ]
