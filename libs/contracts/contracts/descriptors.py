"""What the protos say, at run time: services, methods, their rules, events, and message classes by name.

Everything generic in the platform (authorisation, transcoding, OpenAPI, event decoding, tests over all RPCs)
walks these instead of keeping lists of its own.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from rapport.options.v1 import options_pb2

_PACKAGE = Path(__file__).resolve().parent


@cache
def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """The descriptor set built from protos/, with comments (source info) and all imports."""
    return descriptor_pb2.FileDescriptorSet.FromString((_PACKAGE / "descriptors.binpb").read_bytes())


@cache
def pool() -> DescriptorPool:
    """The default pool, after every module of the platform's protos has been imported into it."""
    for file in descriptor_set().file:
        if file.name.startswith("rapport/"):
            import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
    return descriptor_pool.Default()


@cache
def services() -> tuple[ServiceDescriptor, ...]:
    """All gRPC services of the platform, in order of their full names."""
    found = (
        pool().FindServiceByName(f"{file.package}.{service.name}")
        for file in descriptor_set().file
        if file.package.startswith("rapport.")
        for service in file.service
    )
    return tuple(sorted(found, key=lambda service: service.full_name))


def methods() -> Iterator[MethodDescriptor]:
    """All methods of all services."""
    for service in services():
        yield from service.methods


def _options(descriptor: Any) -> Any:
    # Descriptors are `google.protobuf.descriptor` classes or their upb twins; the type stubs know only the former.
    return descriptor.GetOptions()


def rule(method: MethodDescriptor | Any) -> options_pb2.MethodRule:
    """Who may call the method (the `method_rule` option; empty when the proto forgot it)."""
    return cast(options_pb2.MethodRule, _options(method).Extensions[options_pb2.method_rule])


def event_rule(message: Descriptor | Any) -> options_pb2.EventRule | None:
    """How consumers treat the event, or None for a message that is no event."""
    options = _options(message)
    found: options_pb2.EventRule = options.Extensions[options_pb2.event]
    return found if options.HasExtension(options_pb2.event) else None


def pii(field: FieldDescriptor | Any) -> int:
    """The kind of personal data a field holds, `PII_UNSPECIFIED` for none."""
    return cast(int, _options(field).Extensions[options_pb2.pii])


@cache
def events() -> tuple[Descriptor, ...]:
    """All event messages of the platform, in order of their full names."""
    found = (
        pool().FindMessageTypeByName(f"{file.package}.{message.name}")
        for file in descriptor_set().file
        if file.package.startswith("rapport.")
        for message in file.message_type
    )
    return tuple(sorted((item for item in found if event_rule(item)), key=lambda item: item.full_name))


@cache
def message_class(full_name: str) -> type[Message]:
    """The Python class of a message. Raises KeyError when the contracts know no such message."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(full_name))


def service_config(service: str) -> str | None:
    """The gRPC service config (JSON: balancing, retries, time limits) kept beside a service's proto, if any.

    `service` is the short name, such as `identity`.
    """
    path = _PACKAGE / "service_config" / f"{service}.json"
    return path.read_text() if path.exists() else None
