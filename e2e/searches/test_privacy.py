"""Personal data and secrets stay out of everything that tells how the platform is doing.

Marked values go in through the gateway, by calls that work and calls that fail; then none of them is in a log, a span,
a metric or the list of dead letters. That the scan would see them there is proven first, with the same values.
"""

import json
import re
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from e2e import marked_work, tenants
from e2e.demo.api import wait_for
from e2e.leak_scan import CONTROL, SERVICES, Marks, Scan, dead, workers
from e2e.platform import Platform
from e2e.tenants import Tenant


@pytest.mark.timeout(300)
def test_planted_values_are_nowhere_but_where_they_belong(platform: Platform, new_tenant: Callable[[], Tenant]) -> None:
    scan = Scan(platform, time.time_ns())
    marks, tenant = Marks(), new_tenant()
    marks.made["api_key"] = tenant.api.headers["Authorization"].removeprefix("Bearer ")
    marks.made["write_key"] = tenant.write_keys["shop"]
    last_trace = _exercise(platform, tenant, marks)
    values = marks.all()
    assert len(set(values.values())) >= 40

    with _planted(platform, values):
        seen = wait_for(lambda: _complete(scan.found(values, control=True), values), "the planted proof", timeout=30)
    assert all(names == set(values) for names in seen.values()), "the scan would miss what it looks for"

    _wait_for_telemetry(scan, last_trace)
    leaked = {place: names for place, names in scan.found(values).items() if names}
    assert leaked == {}
    for service in workers(platform):
        dead(platform, "drop", "--service", service, "--reason", "UNDECODABLE_CONTENT_TYPE", "--yes")


def _complete(found: dict[str, set[str]], values: dict[str, str]) -> dict[str, set[str]] | None:
    return found if all(names == set(values) for names in found.values()) else None


def _exercise(platform: Platform, tenant: Tenant, marks: Marks) -> str:
    """Calls that work, calls that fail; returns the trace of the last one that reaches a service."""
    api, gateway = tenant.api, platform.gateway
    person = {
        "displayName": marks.name,
        "email": marks.email,
        "phone": marks.phone,
        "traits": {marks.trait_name: marks.trait},
    }
    customer = api.post("/v1/customers", person)["name"]
    assert api.send("POST", "/v1/customers", person).status_code == 409, "the address is taken"
    assert api.get("/v1/customers:lookup", kind="KIND_EMAIL", value=marks.email)["name"] == customer
    _collect(gateway, tenant, marks)
    _ask_for_consent(platform, tenant, marks, customer)
    marked_work.exercise(api, marks, customer)

    json_type = {"Content-Type": "application/json"}
    refused = {
        "unknown field": api.send("POST", "/v1/customers", {marks.body_key: marks.other_email}),
        "field of another type": api.send("POST", "/v1/customers", {"email": {"address": marks.other_email}}),
        "not an address": api.send("POST", "/v1/customers", {"email": f"{marks.other_email}@@"}),
        "not a phone number": api.send("POST", "/v1/customers", {"phone": f"{marks.phone}99999999"}),
        "filter": api.send("GET", "/v1/customers", query={"filter": f'email >> "{marks.query}"'}),
        "page token": api.send("GET", "/v1/customers", query={"pageToken": marks.query}),
        "name": api.send("GET", f"/v1/customers/{marks.path}"),
        "custom verb": api.send("POST", f"/v1/customers/{marks.path}:{marks.path}", {}),
        "idempotency key": api.send("POST", "/v1/customers", {}, headers={"Idempotency-Key": marks.header * 99}),
        "timeout": api.send("GET", "/v1/customers", headers={"X-Rapport-Timeout": marks.header}),
        "etag": api.send("PATCH", f"/v1/{customer}", {"displayName": marks.name}, headers={"If-Match": marks.header}),
        "broken JSON": requests.post(
            f"{gateway}/v1/customers", data=f'{{"{marks.broken}": ', headers=api.headers | json_type, timeout=30
        ),
        "key given twice": requests.post(
            f"{gateway}/v1/customers",
            data=f'{{"{marks.body_key}": 1, "{marks.body_key}": 2}}',
            headers=api.headers | json_type,
            timeout=30,
        ),
        "wrong key": requests.get(
            f"{gateway}/v1/customers", headers={"Authorization": f"Bearer {marks.wrong_key}"}, timeout=30
        ),
        "wrong token": requests.get(
            f"{gateway}/v1/customers",
            headers={"Authorization": f"Bearer {marks.jwt}", "X-Rapport-Tenant": tenant.id},
            timeout=30,
        ),
        "wrong write key": requests.post(
            f"{gateway}/v1/track", json={"writeKey": marks.wrong_key, "userId": marks.user_id}, timeout=30
        ),
        "wrong link": requests.get(f"{gateway}/c/{marks.wrong_link}", params={"m": marks.query}, timeout=30),
        "no such path": requests.get(f"{gateway}/{marks.path}", params={"m": marks.query}, timeout=30),
    }
    passed = {what: answer.status_code for what, answer in refused.items() if not 400 <= answer.status_code < 500}
    assert passed == {}
    _break_http(gateway, marks)
    for service in workers(platform):
        _make_dead_letter(platform, tenant, marks, service)
    _, trace = api.exchange("PATCH", f"/v1/{customer}", {"displayName": f"{marks.name} II"})
    return trace


