"""Partial updates by field mask (AIP-134, AIP-161)."""

from typing import Any, cast

from google.api import field_behavior_pb2
from google.api.field_behavior_pb2 import FieldBehavior
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from chassis.errors import InvalidArgument

_NEVER_IMPLIED = {"name", "etag"}
"""They say which resource and which state of it is meant; they are no content."""


def apply(update_mask: FieldMask, message: Message, current: Message) -> set[str]:
    """Copy what the mask names from `message` into `current`; returns the mask paths whose value changed.

    Both are the same resource type. An empty mask means all populated fields, `*` means all fields (those unset are
    cleared, immutable ones left). Paths may go into messages (`address.city`) and name one key of a map or Struct
    (`traits.tier`); lists are replaced whole. Output-only fields are skipped when implied. Raises InvalidArgument
    INVALID_UPDATE_MASK, naming the path, for an unknown or output-only path, a change of an immutable field, and the
    clearing of a required one.
    """
    paths = list(dict.fromkeys(update_mask.paths))
    explicit = bool(paths) and paths != ["*"]
    if "*" in paths and explicit:
        raise _refusal("*", "stands alone, without other paths")
    if not explicit:
        paths = [
            field.name
            for field in cast(Descriptor, message.DESCRIPTOR).fields
            if _implied(field, message, everything=bool(paths))
        ]
    return {path for path in paths if _copy(path, path.split("."), message, current, explicit)}


def _copy(path: str, parts: list[str], source: Message, target: Message, explicit: bool) -> bool:
    """Copy one path; True when that changed `target`."""
    field = _field(path, parts[0], cast(Descriptor, source.DESCRIPTOR))
    if explicit and (not _writable(field) or (field.name in _NEVER_IMPLIED and len(parts) == 1)):
        raise _refusal(path, "is set by the service and cannot be written")
    if len(parts) == 1:
        return _replace(path, field, source, target)
    if _behaves(field, FieldBehavior.IMMUTABLE) and not _same(field, source, target):
        raise _refusal(path, "cannot be changed after creation")
    if _is_map(field):
        return _replace_key(path, ".".join(parts[1:]), field, source, target)
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct":
        keys = field.message_type.fields_by_name["fields"]
        return _replace_key(path, ".".join(parts[1:]), keys, getattr(source, field.name), getattr(target, field.name))
    if field.message_type is None or field.is_repeated:
        raise _refusal(path, f"goes into {field.name}, which has no parts; name {field.name} itself")
    return _copy(path, parts[1:], getattr(source, field.name), getattr(target, field.name), explicit)


def _replace(path: str, field: FieldDescriptor, source: Message, target: Message) -> bool:
    if _same(field, source, target):
        return False
    if _behaves(field, FieldBehavior.IMMUTABLE):
        raise _refusal(path, "cannot be changed after creation")
    if _behaves(field, FieldBehavior.REQUIRED) and not _populated(source, field):
        raise _refusal(path, "is required and cannot be cleared")
    kept = _kept_parts(path, field, source, target)
    target.ClearField(field.name)
    if _populated(source, field):
        value = getattr(source, field.name)
        if field.message_type is not None and not field.is_repeated:
            getattr(target, field.name).CopyFrom(value)
        elif _is_map(field) or field.is_repeated:
            getattr(target, field.name).MergeFrom(value)
        else:
            setattr(target, field.name, value)
    for name, value in kept:
        part = getattr(target, field.name)
        part.ClearField(name)
        if hasattr(value, "MergeFrom"):
            getattr(part, name).MergeFrom(value)
        else:
            setattr(part, name, value)
    return True


def _replace_key(path: str, key: str, field: FieldDescriptor, source: Message, target: Message) -> bool:
    key = key.strip("`")
    entry = cast(Descriptor, field.message_type).fields_by_name
    if entry["key"].cpp_type != FieldDescriptor.CPPTYPE_STRING:
        raise _refusal(path, "names a key of a map whose keys are no strings; replace the map")
    new, old = getattr(source, field.name), getattr(target, field.name)
    if (key in new) == (key in old) and (key not in new or new[key] == old[key]):
        return False
    if key not in new:
        del old[key]
    elif entry["value"].message_type is not None:
        old[key].CopyFrom(new[key])
    else:
        old[key] = new[key]
    return True


def _field(path: str, name: str, descriptor: Descriptor) -> FieldDescriptor:
    field = descriptor.fields_by_name.get(name)
    if field is None:
        known = ", ".join(sorted(item.name for item in descriptor.fields if _writable(item)))
        raise _refusal(path, f"is no field of {descriptor.name}; writable are {known}")
    return field


def _kept_parts(path: str, field: FieldDescriptor, source: Message, target: Message) -> list[tuple[str, Any]]:
    """Fields inside a message about to be replaced that keep their values: output-only and unset immutable ones."""
    if field.message_type is None or field.is_repeated or not target.HasField(field.name):
        return []
    new, old = getattr(source, field.name), getattr(target, field.name)
    snapshot = type(old)()
    snapshot.CopyFrom(old)
    kept: list[tuple[str, Any]] = []
    for inner in field.message_type.fields:
        if not _populated(snapshot, inner):
            continue
        if _writable(inner) and _populated(new, inner):
            if _behaves(inner, FieldBehavior.IMMUTABLE) and not _same(inner, new, snapshot):
                raise _refusal(f"{path}.{inner.name}", "cannot be changed after creation")
        elif not _writable(inner) or _behaves(inner, FieldBehavior.IMMUTABLE):
            kept.append((inner.name, getattr(snapshot, inner.name)))
    return kept


def _same(field: FieldDescriptor, one: Message, other: Message) -> bool:
    if _populated(one, field) != _populated(other, field):
        return False
    return bool(getattr(one, field.name) == getattr(other, field.name))


def _populated(message: Message, field: FieldDescriptor) -> bool:
    return any(present.number == field.number for present, _ in message.ListFields())


def _implied(field: FieldDescriptor, message: Message, *, everything: bool) -> bool:
    if field.name in _NEVER_IMPLIED or not _writable(field):
        return False
    return _populated(message, field) or (everything and not _behaves(field, FieldBehavior.IMMUTABLE))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _writable(field: FieldDescriptor) -> bool:
    return not (_behaves(field, FieldBehavior.OUTPUT_ONLY) or _behaves(field, FieldBehavior.IDENTIFIER))


def _behaves(field: FieldDescriptor, behavior: int) -> bool:
    return behavior in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _refusal(path: str, problem: str) -> InvalidArgument:
    return InvalidArgument(
        "INVALID_UPDATE_MASK",
        f"update_mask path {path!r} {problem}.",
        metadata={"path": path},
        violations=[("update_mask", f"{path} {problem}")],
    )
