"""Checks of a request that its proto already states, so that no servicer repeats them.

REQUIRED and OUTPUT_ONLY (AIP-203), `field_info.format`, shapes of resource names (AIP-122, AIP-4231), known enum
values, instants and durations within range, sane lengths, and page sizes that are not negative (AIP-158). Texts name
the field and the rule, never the value.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.api import field_behavior_pb2, field_info_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from rapport.options.v1 import options_pb2

from chassis.errors import Violation
from chassis.resource_patterns import name_patterns, resource_of

STRING_MAX = 10_000
"""Characters in a string field."""
ELEMENTS_MAX = 10_000
"""Elements in a repeated field or map."""
_VIOLATIONS_MAX = 25

Check = Callable[[Any], str | None]
"""Takes a value, returns what is wrong with it."""

_TIMESTAMP = "google.protobuf.Timestamp"
_DURATION = "google.protobuf.Duration"
_FIELD_MASK = "google.protobuf.FieldMask"
_TIMESTAMP_S = (-62_135_596_800, 253_402_300_799)  # Years 1 to 9999.
_DURATION_S = 315_576_000_000
_SEGMENT = r"[A-Za-z0-9._~%+@:=-]{1,200}"


def check(request: Message) -> list[Violation]:
    """What is wrong with the request, at most 25 things; empties its output-only fields, which callers may not set."""
    found: list[Violation] = []
    for violation in _walk(request, "", None):
        found.append(violation)
        if len(found) == _VIOLATIONS_MAX:
            break
    return found


def prepare(message: Descriptor) -> None:
    """Compiles the checks of a message and of all it contains.

    Raises ValueError when a field refers to a resource type that no proto declares.
    """
    waiting, seen = [message], {message.full_name}
    while waiting:
        for field in _plan(waiting.pop()).fields.values():
            if field.nested is not None and field.nested.full_name not in seen:
                seen.add(field.nested.full_name)
                waiting.append(field.nested)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    required: bool
    output_only: bool
    identifier: bool
    repeated: bool
    is_map: bool
    presence: bool
    check: Check | None
    nested: Descriptor | None
    """The message to walk into."""


@dataclass(frozen=True, slots=True)
class _Plan:
    fields: dict[int, _Field]
    required: tuple[_Field, ...]
    masked: frozenset[str]
    """Fields that an `update_mask` beside them speaks of."""


@cache
def _plan(message: Descriptor) -> _Plan:
    fields = {field.number: _field(field) for field in message.fields}
    mask = message.fields_by_name.get("update_mask")
    masked = (
        frozenset(field.name for field in message.fields if field.message_type and resource_of(field.message_type))
        if mask is not None and mask.message_type and mask.message_type.full_name == _FIELD_MASK
        else frozenset()
    )
    return _Plan(fields, tuple(field for field in fields.values() if field.required or field.identifier), masked)


def _field(field: FieldDescriptor) -> _Field:
    behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
    value = field if entry is None else entry.fields_by_name["value"]
    nested = value.message_type
    theirs: bool = field.GetOptions().Extensions[options_pb2.checked_by_service]  # type: ignore[index] # stubs only
    return _Field(
        name=field.name,
        required=field_behavior_pb2.REQUIRED in behaviors,
        output_only=field_behavior_pb2.OUTPUT_ONLY in behaviors,
        identifier=field_behavior_pb2.IDENTIFIER in behaviors,
        repeated=field.is_repeated,
        is_map=entry is not None,
        presence=field.has_presence,
        check=None if theirs else _all(_checks(value)),
        nested=None if theirs or nested is None or nested.full_name.startswith("google.") else nested,
    )


def _walk(message: Message, path: str, mask: frozenset[str] | None) -> Iterator[Violation]:
    """`mask`: the paths an update changes, relative to `message`; None when everything in it counts."""
    plan = _plan(message.DESCRIPTOR)
    for field in plan.required:
        demanded = _covers(mask, field.name) if field.required else False
        if (demanded or (field.identifier and mask is not None)) and _is_missing(message, field):
            yield path + field.name, "Required: set it."
    output_only = []
    for descriptor, value in message.ListFields():
        field = plan.fields[descriptor.number]
        if field.output_only:
            output_only.append(field.name)
        elif not field.identifier or mask is not None:  # A name given on create is ignored (AIP-133).
            yield from _check_field(field, value, path + field.name, _mask_for(plan, message, field, mask))
    for name in output_only:
        message.ClearField(name)


def _check_field(field: _Field, value: Any, path: str, mask: frozenset[str] | None) -> Iterator[Violation]:
    elements: Iterable[tuple[str, Any]]
    if not field.repeated:
        elements = ((path, value),)
    elif len(value) > ELEMENTS_MAX:
        yield path, f"Has more than {ELEMENTS_MAX} elements; send fewer at a time."
        return
    elif field.is_map:
        if any(isinstance(key, str) and len(key) > STRING_MAX for key in value):
            yield path, f"Has a key of more than {STRING_MAX} characters; shorten it."
        elements = ((f"{path}.{key}" if str(key).isidentifier() else f"{path}[...]", value[key]) for key in value)
    else:
        elements = ((f"{path}[{index}]", element) for index, element in enumerate(value))
    for place, element in elements:
        problem = field.check(element) if field.check else None
        if problem:
            yield place, problem
        elif field.nested is not None:
            yield from _walk(element, f"{place}.", mask)


def _covers(mask: frozenset[str] | None, name: str) -> bool:
    return mask is None or name in mask


def _mask_for(plan: _Plan, message: Message, field: _Field, mask: frozenset[str] | None) -> frozenset[str] | None:
    if field.name in plan.masked:
        paths = message.update_mask.paths  # type: ignore[attr-defined]
        # No mask changes what is set (AIP-134): nothing else is demanded then.
        return None if "*" in paths else frozenset(paths)
    if mask is None or field.name in mask:
        return None
    prefix = f"{field.name}."
    return frozenset(path.removeprefix(prefix) for path in mask if path.startswith(prefix))


def _is_missing(message: Message, field: _Field) -> bool:
    if field.repeated:
        return len(getattr(message, field.name)) == 0
    if field.presence:
        if not message.HasField(field.name):
            return True
        return getattr(message, field.name) in ("", b"")
    value = getattr(message, field.name)
    if isinstance(value, str | bytes):
        return len(value) == 0
    # Without presence a zero may be meant; only an enum's zero says "unspecified" (AIP-126).
    return value == 0 and message.DESCRIPTOR.fields_by_name[field.name].enum_type is not None


def _all(checks: Iterable[Check]) -> Check | None:
    checks = tuple(checks)
    if len(checks) < 2:
        return checks[0] if checks else None
    return lambda value: next((problem for item in checks if (problem := item(value))), None)


def _checks(field: FieldDescriptor) -> Iterator[Check]:
    if field.enum_type is not None:
        yield _known(frozenset(field.enum_type.values_by_number))
    elif field.message_type is not None:
        if field.message_type.full_name == _TIMESTAMP:
            yield _timestamp
        elif field.message_type.full_name == _DURATION:
            yield _duration
    elif field.type == FieldDescriptor.TYPE_STRING:
        yield _length
        form = field.GetOptions().Extensions[field_info_pb2.field_info].format
        if form in _FORMATS:
            yield _FORMATS[form]
        if patterns := name_patterns(field):
            yield _resource_name(patterns)
    elif field.name == "page_size":
        yield lambda value: "Must not be negative; 0 takes the default." if value < 0 else None


def _known(numbers: frozenset[int]) -> Check:
    return lambda value: None if value in numbers else "Not a value of this enum; this service knows no such number."


def _length(value: str) -> str | None:
    return f"Longer than {STRING_MAX} characters; shorten it." if len(value) > STRING_MAX else None


def _timestamp(value: Any) -> str | None:
    good = _TIMESTAMP_S[0] <= value.seconds <= _TIMESTAMP_S[1] and 0 <= value.nanos <= 999_999_999
    return None if good else "Not an instant between years 1 and 9999."


def _duration(value: Any) -> str | None:
    good = abs(value.seconds) <= _DURATION_S and abs(value.nanos) <= 999_999_999 and value.seconds * value.nanos >= 0
    return None if good else "Not a duration: at most 10,000 years, seconds and nanos of the same sign."


def _uuid(value: str) -> str | None:
    # Any version: stable ids of retries are often derived (version 5) or ordered by time (version 7).
    try:
        good = uuid.UUID(value).int != 0 and len(value) == 36
    except ValueError:
        good = False
    return None if good else "Not a UUID; use one such as 6f1ff3f5-3b1c-4b6e-8d7a-1f0e6b9f2c11."


def _ip(parse: Callable[[str], object], kind: str) -> Check:
    def check_ip(value: str) -> str | None:
        try:
            parse(value)
        except ValueError:
            return f"Not an {kind} address."
        return None

    return check_ip


_FORMATS: dict[int, Check] = {
    field_info_pb2.FieldInfo.UUID4: _uuid,
    field_info_pb2.FieldInfo.IPV4: _ip(ipaddress.IPv4Address, "IPv4"),
    field_info_pb2.FieldInfo.IPV6: _ip(ipaddress.IPv6Address, "IPv6"),
    field_info_pb2.FieldInfo.IPV4_OR_IPV6: _ip(ipaddress.ip_address, "IP"),
}


def _resource_name(patterns: tuple[str, ...]) -> Check:
    parts = ("/".join(_SEGMENT if part.startswith("{") else re.escape(part) for part in p.split("/")) for p in patterns)
    matches = re.compile("|".join(parts)).fullmatch
    problem = f"Not a name of the form {' or '.join(patterns)}."
    return lambda value: None if matches(value) else problem