def _collect(gateway: str, tenant: Tenant, marks: Marks) -> None:
    """An event that is taken, one that is quarantined, one that cannot be made out."""
    context = {"ip": marks.ipv6, "userAgent": marks.user_agent}
    good = {"type": "track", "event": "Seen", "userId": marks.user_id, "messageId": marks.message_id}
    good |= {"anonymousId": marks.anonymous_id, "context": context, "properties": {"email": marks.other_email}}
    good["properties"] = {"note": marks.property}
    identify = {"type": "identify", "userId": marks.user_id, "traits": {"email": marks.email, "phone": marks.phone}}
    nobody = {"type": "track", "event": "Seen", "properties": {"email": marks.quarantined}}
    unreadable = {"type": "track", "userId": [marks.quarantined], "event": "Seen"}
    batch = {"writeKey": tenant.write_keys["shop"], "batch": [good, identify, nobody, unreadable]}
    answer = requests.post(
        f"{gateway}/v1/batch",
        json=batch,
        headers={"User-Agent": marks.user_agent, "X-Forwarded-For": marks.ipv6},
        timeout=30,
    )
    assert answer.status_code == 200
    assert len(answer.json()["rejected"]) == 2
    wait_for(lambda: tenant.api.get("/v1/quarantinedEvents").get("quarantinedEvents"), "the quarantine", timeout=30)


def _ask_for_consent(platform: Platform, tenant: Tenant, marks: Marks, customer: str) -> None:
    """Asks by mail and confirms, so that the link becomes a value to look for, too."""
    purpose = tenants.create_purpose(tenant.api, "news", double_opt_in=True)
    evidence = {"method": "METHOD_FORM", "origin": marks.origin, "ipAddress": marks.ipv6, "userAgent": marks.user_agent}
    about = {"customer": customer, "purpose": purpose}
    tenant.api.post("/v1/consents:requestOptIn", about | {"email": marks.email, "evidence": evidence})

    def arrived() -> str:
        mails = requests.get(f"{platform.mails}/mails", params={"limit": 10_000}, timeout=30).json()["mails"]
        for mail in mails:
            if mail["to"][0].lower() == marks.email:
                text = requests.get(f"{platform.mails}/mails/{mail['id']}", timeout=30).json()["text"]
                if link := re.search(r"https?://\S+/c/\S+", text):
                    return link.group(0)
        return ""

    link = wait_for(arrived, "the confirmation mail", timeout=60)
    marks.made["link"] = link
    for send in (requests.get, requests.post, requests.put):
        send(link, headers={"User-Agent": marks.user_agent}, timeout=30)
    consents = tenant.api.get("/v1/consents", filter=f'customer = "{customer}"')["consents"]
    assert [consent["state"] for consent in consents] == ["STATE_GRANTED"]


def _break_http(gateway: str, marks: Marks) -> None:
    """What is no HTTP at all, with marks where a server may quote it."""
    chunked = f"POST /v1/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {marks.made['api_key']}\r\n"
    chunked += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests_ = [
        f"GET /c/{marks.wrong_link}?{marks.query} NOHTTP\r\n\r\n",
        f"{marks.path}! /c/{marks.wrong_link} HTTP/1.1\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX-{marks.header}@{marks.broken}: 1\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX-Mark: a\r\n {marks.header}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {marks.header}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {marks.header}\r\n\r\n",
        f"{chunked}{marks.broken}\r\n{{}}\r\n0\r\n\r\n",
        f"{chunked}2;{marks.broken}\r\n{{}}{marks.broken}",
    ]
    at = urlsplit(gateway)
    assert at.hostname is not None
    for request in requests_:
        with socket.create_connection((at.hostname, at.port or 80), timeout=30) as line:
            line.sendall(request.encode())
            line.shutdown(socket.SHUT_WR)
            while line.recv(65536):
                pass


