"""Calls of every RPC, built from the contracts: paths filled in, required fields given plausible values."""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2, field_behavior_pb2, resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from contracts import descriptors
from e2e.demo.api import Json

ID_PATTERN = re.compile(r"/\{[a-z_]+\}")


@dataclass(frozen=True)
class Call:
    """One HTTP call. `referenced` tells whether it names a resource at all."""

    verb: str
    path: str
    query: dict[str, str | int]
    body: Json | None
    referenced: bool


def routed_methods() -> list[MethodDescriptor]:
    """All methods with a route that ask for a permission."""
    return [method for method in descriptors.methods() if descriptors.rule(method).permission]


def unknown_name(name: str) -> str:
    """A name of the same collection that nobody has."""
    collection, uid, *rest = name.split("/")
    return "/".join([collection, str(uuid.uuid4()) if _is_uuid(uid) else f"x{uuid.uuid4().hex[:12]}", *rest])


def build(method: MethodDescriptor, names: Mapping[str, str], extra: Mapping[str, Any] | None = None) -> Call:
    """A call of `method` that names `names` (collection -> name) wherever it names a resource.

    The collection of what each customer has one of is `customers/scores`, of files `tickets/messages/attachments`.

    extra: values by JSON path (`role.permissions`) that a plausible value cannot be made up for.
    """
    request = _Filler(names, extra or {}, named=method.name.startswith("Update"))
    content = request.message(method.input_type, "")
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    path = getattr(rule, verb)
    for template in re.findall(r"\{([^}]+)\}", path):
        field, _, _pattern = template.partition("=")
        path = path.replace("{" + template + "}", str(_take(content, field)))
    body: Json | None = None
    if rule.body == "*":
        body, content = content, {}
    elif rule.body:
        body = content.pop(_json(rule.body), {})
    return Call(verb.upper(), path, dict(_flat(content)), body, request.referenced)


class _Filler:
    def __init__(self, names: Mapping[str, str], extra: Mapping[str, Any], *, named: bool) -> None:
        self.names = names
        self.extra = extra
        self.named = named
        self.referenced = False

    def message(self, descriptor: Descriptor, path: str) -> Json:
        own = descriptor.GetOptions().Extensions[resource_pb2.resource].type
        found: Json = {}
        for field in descriptor.fields:
            place = f"{path}{_json(field.name)}"
            if place in self.extra:
                found[_json(field.name)] = self.extra[place]
                continue
            options = field.GetOptions()
            behaviours = set(options.Extensions[field_behavior_pb2.field_behavior])
            if field_behavior_pb2.OUTPUT_ONLY in behaviours:
                continue
            identifies = self.named and field_behavior_pb2.IDENTIFIER in behaviours
            name = self._name(field, own if identifies else options.Extensions[resource_pb2.resource_reference].type)
            if name is not None:
                found[_json(field.name)] = [name] if field.is_repeated else name
            elif field_behavior_pb2.REQUIRED in behaviours:
                value = self._value(field, place)
                found[_json(field.name)] = [value] if field.is_repeated else value
        return found

    def _name(self, field: FieldDescriptor, reference: str) -> str | None:
        collection = _collection(reference) if reference else None
        if collection is None and field.name in ("customer", "customers", "merged_customer"):
            collection = "customers"
        if collection is None or field.type != FieldDescriptor.TYPE_STRING:
            return None
        self.referenced = True
        return self.names[collection if field.name != "merged_customer" else "customers#2"]

    def _value(self, field: FieldDescriptor, place: str) -> Any:
        if field.message_type:
            return self.message(field.message_type, f"{place}.")
        if field.enum_type:
            return field.enum_type.values[1].name
        if field.type == FieldDescriptor.TYPE_STRING:
            return "probe"
        return 1


def _collection(resource_type: str) -> str | None:
    for file in descriptors.descriptor_set().file:
        for message in file.message_type:
            resource = message.options.Extensions[resource_pb2.resource]
            if resource.type != resource_type:
                continue
            return str(ID_PATTERN.sub("", resource.pattern[0]))
    return None


def _json(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _take(content: Json, path: str) -> Any:
    *parents, last = [_json(part) for part in path.split(".")]
    for parent in parents:
        content = content[parent]
    return content.pop(last)


def _flat(content: Json, prefix: str = "") -> Iterator[tuple[str, str | int]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_uuid(uid: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uid) is not None
