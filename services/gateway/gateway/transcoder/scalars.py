"""Plain values: JSON or text to protobuf and back (ProtoJSON mapping, stricter where it guesses).

Stricter: numbers of 32 bits are JSON numbers, enums are names, booleans are true or false. Integers of 64 bits are
written as strings, since JavaScript would round them, and read as either.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

_SHOWN_VALUES = 20

_INT32 = (-(2**31), 2**31 - 1)
_UINT32 = (0, 2**32 - 1)
_INT64 = (-(2**63), 2**63 - 1)
_UINT64 = (0, 2**64 - 1)
_FLOAT_MAX = 3.4028234663852886e38
_F = FieldDescriptor

_INTEGER_RANGES: dict[int, tuple[int, int]] = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), _INT32),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), _UINT32),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), _INT64),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), _UINT64),
}
LONG_TYPES = frozenset(kind for kind, limits in _INTEGER_RANGES.items() if limits in (_INT64, _UINT64))
"""Types whose values are strings in JSON."""

_DIGITS = re.compile(r"-?[0-9]{1,20}")

Reader = Callable[[Any], Any]


class WrongValue(ValueError):  # noqa: N818 - reads as what the value is
    """A value of another type or out of range; the text says what was expected and never quotes the value."""


def json_type(value: object) -> str:
    """What JSON calls the type of a decoded value."""
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def expected(what: str, value: object) -> WrongValue:
    """The error for a value of another JSON type."""
    return WrongValue(f"expected {what}, got {json_type(value)}")


def reader_of(field: FieldDescriptor) -> Reader:
    """The function that reads a plain field's JSON value. Raises WrongValue when called with another."""
    if field.enum_type is not None:
        return _enum_reader(field.enum_type)
    if field.type in _INTEGER_RANGES:
        return _integer_reader(*_INTEGER_RANGES[field.type], text=field.type in LONG_TYPES)
    return {
        _F.TYPE_STRING: read_string,
        _F.TYPE_BOOL: _read_bool,
        _F.TYPE_DOUBLE: read_number,
        _F.TYPE_FLOAT: _read_float,
        _F.TYPE_BYTES: _read_bytes,
    }.get(field.type, read_string)


def text_reader_of(field: FieldDescriptor) -> Reader:
    """The function that reads a plain field's value from text: a query parameter, path segment or map key."""
    read = reader_of(field)
    if field.type in _INTEGER_RANGES:
        limits = _INTEGER_RANGES[field.type]
        return _integer_reader(*limits, text=True)
    if field.type == _F.TYPE_BOOL:
        return _bool_from_text
    if field.type in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT):
        return lambda text: read(_number_from_text(text))
    return read


def writer_of(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    """The function that makes a plain field's value JSON; None when it is JSON already."""
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        return lambda number: names.get(number, number)
    if field.type in LONG_TYPES:
        return str
    if field.type == _F.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if field.type in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT):
        return write_number
    return None


def read_string(value: Any) -> str:
    """A string of whole Unicode characters."""
    if type(value) is not str:
        raise expected("a string", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise WrongValue("holds half a surrogate pair, which is no character") from None
    return value


def read_number(value: Any) -> float:
    """A finite number."""
    if type(value) not in (int, float):
        raise expected("a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise WrongValue("the number is too large")
    return number


def write_number(value: float) -> float | str:
    """A number, or the ProtoJSON word for what JSON cannot say."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _read_float(value: Any) -> float:
    number = read_number(value)
    if abs(number) > _FLOAT_MAX:
        raise WrongValue("the number is too large")
    return number


def _read_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise expected("true or false", value)
    return value


def _bool_from_text(text: str) -> bool:
    if text not in ("true", "false"):
        raise WrongValue("expected true or false")
    return text == "true"


def _number_from_text(text: str) -> float:
    # float() alone would take "nan", "1_000" and blanks.
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
        raise WrongValue("expected a number")
    return float(text)


def _read_bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise expected("a base64 string", value)
    try:
        padded = value.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise WrongValue("expected a base64 string") from None


def _integer_reader(least: int, most: int, *, text: bool) -> Reader:
    words = f"an integer from {least} to {most}"

    def read(value: Any) -> int:
        kind = type(value)
        if kind is float and value.is_integer():
            value, kind = int(value), int
        elif kind is str and text:
            if not _DIGITS.fullmatch(value):
                raise WrongValue(f"expected {words}")
            value, kind = int(value), int
        if kind is not int:
            raise WrongValue(f"expected {words}") if kind is float else expected(words, value)
        if not least <= value <= most:
            raise WrongValue(f"expected {words}")
        return int(value)

    return read


def _enum_reader(enum: EnumDescriptor) -> Reader:
    numbers = {name: value.number for name, value in enum.values_by_name.items()}
    named = [name for name, number in numbers.items() if number != 0] or list(numbers)
    more = f" and {len(named) - _SHOWN_VALUES} more" if len(named) > _SHOWN_VALUES else ""
    allowed = f"expected one of {', '.join(named[:_SHOWN_VALUES])}{more}"

    def read(value: Any) -> int:
        if type(value) is not str:
            raise WrongValue(f"{allowed}; got {json_type(value)}")
        number = numbers.get(value)
        if number is None:
            raise WrongValue(allowed)
        return number

    return read
