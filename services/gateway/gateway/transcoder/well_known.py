"""The `google.protobuf` types that have JSON of their own: instants, durations, masks, free-form values, wrappers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.message import Message

from gateway.transcoder import scalars
from gateway.transcoder.scalars import WrongValue, expected

DEPTH_MAX = 30
"""How deep objects and arrays may be nested. A Struct costs three messages a level, and protobuf reads no more than
100: deeper values could be sent to a service but not read by it."""


@dataclass(frozen=True)
class WellKnown:
    """How one type is read and written."""

    read: Callable[[Any, Message, int], None]
    """Fills the message from a JSON value found at a depth. Raises WrongValue."""
    write: Callable[[Any], Any]
    """The JSON value of the message."""
    schema: Mapping[str, Any]
    """JSON Schema (2020-12) of the values."""
    is_text: bool = False
    """Whether the JSON value is a string, so that a query parameter can hold it."""


def fill_struct(struct: Any, value: dict[str, Any], depth: int = 1) -> None:
    """Fills a Struct from a decoded JSON object; by hand, since json_format takes four times as long.

    Raises WrongValue for what JSON or protobuf cannot hold, and when it is nested too deeply.
    """
    if depth > DEPTH_MAX:
        raise WrongValue(f"nested more than {DEPTH_MAX} levels deep")
    fields = struct.fields
    try:
        for key, item in value.items():
            _fill_value(fields[key], item, depth)
    except UnicodeEncodeError:
        raise WrongValue("holds half a surrogate pair, which is no character") from None
    except OverflowError:
        raise WrongValue("holds a number that is too large") from None


def _fill_value(target: Any, value: Any, depth: int) -> None:
    kind = type(value)
    if kind is str:
        target.string_value = value
    elif kind is bool:
        target.bool_value = value
    elif kind is int or kind is float:
        target.number_value = value
    elif value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif kind is dict:
        target.struct_value.SetInParent()
        fill_struct(target.struct_value, value, depth + 1)
    else:
        if depth >= DEPTH_MAX:
            raise WrongValue(f"nested more than {DEPTH_MAX} levels deep")
        target.list_value.SetInParent()
        values = target.list_value.values
        for item in value:
            _fill_value(values.add(), item, depth + 1)


def value_of(value: Any) -> Any:
    """The JSON value of a `google.protobuf.Value`."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return struct_of(value.struct_value)
    if kind == "list_value":
        return [value_of(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**53 else scalars.write_number(number)
    return getattr(value, kind) if kind in ("string_value", "bool_value") else None


def struct_of(struct: Any) -> dict[str, Any]:
    """The JSON value of a `google.protobuf.Struct`."""
    return {key: value_of(item) for key, item in struct.fields.items()}


def _read_struct(value: Any, message: Any, depth: int) -> None:
    if type(value) is not dict:
        raise expected("an object", value)
    message.SetInParent()
    fill_struct(message, value, depth)


def _read_value(value: Any, message: Any, depth: int) -> None:
    try:
        _fill_value(message, value, depth)
    except UnicodeEncodeError:
        raise WrongValue("holds half a surrogate pair, which is no character") from None
    except OverflowError:
        raise WrongValue("holds a number that is too large") from None


def _read_list(value: Any, message: Any, depth: int) -> None:
    if type(value) is not list:
        raise expected("an array", value)
    wrapped = struct_pb2.Value()
    _read_value(value, wrapped, depth)
    message.CopyFrom(wrapped.list_value)


def _read_timestamp(value: Any, message: Any, _depth: int) -> None:
    example = "an instant (RFC 3339) such as 2026-03-01T12:00:00Z"
    if type(value) is not str:
        raise expected(example, value)
    try:
        parsed = timestamp_pb2.Timestamp()
        parsed.FromJsonString(value)
    except (ValueError, OverflowError):
        raise WrongValue(f"expected {example}") from None
    message.CopyFrom(parsed)


def _read_duration(value: Any, message: Any, _depth: int) -> None:
    example = "a duration in seconds such as 3.5s"
    if type(value) is not str:
        raise expected(example, value)
    if not re.fullmatch(r"-?\d{1,12}(\.\d{1,9})?s", value, re.ASCII):
        raise WrongValue(f"expected {example}")
    try:
        parsed = duration_pb2.Duration()
        parsed.FromJsonString(value)
    except ValueError:
        raise WrongValue(f"expected {example}") from None
    message.CopyFrom(parsed)


_MASK_PATH = re.compile(r"\*|[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)*")


def _read_mask(value: Any, message: Any, _depth: int) -> None:
    example = "field paths separated by commas such as displayName,settings.timeZone"
    if type(value) is not str:
        raise expected(example, value)
    paths = value.split(",") if value else []
    for path in paths:
        if not _MASK_PATH.fullmatch(path):
            raise WrongValue(f"expected {example}")
    message.SetInParent()
    message.paths.extend(re.sub("[A-Z]", lambda match: "_" + match[0].lower(), path) for path in paths)


def _write_mask(message: Any) -> str:
    return ",".join(re.sub("_([a-z0-9])", lambda match: match[1].upper(), path) for path in message.paths)


def _read_empty(value: Any, message: Any, _depth: int) -> None:
    if type(value) is not dict:
        raise expected("an object", value)
    if value:
        raise WrongValue("expected an empty object")
    message.SetInParent()


def _wrapper(kind: type[Message], schema: Mapping[str, Any]) -> WellKnown:
    field: Any = kind.DESCRIPTOR.fields_by_name["value"]
    read, write = scalars.reader_of(field), scalars.writer_of(field)

    def fill(value: Any, message: Any, _depth: int) -> None:
        message.value = read(value)
        message.SetInParent()

    return WellKnown(fill, lambda message: write(message.value) if write else message.value, schema)


_LONG = {"type": ["string", "integer"], "pattern": r"^-?[0-9]{1,20}$"}

TYPES: Mapping[str, WellKnown] = {
    "google.protobuf.Timestamp": WellKnown(
        _read_timestamp, lambda message: message.ToJsonString(), {"type": "string", "format": "date-time"}, True
    ),
    "google.protobuf.Duration": WellKnown(
        _read_duration,
        lambda message: message.ToJsonString(),
        {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"},
        True,
    ),
    "google.protobuf.FieldMask": WellKnown(
        _read_mask,
        _write_mask,
        {
            "type": "string",
            "pattern": r"^(\*|[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)*)?"
            r"(,(\*|[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)*))*$",
        },
        True,
    ),
    "google.protobuf.Struct": WellKnown(_read_struct, struct_of, {"type": "object", "additionalProperties": True}),
    "google.protobuf.Value": WellKnown(_read_value, value_of, {}),
    "google.protobuf.ListValue": WellKnown(
        _read_list, lambda message: [value_of(item) for item in message.values], {"type": "array", "items": {}}
    ),
    "google.protobuf.Empty": WellKnown(
        _read_empty, lambda _: {}, {"type": "object", "additionalProperties": False, "properties": {}}
    ),
    "google.protobuf.StringValue": _wrapper(wrappers_pb2.StringValue, {"type": "string"}),
    "google.protobuf.BoolValue": _wrapper(wrappers_pb2.BoolValue, {"type": "boolean"}),
    "google.protobuf.DoubleValue": _wrapper(wrappers_pb2.DoubleValue, {"type": "number"}),
    "google.protobuf.FloatValue": _wrapper(wrappers_pb2.FloatValue, {"type": "number"}),
    "google.protobuf.Int32Value": _wrapper(wrappers_pb2.Int32Value, {"type": "integer", "format": "int32"}),
    "google.protobuf.UInt32Value": _wrapper(wrappers_pb2.UInt32Value, {"type": "integer", "minimum": 0}),
    "google.protobuf.Int64Value": _wrapper(wrappers_pb2.Int64Value, _LONG),
    "google.protobuf.UInt64Value": _wrapper(wrappers_pb2.UInt64Value, _LONG),
    "google.protobuf.BytesValue": _wrapper(wrappers_pb2.BytesValue, {"type": "string", "format": "byte"}),
}
"""Full name -> how it is read and written. `google.protobuf.Any` is not among them: no contract has one."""