def _make_dead_letter(platform: Platform, tenant: Tenant, marks: Marks, service: str) -> None:
    """A message that the service's worker cannot handle, with a payload full of marks."""
    event = {"ce-id": str(uuid.uuid4()), "ce-type": "rapport.identity.v1.NoSuchEvent", "ce-tenant": tenant.id}
    event |= {"ce-source": "//rapport/identity", "ce-subject": "customers/x", "ce-specversion": "1.0"}
    event |= {"ce-time": "2026-01-01T00:00:00Z", "ce-sequence": "00000000000000000001.0000"}
    _publish(platform, service, event, json.dumps(marks.all()))
    wait_for(
        lambda: event["ce-id"] in dead(platform, "list", "--service", service, "--limit", "10000"),
        f"the dead letter of {service}",
        timeout=60,
    )


def _publish(platform: Platform, queue: str, headers: dict[str, str], body: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(platform.amqp_uri))
    try:
        connection.channel().basic_publish("", queue, body.encode(), pika.BasicProperties(headers=headers))
    finally:
        connection.close()


class _planted:  # noqa: N801 - a context manager, used as one
    """Puts the values where they must never be (log, span, metric, dead letter); takes log and letter back."""

    def __init__(self, platform: Platform, values: dict[str, str]) -> None:
        self.platform, self.values = platform, values
        self.log = platform.state / "logs" / f"{CONTROL}.log"
        self.letter = str(uuid.uuid4())

    def __enter__(self) -> None:
        self.log.write_text("\n".join(self.values.values()))
        headers = {"ce-id": self.letter, "ce-source": CONTROL, "ce-subject": " ".join(self.values.values())}
        _publish(self.platform, "identity.dead", headers, "")
        resource = Resource.create({"service.name": CONTROL})
        traces = TracerProvider(resource=resource)
        traces.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{self.platform.traces}/v1/traces")))
        by_attribute, by_status, *by_event = self.values.values()
        with traces.get_tracer(CONTROL).start_as_current_span("planted", attributes={"planted": by_attribute}) as span:
            span.set_status(Status(StatusCode.ERROR, by_status))
            for value in by_event:
                span.record_exception(ValueError(value))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{self.platform.traces}/v1/metrics"))
        metrics = MeterProvider([reader], resource=resource)
        counter = metrics.get_meter(CONTROL).create_counter("planted")
        for value in self.values.values():
            counter.add(1, {"planted": value})
        metrics.shutdown()
        traces.shutdown()

    def __exit__(self, *_: object) -> None:
        self.log.unlink()
        dead(self.platform, "drop", "--service", "identity", "--id", self.letter, "--yes")


def _wait_for_telemetry(scan: Scan, last_trace: str) -> None:
    """Until the last call's spans and a later export of every service's metrics are there."""
    called = time.time_ns()

    def spans_arrived() -> bool:
        answer = requests.get(f"{scan.platform.traces}/traces/{last_trace}", timeout=30)
        return {"gateway", "identity"} <= {span["service"] for span in answer.json().get("spans", [])}

    def metrics_arrived() -> bool:
        return set(SERVICES) <= {series["service"] for series in scan.metrics() if series["time_ns"] > called}

    wait_for(spans_arrived, "the spans of the last call", timeout=60)
    wait_for(metrics_arrived, "the metrics of all services", timeout=90)


def test_secrets_are_in_no_arguments_and_in_the_environment_of_their_roles_alone(platform: Platform) -> None:
    """Everybody on a machine can read arguments; and what a process does not hold, nobody can get out of it."""
    kept = platform.state / "secrets.json"
    assert kept.stat().st_mode & 0o077 == 0
    arguments, environments = (
        {name: Path(f"/proc/{pid}/{file}").read_text(errors="replace") for name, pid in platform.processes().items()}
        for file in ("cmdline", "environ")
    )
    assert {name for name, line in arguments.items() for secret in _secrets(kept) if secret in line} == set()

    holders: dict[str, set[str]] = {}
    for name, text in environments.items():
        for variable in text.split("\0"):
            holders.setdefault(variable.partition("=")[0], set()).add(name)
    services = {name for name in environments if re.fullmatch(r"[a-z]+-(serve|work|relay|run)", name)}
    assert "identity-work" in services
    # Whoever runs what is due also takes erased people out of the dead letters.
    assert holders["RAPPORT_AMQP_URI"] & services == {name for name in services if not name.endswith("-serve")}
    assert "gateway-serve" not in holders["RAPPORT_MONGODB_URI"]
    assert holders.get("RAPPORT_BOOTSTRAP_KEY", set()) & services == set()
    assert holders.get("RAPPORT_SMTP_PASSWORD", set()) & services <= {"consent-run", "campaigns-run", "ticketing-run"}


def _secrets(kept: Path) -> list[str]:
    """The values in the file, and those within the ones that are JSON."""
    values = [str(value) for value in json.loads(kept.read_text()).values()]
    rings = [json.loads(value)["keys"].values() for value in values if value.startswith("{")]
    return values + [key for ring in rings for key in ring]
