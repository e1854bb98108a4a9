"""The shapes of resource names (AIP-122, AIP-4231), as the protos declare them."""

from collections.abc import Iterator
from functools import cache

from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from contracts import descriptors


def name_patterns(field: FieldDescriptor) -> tuple[str, ...]:
    """The patterns that a string field's value must follow; none when it is no resource name.

    Raises ValueError when it refers to a resource type that no proto declares.
    """
    own = field.containing_type and resource_of(field.containing_type)
    if own and field.name == (own.name_field or "name"):
        return tuple(own.pattern)
    reference = field.GetOptions().Extensions[resource_pb2.resource_reference]
    kind = reference.type or reference.child_type
    if kind in ("", "*"):
        return ()
    patterns = _declared().get(kind) or _declared_near(field.file).get(kind)  # type: ignore[attr-defined] # missing in the stubs only
    if patterns is None:
        raise ValueError(f"{field.full_name} refers to the resource type {kind}, which no proto declares")
    if reference.child_type:  # The field names the parent: the pattern without the child's two last segments.
        patterns = tuple(parent for pattern in patterns if (parent := pattern.rpartition("/")[0].rpartition("/")[0]))
    return patterns


def resource_of(message: Descriptor) -> resource_pb2.ResourceDescriptor | None:
    """What a message says of itself as a resource; None when it is none."""
    options = message.GetOptions()
    return options.Extensions[resource_pb2.resource] if options.HasExtension(resource_pb2.resource) else None


@cache
def _declared() -> dict[str, tuple[str, ...]]:
    """Resource type -> patterns, over all protos of the platform."""
    pool = descriptors.pool()
    files = (pool.FindFileByName(file.name) for file in descriptors.descriptor_set().file)
    return {kind: patterns for file in files for kind, patterns in _resources_of(file)}


def _declared_near(file: FileDescriptor) -> dict[str, tuple[str, ...]]:
    """The same for a file outside the descriptor set, and what it imports."""
    return {kind: patterns for near in (file, *file.dependencies) for kind, patterns in _resources_of(near)}


def _resources_of(file: FileDescriptor) -> Iterator[tuple[str, tuple[str, ...]]]:
    for definition in file.GetOptions().Extensions[resource_pb2.resource_definition]:
        yield definition.type, tuple(definition.pattern)
    for message in file.message_types_by_name.values():
        if resource := resource_of(message):
            yield resource.type, tuple(resource.pattern)
