"""The routes of all services, read from the descriptors: which HTTP method and path calls which RPC, and how."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from contracts import descriptors
from gateway.transcoder import files, templates
from gateway.transcoder.plans import FieldPlan, MessagePlan, plan_of
from gateway.transcoder.templates import Template

_QUERY_DEPTH = 3


class RouteError(ValueError):
    """A rule that cannot be served, or two that collide. Raised at start, never for a request."""


@dataclass(frozen=True)
class Route:
    """One binding of an RPC: HTTP method, path, and where each part of the request comes from."""

    http_method: str
    template: Template
    rpc: MethodDescriptor
    body: str
    """`*` for the whole request, the name of a field, or empty for no body."""

    @cached_property
    def service(self) -> str:
        """Short name of the service, such as `identity`; the audience of its tokens."""
        return self.rpc.containing_service.file.package.split(".")[1]

    @cached_property
    def rpc_path(self) -> str:
        """The path of the RPC in gRPC, `/rapport.identity.v1.IdentityService/GetCustomer`."""
        return f"/{self.rpc.containing_service.full_name}/{self.rpc.name}"

    @cached_property
    def public(self) -> bool:
        """Whether no credential is needed."""
        return bool(descriptors.rule(self.rpc).public)

    @cached_property
    def request_max(self) -> int:
        """Bytes of the largest body that the contract allows; 0 leaves it to the settings."""
        return descriptors.rule(self.rpc).max_request_bytes

    @cached_property
    def is_file(self) -> bool:
        """Whether the answer is a file rather than JSON."""
        return bool(self.rpc.output_type.full_name == files.FULL_NAME)

    @cached_property
    def is_page(self) -> bool:
        """Whether that file is a page which the platform itself made."""
        return descriptors.rule(self.rpc).page

    @cached_property
    def request_class(self) -> type[Message]:
        """The class of the request."""
        return descriptors.message_class(self.rpc.input_type.full_name)

    @cached_property
    def response_deserializer(self) -> Callable[[bytes], Message]:
        """Reads the response."""
        return descriptors.message_class(self.rpc.output_type.full_name).FromString

    @cached_property
    def request_plan(self) -> MessagePlan:
        """How the request is read."""
        return plan_of(self.rpc.input_type)

    @cached_property
    def response_plan(self) -> MessagePlan:
        """How the response is written."""
        return plan_of(self.rpc.output_type)

    @cached_property
    def body_plan(self) -> MessagePlan | None:
        """How the body is read; None for a route without one."""
        if not self.body:
            return None
        if self.body == "*":
            return self.request_plan
        descriptor = self.rpc.input_type.fields_by_name[self.body].message_type
        return plan_of(descriptor)

    @cached_property
    def path_fields(self) -> dict[str, tuple[FieldPlan, ...]]:
        """Variable of the template -> the fields that lead to its value."""
        return {variable.field: field_path(self.request_plan, variable.field) for variable in self.template.variables}

    @cached_property
    def query_fields(self) -> dict[str, tuple[FieldPlan, ...]]:
        """Query parameter, in both spellings -> the fields that lead to its value."""
        found: dict[str, tuple[FieldPlan, ...]] = {}
        for path in self.query_paths:
            found[".".join(item.json_name for item in path)] = path
            found[".".join(item.name for item in path)] = path
        return found

    @cached_property
    def query_paths(self) -> tuple[tuple[FieldPlan, ...], ...]:
        """The fields that are taken from the query: all that neither path nor body gives."""
        if self.body == "*":
            return ()
        taken = {variable.field for variable in self.template.variables} | {self.body}
        return tuple(
            path for path in _leaves(self.request_plan, ()) if not _given(".".join(p.name for p in path), taken)
        )

    @cached_property
    def is_mutation(self) -> bool:
        """Whether repeats are made safe by a request id (AIP-155)."""
        return "request_id" in self.rpc.input_type.fields_by_name

    @cached_property
    def etag_path(self) -> tuple[str, ...]:
        """The request's fields that lead to the etag If-Match fills; empty when the method takes none."""
        fields = self.rpc.input_type.fields_by_name
        if "etag" in fields:
            return ("etag",)
        if self.http_method in ("PATCH", "PUT") and self.body not in ("", "*"):
            resource = fields[self.body].message_type
            if resource is not None and "etag" in resource.fields_by_name:
                return (self.body, "etag")
        return ()

    @cached_property
    def has_etag(self) -> bool:
        """Whether the answer carries an etag."""
        return "etag" in self.rpc.output_type.fields_by_name


@dataclass
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    routes: dict[str, dict[str, Route]] = field(default_factory=dict)
    rest: dict[str, dict[str, Route]] = field(default_factory=dict)


class RouteTable:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route], reserved: Iterable[str] = ()) -> None:
        """`reserved` are paths with handlers of their own. Raises RouteError when two routes collide."""
        self.routes = tuple(routes)
        self._root = _Node()
        _refuse_collisions(self.routes, [templates.parse(path) for path in reserved])
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, segments = self._root, route.template.segments
        for segment in segments:
            if segment == "**":
                node.rest.setdefault(route.template.verb, {})[route.http_method] = route
                return
            node = node.children.setdefault(segment, _Node())
        node.routes.setdefault(route.template.verb, {})[route.http_method] = route

    def find(self, raw_path: str) -> tuple[dict[str, Route], list[str]]:
        """HTTP method -> route for a path (as sent, still encoded), and the path's segments; empty: no such path."""
        segments, verb = templates.split(raw_path)
        found: dict[str, Route] = {}
        self._walk(self._root, segments, 0, verb, found)
        return found, segments

    def _walk(self, node: _Node, segments: list[str], at: int, verb: str, found: dict[str, Route]) -> None:
        found.update(node.rest.get(verb, {}))
        if at == len(segments):
            found.update(node.routes.get(verb, {}))
            return
        segment = segments[at]
        for key in (segment, "*") if segment else ():
            child = node.children.get(key)
            if child is not None and not (key == segment == "*"):
                self._walk(child, segments, at + 1, verb, found)


