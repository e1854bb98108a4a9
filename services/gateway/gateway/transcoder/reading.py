"""Decoded JSON, query parameters and path variables to request messages, with every fault named by its field."""

import difflib
from collections.abc import Collection, Iterable
from typing import Any

from chassis.errors import InvalidArgument
from gateway.transcoder.plans import FieldPlan, MessagePlan
from gateway.transcoder.scalars import WrongValue, json_type
from gateway.transcoder.well_known import DEPTH_MAX

_FAULTS_MAX = 20
_NULL = "null is no value: leave the field out, or clear it by naming it in updateMask"


class Faults:
    """Collects what is wrong with a request, so that callers learn of everything at once (up to 20 faults)."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._reasons: set[str] = set()

    def add(self, path: str, description: str, reason: str = "INVALID_FIELD") -> None:
        """Notes that the field at `path` is wrong."""
        self._reasons.add(reason)
        if len(self.found) < _FAULTS_MAX:
            self.found.append((path, description))

    def add_unknown(self, path: str, name: str, known: Collection[str]) -> None:
        """Notes that there is no such field or parameter, and names the closest one."""
        if len(self.found) == _FAULTS_MAX:  # A search for each of very many would take minutes.
            self._reasons.add("UNKNOWN_FIELD")
            return
        name = name.encode("utf-8", "replace").decode()
        close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}" if known else ""
        self.add(f"{path}{name[:100]}", f"no such field{hint}", "UNKNOWN_FIELD")

    def raise_if_any(self) -> None:
        """Raises InvalidArgument with all of them."""
        if not self.found:
            return
        path, description = self.found[0]
        more = f" ({len(self.found) - 1} more in the details)" if len(self.found) > 1 else ""
        reason = "UNKNOWN_FIELD" if self._reasons == {"UNKNOWN_FIELD"} else "INVALID_FIELD"
        raise InvalidArgument(
            reason, f"{path or 'The body'}: {description}{more}.", metadata={"field": path}, violations=self.found
        )


def read_message(plan: MessagePlan, value: Any, message: Any, faults: Faults, path: str = "", depth: int = 1) -> None:
    """Fills a message from a decoded JSON value. `path` leads to it from the request, `customer.` say."""
    if type(value) is not dict:
        faults.add(path.rstrip("."), f"expected an object, got {json_type(value)}")
        return
    if depth > DEPTH_MAX:
        faults.add(path.rstrip("."), f"nested more than {DEPTH_MAX} levels deep")
        return
    message.SetInParent()
    given: dict[str, str] = {}
    for key, item in value.items():
        field = plan.by_name.get(key)
        if field is None:
            faults.add_unknown(path, key, [known.json_name for known in plan.fields])
            continue
        slot = field.oneof or field.name
        if slot in given:
            other = given[slot]
            problem = "given twice, in both spellings" if other == field.name else f"give this or {other}, not both"
            faults.add(path + field.name, problem)
            continue
        given[slot] = field.name
        if item is None and not field.is_null_value:
            faults.add(path + field.name, _NULL)
        else:
            _read_field(field, item, message, faults, path + field.name, depth)


def _read_field(field: FieldPlan, value: Any, message: Any, faults: Faults, path: str, depth: int) -> None:
    try:
        if field.repeated:
            _read_repeated(field, value, message, faults, path, depth)
        elif field.is_map:
            _read_map(field, value, message, faults, path, depth)
        elif field.message_plan is not None:
            read_message(field.message_plan, value, getattr(message, field.name), faults, path + ".", depth + 1)
        elif field.well_known is not None:
            field.well_known.read(value, getattr(message, field.name), depth + 1)
        else:
            setattr(message, field.name, field.read(value))
    except WrongValue as error:
        faults.add(path, str(error))


def _read_repeated(field: FieldPlan, value: Any, message: Any, faults: Faults, path: str, depth: int) -> None:
    if type(value) is not list:
        raise WrongValue(f"expected an array, got {json_type(value)}")
    target = getattr(message, field.name)
    for index, item in enumerate(value):
        try:
            if field.message_plan is not None:
                read_message(field.message_plan, item, target.add(), faults, f"{path}[{index}].", depth + 2)
            elif field.well_known is not None:
                field.well_known.read(item, target.add(), depth + 2)
            else:
                target.append(field.read(item))
        except WrongValue as error:
            faults.add(f"{path}[{index}]", str(error))


def _read_map(field: FieldPlan, value: Any, message: Any, faults: Faults, path: str, depth: int) -> None:
    if type(value) is not dict:
        raise WrongValue(f"expected an object, got {json_type(value)}")
    target = getattr(message, field.name)
    for text, item in value.items():
        try:
            key = field.read_key(text)
            if field.message_plan is not None:
                read_message(field.message_plan, item, target[key], faults, f"{path}.{key}.", depth + 2)
            elif field.well_known is not None:
                field.well_known.read(item, target[key], depth + 2)
            else:
                target[key] = field.read(item)
        except WrongValue as error:
            faults.add(f"{path}[...]", str(error))


def read_query(
    parameters: Iterable[tuple[str, str]], known: dict[str, tuple[FieldPlan, ...]], message: Any, faults: Faults
) -> None:
    """Fills a message from query parameters; `known` are those the route takes, in both spellings."""
    given: set[tuple[str, ...]] = set()
    for name, text in parameters:
        fields = known.get(name)
        if fields is None:
            faults.add_unknown("", name, [key for key, path in known.items() if key == json_path(path)])
            continue
        slot = tuple(field.name for field in fields)
        if slot in given and not fields[-1].repeated:
            faults.add(".".join(slot), "given twice")
            continue
        given.add(slot)
        read_text(fields, text, message, faults)


def read_text(fields: tuple[FieldPlan, ...], text: str, message: Any, faults: Faults) -> None:
    """Sets the field at the end of a path of fields from text: a query parameter or a path variable."""
    for field in fields[:-1]:
        message = getattr(message, field.name)
    last = fields[-1]
    try:
        if last.well_known is not None:
            target = getattr(message, last.name)
            last.well_known.read(text, target.add() if last.repeated else target, 1)
        elif last.repeated:
            getattr(message, last.name).append(last.read_text(text))
        else:
            setattr(message, last.name, last.read_text(text))
    except WrongValue as error:
        faults.add(".".join(field.name for field in fields), str(error))


def json_path(fields: tuple[FieldPlan, ...]) -> str:
    """The name of a query parameter as it is documented."""
    return ".".join(field.json_name for field in fields)
