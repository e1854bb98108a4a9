"""JSON Schemas (2020-12) of messages, as components: what the transcoder reads and writes, no more and no less."""

from collections.abc import Iterator
from typing import Any

from google.api import field_behavior_pb2, field_info_pb2, resource_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from contracts import descriptors
from gateway.openapi.comments import comment
from gateway.transcoder.plans import FieldPlan, plan_of

Schema = dict[str, Any]

_F = FieldDescriptor
_INT32: Schema = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32: Schema = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_INT64: Schema = {"type": ["string", "integer"], "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
_UINT64: Schema = {"type": ["string", "integer"], "format": "uint64", "pattern": "^[0-9]{1,19}$", "minimum": 0}
_SCALARS: dict[int, Schema] = {
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _F.TYPE_FLOAT: {"type": "number", "format": "float"},
    _F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), _INT32),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), _UINT32),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), _INT64),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), _UINT64),
}


class Components:
    """The schemas an API description refers to. A message with required fields has two: `Customer` for answers and
    changes, `CustomerInput` for creation."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._names: dict[str, str] = {}

    def message(
        self, descriptor: Descriptor, *, required: bool = False, without: frozenset[str] = frozenset()
    ) -> Schema:
        """A reference to the schema of a message. `required` demands the REQUIRED fields; `without` leaves fields out
        (those a path gives)."""
        demands = required and _demands(descriptor, set())
        name = self._name(descriptor) + ("Input" if demands and not descriptor.name.endswith("Request") else "")
        if name not in self.schemas:
            self.schemas[name] = {}  # Ends the recursion of types that hold themselves.
            self.schemas[name].update(self._object(descriptor, demands, without))
        return {"$ref": f"#/components/schemas/{name}"}

    def value(self, field: FieldPlan, *, required: bool = False) -> Schema:
        """The schema of one value of a field, its comment left out."""
        if field.message_plan is not None:
            return self.message(field.message_plan.descriptor, required=required)
        if field.well_known is not None:
            return dict(field.well_known.schema)
        if field.enum is not None:
            return self._enum(field.enum)
        schema = dict(_SCALARS[field.value.type])
        options = field.descriptor.GetOptions()
        if options.Extensions[field_info_pb2.field_info].format == field_info_pb2.FieldInfo.UUID4:
            schema["format"] = "uuid"
        if field.name == "page_size":
            schema["minimum"] = 0
        return schema

    def field(self, field: FieldPlan, *, required: bool = False) -> Schema:
        """The schema of a field, with its comment and what its `field_behavior` says."""
        value = self.value(field, required=required)
        schema: Schema = value
        if field.repeated:
            schema = {"type": "array", "items": value}
        elif field.is_map:
            schema = {"type": "object", "additionalProperties": value}
        behaviours = behaviours_of(field)
        if required and field_behavior_pb2.REQUIRED in behaviours:
            if field.repeated:
                schema["minItems"] = 1
            elif schema.get("type") == "string" and "format" not in schema:
                schema["minLength"] = 1
        if text := comment(field.descriptor.full_name):
            schema = {**schema, "description": text}
        if behaviours & {field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER}:
            schema = {**schema, "readOnly": True}
        return schema

    def _object(self, descriptor: Descriptor, required: bool, without: frozenset[str]) -> Schema:
        fields = [field for field in plan_of(descriptor).fields if field.name not in without]
        schema: Schema = {"type": "object", "additionalProperties": False}
        if text := comment(descriptor.full_name):
            schema["description"] = text
        schema["properties"] = {field.json_name: self.field(field, required=required) for field in fields}
        demanded = [field.json_name for field in fields if field_behavior_pb2.REQUIRED in behaviours_of(field)]
        if required and demanded:
            schema["required"] = demanded
        return schema

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = self._name(enum)
        if name not in self.schemas:
            values = [f"- `{value.name}`: {comment(f'{enum.full_name}.{value.name}')}" for value in enum.values]
            text = "\n\n".join(filter(None, [comment(enum.full_name), "\n".join(values)]))
            self.schemas[name] = {"type": "string", "enum": [value.name for value in enum.values], "description": text}
        return {"$ref": f"#/components/schemas/{name}"}

    def _name(self, descriptor: Descriptor | EnumDescriptor) -> str:
        """`Customer`, `Consent.State`; with its service in front when another service has the same name."""
        package = descriptor.file.package
        short = descriptor.full_name.removeprefix(f"{package}.")
        owner = self._names.setdefault(short, descriptor.full_name)
        return short if owner == descriptor.full_name else f"{package.split('.')[1]}.{short}"


def behaviours_of(field: FieldPlan) -> set[int]:
    """The `google.api.field_behavior` of a field."""
    return set(field.descriptor.GetOptions().Extensions[field_behavior_pb2.field_behavior])


def resource_patterns() -> dict[str, str]:
    """`customers/*` -> `customers/{customer}`, for every resource of the platform."""
    found = {}
    for service in descriptors.services():
        for message in _messages_near(service.file):
            for pattern in message.GetOptions().Extensions[resource_pb2.resource].pattern:
                shape = "/".join("*" if part.startswith("{") else part for part in pattern.split("/"))
                found[shape] = pattern
    return found


def _messages_near(file: Any) -> Iterator[Descriptor]:
    for near in (file, *file.dependencies):
        yield from near.message_types_by_name.values()


def _demands(descriptor: Descriptor, seen: set[str]) -> bool:
    """Whether the message, or one in it, has required fields."""
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return any(
        field_behavior_pb2.REQUIRED in behaviours_of(field)
        or (field.message_plan is not None and _demands(field.message_plan.descriptor, seen))
        for field in plan_of(descriptor).fields
    )
