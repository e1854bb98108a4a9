"""The one view behind all RPC routes: find the route, let the request in, read it, call, answer."""

import json
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qsl

from flask import Request, Response

from chassis.errors import InvalidArgument, NotFound
from gateway import bodies, etags, idempotency, reads_of_writes, timeouts
from gateway.admission import Admission
from gateway.credentials import from_headers
from gateway.errors import HttpRefusal
from gateway.large_bodies import LargeBodies, may_be_large
from gateway.observation import set_route
from gateway.settings import Settings
from gateway.transcoder import files, json_text, reading
from gateway.transcoder.reading import Faults
from gateway.transcoder.routes import Route, RouteTable, get_at, set_at
from gateway.transcoder.writing import write_message
from gateway.upstreams import Upstreams

_PARAMETERS_MAX = 200


class Transcoder:
    """Serves every route of a table."""

    def __init__(self, table: RouteTable, settings: Settings, admission: Admission, upstreams: Upstreams) -> None:
        self._table = table
        self._settings = settings
        self._admission = admission
        self._upstreams = upstreams
        self._large = LargeBodies(settings.large_bodies)

    def handle(self, request: Request) -> Response:
        """Answers a request. Raises RapportError for whatever is refused."""
        methods, segments = self._table.find(raw_path(request))
        if not methods:
            raise not_found()
        allowed = sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])})
        set_route(next(iter(methods.values())).template.text)
        if request.method == "OPTIONS":
            return Response(status=204, headers={"Allow": ", ".join(allowed)})
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            raise method_not_allowed(allowed)
        set_route(route.template.text)
        return self._serve(route, segments, request)

    def _serve(self, route: Route, segments: list[str], request: Request) -> Response:
        deadline = timeouts.deadline_of(request, self._settings.default_timeout_s)
        token = None
        if route.public:
            self._admission.anonymous(request)
        else:
            # Before the request is read: nobody unknown learns what a valid one looks like (AIP-211).
            token = self._admission.known(request, from_headers(request), route.service, deadline).token
        with ExitStack() as held:
            if route.request_max and may_be_large(request, self._settings.body_max_bytes):
                self._large.take(held)
            began = time.monotonic()
            message = self._read(route, segments, request)
            deadline += time.monotonic() - began  # A large body may take its time to come in.
            if route.is_mutation:
                idempotency.apply(request, message)
            _apply_if_match(route, request, message)
            if route.is_file:
                self._large.take(held, until=deadline)
            answer = self._upstreams.call(
                route.service,
                route.rpc_path,
                message,
                route.response_deserializer,
                deadline=deadline,
                token=token,
                metadata=reads_of_writes.asked(request),
            )
            if not route.is_file:
                return _respond(route, request, answer)
            response = files.respond(answer, page=route.is_page)
            if len(answer.data) > self._settings.body_max_bytes:
                response.call_on_close(held.pop_all().close)  # It is in memory until the last byte has left.
            return response

    def _read(self, route: Route, segments: list[str], request: Request) -> Any:
        message: Any = route.request_class()
        faults = Faults()
        if route.body_plan is not None:
            self._read_body(route, request, message, faults)
        elif bodies.has_body(request):
            raise InvalidArgument(
                "UNEXPECTED_BODY", "This method takes no body; send its arguments as query parameters."
            )
        try:
            parameters = parse_qsl(
                request.query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_PARAMETERS_MAX,
            )
            values = route.template.values(segments)
        except ValueError:
            raise InvalidArgument(
                "INVALID_URL",
                f"Path and query must be percent-encoded UTF-8, with at most {_PARAMETERS_MAX} parameters.",
            ) from None
        reading.read_query(parameters, route.query_fields, message, faults)
        for name, fields in route.path_fields.items():
            path = tuple(field.name for field in fields)
            in_body = get_at(message, path)
            reading.read_text(fields, values[name], message, faults)
            if in_body and in_body != get_at(message, path):
                faults.add(name, "differs from the one in the path; leave it out of the body")
        faults.raise_if_any()
        return message

    def _read_body(self, route: Route, request: Request, message: Any, faults: Faults) -> None:
        body = bodies.read(request, max(route.request_max, self._settings.body_max_bytes))
        if not body:
            return
        assert route.body_plan is not None
        value = json_text.loads(body)
        if route.body == "*":
            reading.read_message(route.body_plan, value, message, faults)
        else:
            reading.read_message(route.body_plan, value, getattr(message, route.body), faults, f"{route.body}.")


def raw_path(request: Request) -> str:
    """The path as it was sent: WSGI's PATH_INFO is decoded, and a decoded slash would look like a separator."""
    raw = request.environ.get("RAW_URI") or request.environ["REQUEST_URI"]
    path = raw.partition("?")[0].partition("#")[0]
    if path.startswith("/"):
        return str(path)
    # The absolute form (RFC 9112, section 3.2.2).
    return "/" + str(path).partition("://")[2].partition("/")[2]


def not_found() -> NotFound:
    """The refusal of a path that leads nowhere."""
    return NotFound("ROUTE_NOT_FOUND", "There is nothing at this path; /docs lists what there is.")


def method_not_allowed(allowed: list[str]) -> HttpRefusal:
    """The refusal of a method that a path does not offer."""
    listed = ", ".join(allowed)
    return HttpRefusal(
        405, "METHOD_NOT_ALLOWED", f"This path allows {listed}.", headers={"Allow": listed}, metadata={"allow": listed}
    )


def _apply_if_match(route: Route, request: Request, message: Any) -> None:
    etag = etags.if_match(request)
    if etag is None:
        return
    if not route.etag_path:
        raise InvalidArgument("UNEXPECTED_IF_MATCH", "This method knows no etag; leave out If-Match.")
    in_body = get_at(message, route.etag_path)
    if in_body and in_body != etag:
        name = ".".join(route.etag_path)
        raise InvalidArgument(
            "INVALID_IF_MATCH",
            "If-Match and etag differ; send one of them.",
            violations=[(name, "differs from If-Match")],
        )
    set_at(message, route.etag_path, etag)


def _respond(route: Route, request: Request, answer: Any) -> Response:
    etag = etags.header_value(answer.etag) if route.has_etag else ""
    headers = {"Cache-Control": "private, no-cache" if etag and route.http_method == "GET" else "no-store"}
    if etag:
        headers["ETag"] = etag
        if route.http_method == "GET" and etags.none_match(request, etag):
            return Response(status=304, headers=headers)
    text = json.dumps(write_message(route.response_plan, answer), ensure_ascii=False, separators=(",", ":"))
    return Response(text, content_type="application/json", headers=headers)
