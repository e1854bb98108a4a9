"""The OpenAPI 3.1 document."""

from collections.abc import Iterable
from typing import Any

from google.api import field_behavior_pb2

from contracts import descriptors
from gateway import idempotency, reads_of_writes, timeouts
from gateway.credentials import TENANT_HEADER
from gateway.openapi import collection, shared_parts
from gateway.openapi.comments import comment, first_sentence
from gateway.openapi.schemas import Components, Schema, behaviours_of, resource_patterns
from gateway.settings import Settings
from gateway.transcoder.files import PAGE_TYPES, SAFE_TYPES, UNKNOWN_TYPE
from gateway.transcoder.reading import json_path
from gateway.transcoder.routes import Route

_BODY_METHODS_THAT_CREATE = ("POST",)


def openapi(routes: Iterable[Route], settings: Settings) -> dict[str, Any]:
    """The document for the given routes and the Segment-shaped endpoints."""
    components = Components()
    patterns = resource_patterns()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path, parameters = _path(route, patterns)
        paths.setdefault(path, {})[route.http_method.lower()] = _operation(route, parameters, components)
    tags = [tag for tag in _tags() if tag["name"] in settings.upstreams]
    schemas = {**dict(sorted(components.schemas.items())), **shared_parts.SCHEMAS}
    if "identity" in settings.upstreams:
        paths |= collection.paths()
        tags.append(collection.TAG)
        schemas |= collection.SCHEMAS
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {"title": "Rapport API", "version": "v1", "description": shared_parts.INTRODUCTION},
        "servers": [{"url": settings.public_url or "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": shared_parts.PARAMETERS,
            "headers": shared_parts.HEADERS,
            "responses": shared_parts.responses(),
            "securitySchemes": shared_parts.SECURITY_SCHEMES,
        },
    }


def _tags() -> list[dict[str, str]]:
    found = []
    for service in descriptors.services():
        name = service.file.package.split(".")[1]
        found.append({"name": name, "description": comment(service.full_name)})
    return found


def _path(route: Route, patterns: dict[str, str]) -> tuple[str, list[Schema]]:
    """The path in OpenAPI's form, and its parameters: `/v1/{name=customers/*}` is `/v1/customers/{customer}`."""
    segments = list(route.template.segments)
    described: dict[int, str] = {}
    for variable in route.template.variables:
        covered = segments[variable.start : variable.end]
        pattern = patterns.get("/".join(covered), "").split("/")
        for offset, segment in enumerate(covered):
            if segment in ("*", "**"):
                at = variable.start + offset
                named = pattern[offset][1:-1] if len(pattern) > offset and pattern[offset] else f"segment{at}"
                segments[at] = f"{{{named}}}"
                described[at] = named
    parameters: list[Schema] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"The id of the {name.replace('_', ' ')}.",
            "schema": {"type": "string", "pattern": "^[^/:]+$", "minLength": 1},
        }
        for name in described.values()
    ]
    verb = f":{route.template.verb}" if route.template.verb else ""
    return "/" + "/".join(segments) + verb, parameters


def _operation(route: Route, parameters: list[Schema], components: Components) -> dict[str, Any]:
    text = comment(route.rpc.full_name)
    summary = first_sentence(text)
    permission = descriptors.rule(route.rpc).permission
    needs = f"Needs the permission `{permission}`." if permission else "Needs no credential: the token is one."
    operation: dict[str, Any] = {
        "operationId": route.rpc.name,
        "summary": summary,
        "description": needs if text == f"{summary}." else f"{text}\n\n{needs}",
        "tags": [route.service],
        "parameters": [*parameters, *_query(route, components), *_headers(route)],
        "responses": _responses(route, components),
        "security": [] if route.public else [{"bearer": []}, {"apiKey": []}],
    }
    if route.body_plan is not None:
        operation["requestBody"] = _body(route, components)
    return operation


def _query(route: Route, components: Components) -> list[Schema]:
    hidden = {("request_id",)} if route.is_mutation else set()  # The header Idempotency-Key is the way.
    if route.etag_path:
        hidden.add(("etag",))  # So is If-Match.
    found = []
    for path in route.query_paths:
        if tuple(field.name for field in path) in hidden:
            continue
        required = all(field_behavior_pb2.REQUIRED in behaviours_of(field) for field in path)
        schema = components.field(path[-1], required=required)
        described: Schema = {"name": json_path(path), "in": "query", "schema": schema}
        if text := schema.pop("description", ""):
            described["description"] = text
        if required:
            described["required"] = True
        found.append(described)
    return found


def _headers(route: Route) -> list[Schema]:
    names = [timeouts.HEADER, "traceparent"]
    if not route.public:
        names.insert(0, TENANT_HEADER)
    if route.is_mutation:
        names.insert(0, idempotency.HEADER)
    if route.etag_path:
        names.insert(0, "If-Match")
    if route.has_etag and route.http_method == "GET":
        names.insert(0, "If-None-Match")
    if route.http_method == "GET" and not route.public:
        names.append(reads_of_writes.TOKEN_HEADER)
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _body(route: Route, components: Components) -> dict[str, Any]:
    assert route.body_plan is not None
    creates = route.http_method in _BODY_METHODS_THAT_CREATE
    given = frozenset(variable.field for variable in route.template.variables) if route.body == "*" else frozenset()
    schema = components.message(route.body_plan.descriptor, required=creates, without=given)
    body: dict[str, Any] = {"content": {"application/json": {"schema": schema}}}
    if route.request_max:
        body["description"] = f"At most {route.request_max} bytes, unpacked."
    demanded = components.schemas[schema["$ref"].rpartition("/")[2]].get("required")
    if route.body != "*" or demanded:
        body["required"] = True
    return body


def _responses(route: Route, components: Components) -> dict[str, Any]:
    headers = {"X-Trace-Id": _header("X-Trace-Id")}
    if route.has_etag:
        headers["ETag"] = _header("ETag")
    if route.is_mutation:
        headers["Idempotency-Key"] = _header("Idempotency-Key")
        headers[reads_of_writes.TOKEN_HEADER] = _header(reads_of_writes.TOKEN_HEADER)
    if route.http_method == "GET" and not route.public:
        headers[reads_of_writes.STALE_HEADER] = _header(reads_of_writes.STALE_HEADER)
    headers |= {name: _header(name) for name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")}
    if route.is_file:
        headers["Content-Disposition"] = _header("Content-Disposition")
    good = {**_answer(route, components), "headers": headers}
    statuses = [400, 404, 414, 429, 431, 499, 500, 501, 503, 504]
    if not route.public:
        statuses += [401, 403]
    if route.http_method != "GET":
        statuses += [409]
    if route.body:
        statuses += [413, 415]
    found: dict[str, Any] = {"200": good}
    if route.has_etag and route.http_method == "GET":
        found["304"] = {"$ref": "#/components/responses/304"}
    return found | {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def _answer(route: Route, components: Components) -> dict[str, Any]:
    if route.is_file:
        file = {"schema": {"type": "string", "format": "binary"}}
        types = PAGE_TYPES if route.is_page else {*SAFE_TYPES, UNKNOWN_TYPE}
        return {"description": "The file.", "content": dict.fromkeys(sorted(types), file)}
    output = route.response_plan.descriptor
    empty = output.full_name == "google.protobuf.Empty"
    schema = {"type": "object", "additionalProperties": False} if empty else components.message(output)
    description = first_sentence(comment(output.full_name)) or "Done"
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _header(name: str) -> Schema:
    return {"$ref": f"#/components/headers/{name}"}
