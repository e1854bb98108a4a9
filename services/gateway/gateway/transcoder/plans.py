"""What reading and writing JSON needs to know of a message, worked out once for each message type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.transcoder import scalars, well_known

Convert = Callable[[Any], Any]
"""JSON value -> protobuf value or the reverse. A reader raises `scalars.WrongValue`."""


@dataclass(frozen=True)
class FieldPlan:
    """One field of a message."""

    name: str
    json_name: str
    repeated: bool
    is_map: bool
    has_presence: bool
    oneof: str
    """Name of the oneof the field is in; empty for none, and for `optional`."""
    descriptor: FieldDescriptor
    value: FieldDescriptor
    """The field whose type the values have: the field itself, or the value of a map."""

    @cached_property
    def is_message(self) -> bool:
        """Whether the values are messages (well-known types included)."""
        return self.value.message_type is not None

    @cached_property
    def well_known(self) -> well_known.WellKnown | None:
        """How a `google.protobuf` type with JSON of its own is read and written; None for all others."""
        message = self.value.message_type
        return None if message is None else well_known.TYPES.get(message.full_name)

    @cached_property
    def message_plan(self) -> "MessagePlan | None":
        """The plan of the values; None unless they are messages without JSON of their own."""
        message = self.value.message_type
        return None if message is None or self.well_known is not None else plan_of(message)

    @cached_property
    def read(self) -> Convert:
        """Reads one plain value."""
        return scalars.reader_of(self.value)

    @cached_property
    def write(self) -> Convert | None:
        """Writes one plain value; None when it is JSON already."""
        return scalars.writer_of(self.value)

    @cached_property
    def read_key(self) -> Convert:
        """Reads the key of a map."""
        entry: Any = self.descriptor.message_type
        return scalars.text_reader_of(entry.fields_by_name["key"])

    @cached_property
    def read_text(self) -> Convert:
        """Reads one value from a query parameter or path segment."""
        return scalars.text_reader_of(self.value)

    @cached_property
    def is_leaf(self) -> bool:
        """Whether a query parameter or path can hold it."""
        if self.is_map:
            return False
        return not self.is_message or (self.well_known is not None and self.well_known.is_text)

    @cached_property
    def enum(self) -> EnumDescriptor | None:
        """The enum of the values, if they are of one."""
        return self.value.enum_type

    @cached_property
    def is_null_value(self) -> bool:
        """Whether null is a value of the field rather than none."""
        message = self.value.message_type
        return message is not None and message.full_name == "google.protobuf.Value"


@dataclass(frozen=True)
class MessagePlan:
    """One message type."""

    descriptor: Descriptor
    fields: tuple[FieldPlan, ...]
    by_name: Mapping[str, FieldPlan]
    """By name in JSON (lowerCamelCase) and in the proto (snake_case): both are accepted."""


@cache
def plan_of(descriptor: Descriptor) -> MessagePlan:
    """The plan of a message type."""
    fields = tuple(_field_plan(field) for field in descriptor.fields)
    by_name = {item.name: item for item in fields} | {item.json_name: item for item in fields}
    return MessagePlan(descriptor, fields, by_name)


def _field_plan(field: FieldDescriptor) -> FieldPlan:
    entry = field.message_type if field.message_type is not None and field.message_type.GetOptions().map_entry else None
    oneof = field.containing_oneof
    return FieldPlan(
        name=field.name,
        json_name=field.json_name,
        repeated=field.is_repeated and entry is None,
        is_map=entry is not None,
        has_presence=field.has_presence,
        oneof=oneof.name if oneof is not None and not oneof.name.startswith("_") else "",
        descriptor=field,
        value=field if entry is None else entry.fields_by_name["value"],
    )
