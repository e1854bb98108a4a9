"""Taking the erased out of an event about several people, by its descriptor alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from rapport.consent.v1 import erasure_answer_pb2, events_pb2

from contracts import descriptors
from docstore.outbox import people


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is left of an event."""

    body: bytes
    datasubjects: tuple[str, ...]


@cache
def erasure_types() -> frozenset[str]:
    """The event types that tell of erasures. They name erased people by their purpose, and are never pruned."""
    answer = erasure_answer_pb2.ErasureAnswer.DESCRIPTOR.full_name
    return frozenset(
        event.full_name
        for event in descriptors.events()
        if event.full_name == events_pb2.ErasureRequested.DESCRIPTOR.full_name
        or any(field.message_type is not None and field.message_type.full_name == answer for field in event.fields)
    )


def pruned(event_type: str, body: bytes, datasubjects: Iterable[str], erased: frozenset[str]) -> Pruned | None:
    """The event without the elements of repeated fields that name an erased person.

    None when nothing can be left: everybody it is about is erased, or the erased cannot be told apart from the others
    (a singular field names them, or nothing does, or the type is unknown). An event about nobody that is erased comes
    back as it is.
    """
    about = tuple(datasubjects)
    gone = erased.intersection(about)
    rest = tuple(name for name in about if name not in gone)
    if not rest:
        return None if gone else Pruned(body, about)
    try:
        message = descriptors.message_class(event_type).FromString(body)
    except (KeyError, DecodeError):
        return None
    if not gone.issubset(people(message)) or _prune(message, erased):
        return None
    return Pruned(message.SerializeToString(deterministic=True), rest)


def _prune(message: Message, erased: frozenset[str]) -> bool:
    """Removes elements from the inside outwards, so that no neighbour goes along; True when the message itself goes."""
    names = False
    for field, value in message.ListFields():
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            for key in [key for key, item in value.items() if key in erased or _names(item, erased)]:
                del value[key]
        elif entry is None and field.type != FieldDescriptor.TYPE_STRING:
            continue
        elif field.is_repeated:
            for index in reversed([index for index, item in enumerate(value) if _names(item, erased)]):
                del value[index]
        else:
            names |= _names(value, erased)
    return names


def _names(item: object, erased: frozenset[str]) -> bool:
    return _prune(item, erased) if isinstance(item, Message) else item in erased