def routes_of(methods: Iterable[MethodDescriptor]) -> Iterator[Route]:
    """The routes of the RPCs; internal ones have none. Raises RouteError for a rule that cannot be served."""
    for rpc in methods:
        if descriptors.rule(rpc).internal:
            continue
        options = rpc.GetOptions()
        if not options.HasExtension(annotations_pb2.http):
            raise RouteError(f"{rpc.full_name}: neither google.api.http nor method_rule.internal")
        rule = options.Extensions[annotations_pb2.http]
        for binding in (rule, *rule.additional_bindings):
            yield _route(rpc, binding)


def _route(rpc: MethodDescriptor, binding: http_pb2.HttpRule) -> Route:
    kind = binding.WhichOneof("pattern")
    if kind is None:
        raise RouteError(f"{rpc.full_name}: a rule without a path")
    if binding.response_body:
        raise RouteError(f"{rpc.full_name}: response_body is not supported")
    if kind == "custom":
        http_method, path = binding.custom.kind, binding.custom.path
    else:
        http_method, path = kind.upper(), getattr(binding, kind)
    if rpc.client_streaming or rpc.server_streaming:
        raise RouteError(f"{rpc.full_name}: streaming RPCs have no HTTP route")
    try:
        route = Route(http_method, templates.parse(path), rpc, binding.body)
    except templates.TemplateError as error:
        raise RouteError(f"{rpc.full_name}: {error}") from error
    _check_fields(route)
    return route


def _check_fields(route: Route) -> None:
    """Raises RouteError for a path variable or body that names no fitting field."""
    where = f"{route.rpc.full_name} ({route.template.text})"
    try:
        paths = route.path_fields.values()
    except KeyError as error:
        raise RouteError(f"{where}: no such field: {error.args[0]}") from error
    if any(path[-1].repeated or path[-1].is_message for path in paths):
        raise RouteError(f"{where}: a path variable must be a single plain value")
    if route.body and route.body != "*":
        body = route.rpc.input_type.fields_by_name.get(route.body)
        if body is None or body.type != FieldDescriptor.TYPE_MESSAGE or body.is_repeated:
            raise RouteError(f"{where}: the body must be a field that holds a message")
    if route.http_method in ("GET", "DELETE") and route.body:
        raise RouteError(f"{where}: {route.http_method} takes no body")


def _refuse_collisions(routes: tuple[Route, ...], reserved: list[Template]) -> None:
    for index, route in enumerate(routes):
        for other in routes[:index]:
            if route.http_method == other.http_method and route.template.overlaps(other.template):
                raise RouteError(
                    f"{route.http_method} {route.template.text} of {route.rpc.full_name} collides with "
                    f"{other.template.text} of {other.rpc.full_name}"
                )
        for template in reserved:
            if route.template.overlaps(template):
                raise RouteError(f"{route.template.text} of {route.rpc.full_name} collides with {template.text}")


def field_path(plan: MessagePlan, dotted: str) -> tuple[FieldPlan, ...]:
    """The fields a dotted path of proto names leads over. Raises KeyError with the path when there is none."""
    found: list[FieldPlan] = []
    for part in dotted.split("."):
        item = plan.by_name.get(part) if plan is not None else None
        if item is None:
            raise KeyError(dotted)
        found.append(item)
        plan = item.message_plan  # type: ignore[assignment] # None ends the path; the next round refuses it
    return tuple(found)


def _leaves(plan: MessagePlan, above: tuple[FieldPlan, ...]) -> Iterator[tuple[FieldPlan, ...]]:
    for item in plan.fields:
        if item.is_leaf:
            yield (*above, item)
            continue
        deeper = item.message_plan is not None and not item.repeated and len(above) < _QUERY_DEPTH - 1
        if deeper and item.message_plan is not None and not _repeats(item.message_plan.descriptor, above):
            yield from _leaves(item.message_plan, (*above, item))


def _repeats(descriptor: Descriptor, above: tuple[FieldPlan, ...]) -> bool:
    return any(item.message_plan is not None and item.message_plan.descriptor == descriptor for item in above)


def _given(path: str, taken: set[str]) -> bool:
    return any(path == item or path.startswith(item + ".") for item in taken if item)


@cache
def all_routes() -> tuple[Route, ...]:
    """The routes of every RPC of the platform."""
    return tuple(routes_of(descriptors.methods()))


def set_at(message: Any, path: tuple[str, ...], value: Any) -> None:
    """Sets a plain field of a message, or of a message in it."""
    for name in path[:-1]:
        message = getattr(message, name)
    setattr(message, path[-1], value)


def get_at(message: Any, path: tuple[str, ...]) -> Any:
    """Reads a plain field of a message, or of a message in it."""
    for name in path:
        message = getattr(message, name)
    return message
