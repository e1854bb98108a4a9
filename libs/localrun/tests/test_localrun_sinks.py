"""The mail and trace sinks, spoken to as services speak to them."""

import gzip
import json
import smtplib
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from localrun.mailsink import MailSink, MailStore
from localrun.tracesink import TraceSink, TraceStore


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        return str(answer.read().decode())


@pytest.fixture
def mails(tmp_path: Path) -> Iterator[MailSink]:
    sink = MailSink(tmp_path / "mails")
    sink.start()
    yield sink
    sink.stop()


def send(sink: MailSink, to: str, subject: str, *, html: str = "") -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", to, subject
    message["Message-ID"] = f"<{subject}@example.com>"
    message.set_content(f"Hello, open http://127.0.1.1:8080/c/abc?x=1&y=2 now\nGrüße {subject}")
    if html:
        message.add_alternative(html, subtype="html")
    with smtplib.SMTP(sink.host, sink.smtp_port, timeout=5) as client:
        client.send_message(message)


def test_mail_is_kept_listed_and_shown(mails: MailSink) -> None:
    base = f"http://{mails.host}:{mails.http_port}"
    send(mails, "ada@example.com", "first", html="<script>alert(1)</script><b>bold</b>")
    send(mails, "bob@example.com", "second")
    everybody = get(f"{base}/mails")["mails"]
    assert [mail["subject"] for mail in everybody] == ["second", "first"]
    (mail,) = get(f"{base}/mails?to=ADA@example.com")["mails"]
    assert mail["message_id"] == "<first@example.com>"
    assert mail["to"] == ["ada@example.com"]
    whole = get(f"{base}/mails/{mail['id']}")
    assert "Grüße first" in whole["text"]
    assert "<b>bold</b>" in whole["html"]
    assert "first" in page(f"{base}/")
    shown = page(f"{base}/view/{mail['id']}")
    assert 'href="http://127.0.1.1:8080/c/abc?x=1&amp;y=2"' in shown
    assert "<script>alert" not in shown
    assert 'sandbox=""' in shown
    with urllib.request.urlopen(f"{base}/mails/{mail['id']}.eml", timeout=5) as answer:
        assert b"Message-ID: <first@example.com>" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{base}/mails/00000000000000000000")


def test_refused_recipients_show_a_sender_both_kinds_of_failure(mails: MailSink) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(mails, "bounce-1@example.com", "a")
    assert refused.value.recipients["bounce-1@example.com"][0] == 550
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(mails, "defer@example.com", "b")
    assert refused.value.recipients["defer@example.com"][0] == 451
    assert get(f"http://{mails.host}:{mails.http_port}/mails")["mails"] == []


def test_mails_survive_a_restart_and_the_oldest_go(tmp_path: Path) -> None:
    store = MailStore(tmp_path, limit=3)
    for number in range(5):
        store.add("s@example.com", ["r@example.com"], f"Subject: {number}\r\n\r\nbody".encode())
    assert [mail.subject for mail in store.list()] == ["4", "3", "2"]
    assert len(list(tmp_path.glob("*.eml"))) == 3
    again = MailStore(tmp_path, limit=3)
    assert again.list() == store.list()
    again.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def traces() -> Iterator[TraceSink]:
    sink = TraceSink()
    sink.start()
    yield sink
    sink.stop()


def spans_of(sink: TraceSink, service: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=Resource.create({"service.name": service, "rapport.role": "serve"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{sink.endpoint}/v1/traces")))
    return provider


def test_one_trace_over_two_services_is_shown_as_a_waterfall(traces: TraceSink) -> None:
    gateway, identity = spans_of(traces, "gateway"), spans_of(traces, "identity")
    with gateway.get_tracer("t").start_as_current_span("POST /v1/customers") as root:
        with identity.get_tracer("t").start_as_current_span("identity.insert", attributes={"tenant": "<shop>"}):
            pass
        with identity.get_tracer("t").start_as_current_span("later"):
            pass
    gateway.shutdown()
    identity.shutdown()
    trace_id = format(root.get_span_context().trace_id, "032x")

    (summary,) = get(f"{traces.endpoint}/traces?service=identity&name=insert")["traces"]
    assert summary["trace_id"] == trace_id
    assert summary["name"] == "POST /v1/customers"
    assert summary["services"] == ["gateway", "identity"]
    assert get(f"{traces.endpoint}/traces?service=sales")["traces"] == []
    spans = get(f"{traces.endpoint}/traces/{trace_id}")["spans"]
    assert {span["span_id"] for span in spans} <= {span["span_id"] for span in get(f"{traces.endpoint}/spans")["spans"]}
    assert [span["name"] for span in spans] == ["POST /v1/customers", "identity.insert", "later"]
    assert spans[1]["parent_id"] == spans[0]["span_id"]
    assert spans[1]["attributes"] == {"tenant": "<shop>"}
    shown = page(f"{traces.endpoint}/view/{trace_id}")
    assert shown.index("POST /v1/customers") < shown.index("identity.insert") < shown.index("later")
    assert "tenant = &lt;shop&gt;" in shown
    assert trace_id in page(f"{traces.endpoint}/")


def test_a_span_is_kept_with_what_its_status_and_its_events_say(traces: TraceSink) -> None:
    provider = spans_of(traces, "identity")
    with provider.get_tracer("t").start_as_current_span("failed") as span:
        span.set_status(Status(StatusCode.ERROR, "what a status says"))
        span.record_exception(ValueError("what an exception says"))
    (kept,) = get(f"{traces.endpoint}/traces/{span.get_span_context().trace_id:032x}")["spans"]
    assert (kept["error"], kept["status"]) == (True, "what a status says")
    assert [event["attributes"]["exception.message"] for event in kept["events"]] == ["what an exception says"]


def test_wrong_bodies_are_refused(traces: TraceSink) -> None:
    def post(path: str, body: bytes, **headers: str) -> int:
        request = urllib.request.Request(traces.endpoint + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    good = ExportTraceServiceRequest().SerializeToString()
    assert post("/v1/traces", gzip.compress(good), **{"Content-Encoding": "gzip"}) == 200
    assert post("/v1/traces", b"\xff\xff\xff") == 400
    assert post("/v1/traces", b"not gzip", **{"Content-Encoding": "gzip"}) == 400
    assert post("/v1/logs", good) == 404


def test_memory_is_bounded_by_spans_and_series() -> None:
    store = TraceStore(spans_max=10, series_max=2)
    for number in range(20):
        request = ExportTraceServiceRequest()
        span = request.resource_spans.add().scope_spans.add().spans.add()
        span.trace_id, span.name = number.to_bytes(16, "big"), f"span {number}"
        store.add_traces(request)
    assert [trace["name"] for trace in store.summaries()] == [f"span {number}" for number in range(19, 9, -1)]
    for number in range(3):
        request = ExportMetricsServiceRequest()
        metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=f"m{number}")
        metric.gauge.data_points.add(as_int=number)
        store.add_metrics(request)
    assert [(series["name"], series["value"]) for series in store.metrics()] == [("m1", 1), ("m2", 2)]
