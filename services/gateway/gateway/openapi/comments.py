"""The comments of the contracts, by full name of what they stand above."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from contracts import descriptors

# Field numbers in descriptor.proto, of which source locations are made.
_FILE_MESSAGES, _FILE_ENUMS, _FILE_SERVICES = 4, 5, 6
_MESSAGE_FIELDS, _MESSAGE_NESTED, _MESSAGE_ENUMS = 2, 3, 4
_ENUM_VALUES, _SERVICE_METHODS = 2, 2

Location = tuple[int, ...]


def comment(full_name: str) -> str:
    """The comment above a service, method, message, field, enum or `enum full name.VALUE`; empty without one.

    Lines are joined to paragraphs, which stay apart by an empty line.
    """
    return _all().get(full_name, "")


def first_sentence(text: str) -> str:
    """The first sentence of a comment, without its full stop."""
    return re.split(r"\.\s|;\s|\.$", text.replace("\n", " "), maxsplit=1)[0].strip()


@cache
def _all() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for file in descriptors.descriptor_set().file:
        texts = {tuple(item.path): _joined(item.leading_comments) for item in file.source_code_info.location}
        for name, location in _named(file):
            if text := texts.get(location):
                found[name] = text
    return found


def _named(file: Any) -> Iterator[tuple[str, Location]]:
    for index, message in enumerate(file.message_type):
        yield from _message(message, f"{file.package}.{message.name}", (_FILE_MESSAGES, index))
    for index, enum in enumerate(file.enum_type):
        yield from _enum(enum, f"{file.package}.{enum.name}", (_FILE_ENUMS, index))
    for index, service in enumerate(file.service):
        name, location = f"{file.package}.{service.name}", (_FILE_SERVICES, index)
        yield name, location
        yield from _members(service.method, name, (*location, _SERVICE_METHODS))


def _message(message: Any, name: str, location: Location) -> Iterator[tuple[str, Location]]:
    yield name, location
    yield from _members(message.field, name, (*location, _MESSAGE_FIELDS))
    for index, nested in enumerate(message.nested_type):
        yield from _message(nested, f"{name}.{nested.name}", (*location, _MESSAGE_NESTED, index))
    for index, enum in enumerate(message.enum_type):
        yield from _enum(enum, f"{name}.{enum.name}", (*location, _MESSAGE_ENUMS, index))


def _enum(enum: Any, name: str, location: Location) -> Iterator[tuple[str, Location]]:
    yield name, location
    yield from _members(enum.value, name, (*location, _ENUM_VALUES))


def _members(members: Sequence[Any], name: str, location: Location) -> Iterator[tuple[str, Location]]:
    for index, member in enumerate(members):
        yield f"{name}.{member.name}", (*location, index)


def _joined(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n\n".join(" ".join(line.strip() for line in part.splitlines()).strip() for part in paragraphs).strip()
