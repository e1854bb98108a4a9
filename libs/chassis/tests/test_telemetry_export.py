import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chassis import metric_names, telemetry

from .conftest import KEYRING

PROGRAM = """
import sys, time
patched, endpoint = sys.argv[1] == "patched", sys.argv[2]
if patched:
    import eventlet
    eventlet.monkey_patch()
from opentelemetry.trace import SpanKind
from chassis import metric_names, telemetry
from chassis.settings import Settings
telemetry.setup(Settings(service="things", role="work", version="1.2", instance="ns.pod.c", keys=sys.argv[3],
                         otlp_endpoint=endpoint or None))
telemetry.gauge(metric_names.OUTBOX_AGE, lambda: [(1.5, {})])
telemetry.counter(metric_names.EVENTS_RELAYED).add(2, {"rapport.event.type": "t"})
with telemetry.tracer().start_as_current_span("publish") as span:
    recorded = span.is_recording()
    telemetry.tracer().start_span("query-within", kind=SpanKind.CLIENT).end()
telemetry.tracer().start_span("query-alone", kind=SpanKind.CLIENT).end()
start = time.monotonic()
telemetry.shutdown()
print(recorded, time.monotonic() - start)
"""


@pytest.fixture
def collector():
    """An OTLP/HTTP receiver: its address and what it got, by path."""
    got: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got[self.path] = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", got
    server.shutdown()
    server.server_close()
    thread.join()


def run(mode: str, endpoint: str) -> tuple[bool, float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, mode, endpoint, KEYRING],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "", "NO_PROXY": "127.0.0.1"},
    )
    assert done.returncode == 0, done.stderr
    recorded, seconds = done.stdout.split()
    return recorded == "True", float(seconds)


@pytest.mark.parametrize("mode", ["plain", "patched"])
def test_traces_and_metrics_arrive_at_shutdown(collector, mode):
    import gzip

    endpoint, got = collector
    recorded, seconds = run(mode, endpoint + "/")
    assert recorded
    assert seconds < 5
    assert set(got) == {"/v1/traces", "/v1/metrics"}
    bodies = {path: gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for path, body in got.items()}
    assert b"publish" in bodies["/v1/traces"]
    assert b"query-within" in bodies["/v1/traces"]
    assert b"query-alone" not in bodies["/v1/traces"], "a query of no request is a poll"
    for name in (b"rapport.outbox.age", b"rapport.events.relayed", b"ns.pod.c", b"service.namespace", b"rapport.role"):
        assert name in bodies["/v1/metrics"]


def test_nothing_is_recorded_without_an_endpoint():
    recorded, seconds = run("plain", "")
    assert not recorded
    assert seconds < 3


def test_dead_collector_delays_the_end_by_five_seconds_at_most():
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        start = time.monotonic()
        recorded, seconds = run("plain", f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert recorded
    assert seconds < 8, "five and what a busy machine adds"
    assert time.monotonic() - start < 20


def test_metric_names_are_distinct_and_complete():
    metrics = metric_names.all_metrics()
    assert len({metric.name for metric in metrics}) == len(metrics) > 10
    for metric in metrics:
        assert metric.description.endswith(".")
        assert metric.unit
        assert (metric.kind == "histogram") == bool(metric.buckets)
        assert list(metric.buckets) == sorted(metric.buckets)


def test_resource_names_the_process(settings):
    attributes = telemetry.resource_attributes(settings(role="relay", version="1.2", instance="x"))
    assert attributes["service.name"] == "things"
    assert attributes["rapport.role"] == "relay"
    assert json.dumps(attributes)
