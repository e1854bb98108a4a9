"""Receives OpenTelemetry and keeps the newest of it in memory, to look at and to assert on.

OTLP over HTTP with protobuf bodies: `POST /v1/traces`, `POST /v1/metrics`. `GET /` and `/view/{trace_id}` are pages;
`GET /traces?service=S&name=N&limit=N`, `GET /traces/{trace_id}`, `GET /spans` (all that is kept) and
`GET /metrics?name=N` answer JSON.
"""

import argparse
import gzip
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from localrun import tracepages
from localrun.web import WebHandler, WebServer, block_signals, run_until_signal

SPANS_MAX = 50_000
SERIES_MAX = 20_000
BODY_BYTES_MAX = 32 * 1024 * 1024

SpanRecord = dict[str, Any]
"""trace_id, span_id, parent_id, name, kind, service, role, start_ns, end_ns, error, status, attributes, events."""


class TraceStore:
    """The newest traces and the last value of each metric series; past a limit the oldest go."""

    def __init__(self, spans_max: int = SPANS_MAX, series_max: int = SERIES_MAX) -> None:
        self._spans_max, self._series_max = spans_max, series_max
        self._lock = threading.Lock()
        self._traces: OrderedDict[str, list[SpanRecord]] = OrderedDict()
        self._spans = 0
        self._series: OrderedDict[tuple[str, str, str], dict[str, Any]] = OrderedDict()

    def add_traces(self, request: ExportTraceServiceRequest) -> None:
        """Keeps the spans of an export."""
        with self._lock:
            for group in request.resource_spans:
                resource = _attributes(group.resource.attributes)
                for scope in group.scope_spans:
                    for span in scope.spans:
                        record = _record(span, resource)
                        self._traces.setdefault(record["trace_id"], []).append(record)
                        self._spans += 1
            while self._spans > self._spans_max:
                _, dropped = self._traces.popitem(last=False)
                self._spans -= len(dropped)

    def add_metrics(self, request: ExportMetricsServiceRequest) -> None:
        """Keeps the last point of each series."""
        with self._lock:
            for group in request.resource_metrics:
                resource = _attributes(group.resource.attributes)
                for scope in group.scope_metrics:
                    for metric in scope.metrics:
                        self._add_metric(metric, resource)
            while len(self._series) > self._series_max:
                self._series.popitem(last=False)

    def _add_metric(self, metric: Any, resource: dict[str, Any]) -> None:
        kind = metric.WhichOneof("data")
        for point in getattr(metric, kind).data_points if kind else ():
            attributes = _attributes(point.attributes)
            if kind == "histogram":
                value: dict[str, Any] = {"count": point.count, "sum": point.sum}
                value |= {"bounds": list(point.explicit_bounds), "buckets": list(point.bucket_counts)}
            elif kind in ("sum", "gauge"):
                value = {"value": point.as_int if point.WhichOneof("value") == "as_int" else point.as_double}
            else:
                continue
            instance = str(resource.get("service.instance.id", resource.get("service.name", "")))
            key = (metric.name, instance, repr(sorted(attributes.items())))
            self._series[key] = {
                "name": metric.name,
                "unit": metric.unit,
                "service": resource.get("service.name", ""),
                "instance": instance,
                "attributes": attributes,
                "time_ns": point.time_unix_nano,
                **value,
            }
            self._series.move_to_end(key)

    def summaries(self, service: str = "", name: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Newest first: traces with a span of that service, and one whose name contains `name`."""
        with self._lock:
            traces = [list(spans) for spans in reversed(self._traces.values())]
        found = []
        for spans in traces:
            if service and all(span["service"] != service for span in spans):
                continue
            if name and all(name not in span["name"] for span in spans):
                continue
            found.append(_summary(spans))
            if len(found) >= limit:
                break
        return found

    def trace(self, trace_id: str) -> list[SpanRecord]:
        """Spans of a trace by start time; empty if it is not known."""
        with self._lock:
            return sorted(self._traces.get(trace_id, []), key=lambda span: span["start_ns"])

    def spans(self) -> list[SpanRecord]:
        """All that is kept, the oldest trace first."""
        with self._lock:
            return [span for spans in self._traces.values() for span in spans]

    def metrics(self, name: str = "") -> list[dict[str, Any]]:
        """Last point of each series, optionally of one metric."""
        with self._lock:
            return [series for series in self._series.values() if not name or series["name"] == name]


class TraceSink:
    """The server. Port 0 takes a free one."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.store = TraceStore()
        self._web = WebServer(host, port, type("Handler", (_Handler,), {"store": self.store}))
        self.endpoint = f"http://{host}:{self._web.port}"

    def start(self) -> None:
        """Begins to receive."""
        self._web.start()

    def stop(self) -> None:
        """Ends."""
        self._web.shutdown()
        self._web.server_close()


class _Handler(WebHandler):
    store: TraceStore

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self._body()
        if body is None:
            return
        try:
            if self.route == "/v1/traces":
                self.store.add_traces(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
            elif self.route == "/v1/metrics":
                self.store.add_metrics(ExportMetricsServiceRequest.FromString(body))
                answer = ExportMetricsServiceResponse().SerializeToString()
            else:
                self.send_json({"error": "not found"}, 404)
                return
        except DecodeError:
            self.send_json({"error": "the body is not an OTLP export request in protobuf"}, 400)
            return
        self.send_bytes(answer, "application/x-protobuf")

    def _body(self) -> bytes | None:
        """The unpacked body; None if it was refused (and answered)."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self.send_json({"error": f"Content-Length must be given and at most {BODY_BYTES_MAX}"}, 413)
            return None
        body = self.rfile.read(int(length))
        if self.headers.get("Content-Encoding") == "gzip":
            try:
                return gzip.decompress(body)
            except (OSError, EOFError, zlib.error):
                self.send_json({"error": "the body is not gzip"}, 400)
                return None
        return body

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        limit = self.argument("limit", "100")
        if not limit.isdigit():
            self.send_json({"error": "limit is not a number"}, 400)
        elif self.route == "/":
            self.send_page(tracepages.list_page(self.store.summaries(limit=200)))
        elif self.route == "/traces":
            found = self.store.summaries(self.argument("service"), self.argument("name"), int(limit))
            self.send_json({"traces": found})
        elif self.route == "/spans":
            self.send_json({"spans": self.store.spans()})
        elif self.route == "/metrics":
            self.send_json({"metrics": self.store.metrics(self.argument("name"))})
        elif (match := re.fullmatch(r"/(traces|view)/([0-9a-f]{32})", self.route)) and (
            spans := self.store.trace(match[2])
        ):
            if match[1] == "view":
                self.send_page(tracepages.waterfall_page(match[2], spans))
            else:
                self.send_json({"trace_id": match[2], "spans": spans})
        else:
            self.send_json({"error": "not found"}, 404)


def _record(span: Span, resource: dict[str, Any]) -> SpanRecord:
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "service": str(resource.get("service.name", "unknown")),
        "role": str(resource.get("rapport.role", "")),
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "error": span.status.code == Status.STATUS_CODE_ERROR,
        "status": span.status.message,
        "attributes": _attributes(span.attributes),
        "events": [{"name": event.name, "attributes": _attributes(event.attributes)} for event in span.events],
    }


def _summary(spans: list[SpanRecord]) -> dict[str, Any]:
    known = {span["span_id"] for span in spans}
    first = min(spans, key=lambda span: (span["parent_id"] in known, span["start_ns"]))
    start = min(span["start_ns"] for span in spans)
    return {
        "trace_id": first["trace_id"],
        "name": first["name"],
        "service": first["service"],
        "services": sorted({span["service"] for span in spans}),
        "spans": len(spans),
        "start_ns": start,
        "duration_ms": round((max(span["end_ns"] for span in spans) - start) / 1e6, 3),
        "error": any(span["error"] for span in spans),
    }


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind) if kind else None


def main() -> None:
    """`python -m localrun.tracesink`: runs a TraceSink until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m localrun.tracesink", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4318)
    arguments = parser.parse_args()
    block_signals()
    sink = TraceSink(arguments.host, arguments.port)
    sink.start()
    run_until_signal(sink.stop)


if __name__ == "__main__":
    main()
