"""Events kept in the document that caused them, until the relay has published them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from bson import Binary
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from chassis import ids
from contracts import descriptors
from docstore.tracing import current_traceparent

CAP = 500
"""Unsent events one document may hold; a write past it is refused until the relay has caught up."""

PURGED_AND_SENT: dict[str, Any] = {"purged": True, "outbox.0": {"$exists": False}}
"""Matches tombstones whose last event is out: nothing needs them any more."""


DATASUBJECTS_MAX_BYTES = 96 * 1024
"""Room for the names of an event's people: they travel in one header, and AMQP wants all headers in one frame of
128 KiB. About 2,000 customers."""

_PERSON = re.compile("customers/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Pending:
    """An event on its way into the outbox."""

    type: str
    body: bytes
    datasubjects: tuple[str, ...]
    id: str = field(default_factory=ids.uuid7)


def pending(event: Message, datasubjects: Iterable[str]) -> Pending:
    """The event as it is now, about `datasubjects`, or the `people` it names when none are given.

    Raises ValueError for a message whose proto does not declare it an event, and for more people than
    DATASUBJECTS_MAX_BYTES.
    """
    if descriptors.event_rule(cast(Descriptor, event.DESCRIPTOR)) is None:
        raise ValueError(f"{event.DESCRIPTOR.full_name} carries no rapport.options.v1.event option")
    body = event.SerializeToString(deterministic=True)
    about = tuple(dict.fromkeys(datasubjects)) or people(event)
    if sum(len(name) + 1 for name in about) > DATASUBJECTS_MAX_BYTES:
        raise ValueError(
            f"an event of type {event.DESCRIPTOR.full_name} is about {len(about)} people, whose names take more than "
            f"{DATASUBJECTS_MAX_BYTES} bytes; tell it in several events"
        )
    return Pending(event.DESCRIPTOR.full_name, body, about)


def people(event: Message) -> tuple[str, ...]:
    """The customers (`customers/<uuid>`) that any string field of the event holds, however deep, each once."""
    return tuple(dict.fromkeys(text for text in _texts(event) if is_person(text)))


def is_person(text: str) -> bool:
    """Whether the text is the resource name of a customer."""
    return text.startswith("customers/") and _PERSON.fullmatch(text) is not None


def _texts(message: Message) -> Iterator[str]:
    """Every string of a message, keys and values of maps included."""
    for each, value in message.ListFields():
        entry = each.message_type
        if entry is not None and entry.GetOptions().map_entry:
            for key, item in value.items():
                yield from (part for part in (key, item) if isinstance(part, str))
                if isinstance(item, Message):
                    yield from _texts(item)
        elif entry is not None:
            for item in value if each.is_repeated else (value,):
                yield from _texts(item)
        elif each.type == FieldDescriptor.TYPE_STRING:
            yield from value if each.is_repeated else (value,)


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
