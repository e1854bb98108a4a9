"""One span, one metric and one log line for each request; none holds a query string, a token or an address."""

import logging
import time
from typing import Any

from flask import Flask, Response, g, request
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis import metric_names, telemetry

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_QUIET = frozenset(("/healthz", "/readyz"))
UNMATCHED = "(none)"

# Not the process's propagator: baggage from outside has no business inside.
_propagator = TraceContextTextMapPropagator()
logger = logging.getLogger("gateway.access")


def observe(app: Flask) -> None:
    """Observes every request of the app. Register it first, so that it sees what all others do."""
    app.before_request(_begin)
    app.after_request(_describe)
    app.teardown_request(_end)


def set_route(template: str) -> None:
    """Says which route serves the request, for span, metric and log."""
    g.route = template


def _begin() -> None:
    g.started = time.perf_counter()
    parent = _propagator.extract(request.headers)
    span = telemetry.tracer().start_span(_method(), context=parent, kind=trace.SpanKind.SERVER)
    g.span = span
    g.otel_token = otel_context.attach(trace.set_span_in_context(span))
    g.route = request.url_rule.rule if request.url_rule is not None else UNMATCHED


def _describe(response: Response) -> Response:
    span: trace.Span = g.span
    identity = span.get_span_context()
    if identity.is_valid:
        response.headers["X-Trace-Id"] = trace.format_trace_id(identity.trace_id)
    method, route, status = _method(), g.route, response.status_code
    labels = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    span.update_name(f"{method} {route}")
    span.set_attributes({**labels, "url.scheme": request.scheme})
    if status >= 500:
        span.set_status(trace.Status(trace.StatusCode.ERROR))
    elapsed = time.perf_counter() - g.started
    telemetry.histogram(metric_names.HTTP_SERVER_DURATION).record(
        elapsed, {**labels, "http.response.status_code": str(status)}
    )
    if route not in _QUIET:
        fields: dict[str, Any] = {
            "http_method": method,
            "http_route": route,
            "http_status": status,
            "duration_ms": round(elapsed * 1000, 1),
            "request_bytes": request.content_length or 0,
            "response_bytes": response.content_length or 0,
        }
        logger.info("request", extra=fields)
    return response


def _end(_error: BaseException | None) -> None:
    if "otel_token" in g:
        otel_context.detach(g.pop("otel_token"))
        g.span.end()


def _method() -> str:
    return request.method if request.method in _METHODS else "_OTHER"
