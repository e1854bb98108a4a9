"""The gateway as a process: real HTTP, the unmodified Segment client, a stop under load."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest
import requests
from rapport.access.v1 import tenant_pb2
from rapport.identity.v1 import identity_service_pb2 as identity_pb2
from segment.analytics.client import Client

from localrun.ports import free_port
from testkit import eventually
from testkit.roles import environment_of

ALL, WRITE = "rk.acme.all", "rk.acme.write"
AUTH = {"Authorization": f"Bearer {ALL}"}


class Process:
    def __init__(self, settings, log):
        self.url = f"http://127.0.0.1:{settings.http_port}"
        self.log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve"],
                env=inherited | environment_of(settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        eventually(self._ready, 30, f"the gateway is ready; its log: {log}")

    def _ready(self):
        if self.popen.poll() is not None:
            raise RuntimeError(self.log.read_text())
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def start(scripted_session, settings, tmp_path_factory):
    """Starts gateways; what still runs at the end is stopped."""
    started = []

    def make(**overrides):
        changes = {"upstreams": scripted_session.targets, "http_port": free_port(), "drain_s": 0.2} | overrides
        log = tmp_path_factory.mktemp("gateway") / "log"
        started.append(Process(settings.model_copy(update=changes), log))
        return started[-1]

    yield make
    for process in started:
        process.popen.terminate()
    for process in started:
        process.popen.wait(30)


@pytest.fixture(scope="module")
def process(start):
    return start()


def test_serves_http_and_logs_json(process, services):
    services.answers["GetTenant"] = lambda request: tenant_pb2.Tenant(name=request.name, etag='"1"')
    answer = requests.get(f"{process.url}/v1/tenants/a%2Db?", headers=AUTH, timeout=5)
    assert (answer.status_code, answer.json()["name"]) == (200, "tenants/a-b")

    def chunks():
        yield b'{"displayName"'
        yield b': "Ada"}'

    created = requests.post(
        f"{process.url}/v1/customers", data=chunks(), headers={**AUTH, "Content-Type": "application/json"}, timeout=5
    )
    assert created.status_code == 200
    assert services.requests("CreateCustomer")[0].customer.display_name == "Ada"

    def flood():
        for _ in range(200):
            yield b"x" * 65536

    # The gateway may close before a client that does not listen has sent all of it.
    with contextlib.suppress(requests.ConnectionError):
        too_large = requests.post(
            f"{process.url}/v1/customers", data=flood(), headers={**AUTH, "Content-Type": "application/json"}, timeout=5
        )
        assert too_large.status_code == 413
    assert len(services.requests("CreateCustomer")) == 1
    assert requests.get(f"{process.url}/healthz", timeout=5).status_code == 200
    logged = [line for line in process.lines() if line["logger"] == "gateway.access"]
    assert logged[0]["http_route"] == "/v1/{name=tenants/*}"
    assert logged[0]["trace_id"] == answer.headers["X-Trace-Id"]
    assert ALL not in process.log.read_text()


def test_who_is_refused_unread_is_told_that_the_connection_ends(process):
    """Else the client would send its next request on a connection that is gone."""
    url, session = f"{process.url}/v1/customers", requests.Session()
    for body in (b"x" * 2_000_000, b"x" * 100_000):
        answer = session.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=5)
        assert (answer.status_code, answer.headers["Connection"]) == (401, "close")
    big = {**AUTH, "Content-Type": "application/json"}
    answer = session.post(url, data=b"x" * 2_000_000, headers=big, timeout=5)
    assert (answer.status_code, answer.headers["Connection"]) == (413, "close")
    for body, headers in ((b"{", {}), (b"x" * 100_000, big)):
        kept = session.post(url, data=body, headers={"Content-Type": "application/json", **headers}, timeout=5)
        assert kept.headers["Connection"] == "keep-alive"


@pytest.mark.parametrize(
    ("upstreams", "problem"),
    [
        ({"identity": "127.0.0.1:1"}, "names no address of access, which checks every credential"),
        ({"access": "127.0.0.1:1", "identiti": "127.0.0.1:1"}, "names identiti; known are access, "),
    ],
)
def test_refuses_to_start_without_access_or_with_an_unknown_service(settings, tmp_path, upstreams, problem):
    told = {"upstreams": upstreams, "http_port": free_port()}
    env = {**os.environ, **environment_of(settings.model_copy(update=told))}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve"], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 78
    assert f"RAPPORT_UPSTREAMS: {problem}" in done.stderr


@pytest.mark.parametrize("packed", [False, True])
def test_the_unmodified_segment_client_delivers(process, services, packed):
    services.answers["IngestEvents"] = lambda _: identity_pb2.IngestEventsResponse()
    failures = []
    client = Client(
        WRITE, host=process.url, gzip=packed, on_error=lambda *failure: failures.append(failure), max_retries=1
    )
    client.identify("u-1", {"email": "ada@example.com"})
    client.track("u-1", "Order Completed", {"revenue": 29.9, "currency": "EUR"})
    client.page(anonymous_id="a-1", category="shop", name="Home")
    client.screen("u-1", name="Basket")
    client.group("u-1", "acme", {"plan": "gold"})
    client.alias("a-1", "u-1")
    client.flush()
    client.join()
    assert failures == []
    events = [event for request in services.requests("IngestEvents") for event in request.events]
    assert [event.Kind.Name(event.kind).removeprefix("KIND_") for event in events] == [
        *("IDENTIFY", "TRACK", "PAGE", "SCREEN", "GROUP", "ALIAS")
    ]
    assert {request.source for request in services.requests("IngestEvents")} == {"shop"}
    assert events[1].properties["revenue"] == 29.9
    assert events[2].properties["category"] == "shop"
    assert events[5].previous_id == "a-1"
    assert all(event.message_id and event.context["library"]["name"] == "analytics-python" for event in events)
    assert abs(events[0].event_time.seconds - time.time()) < 60


def test_the_segment_client_is_told_of_a_wrong_key(process, services):
    failures = []
    client = Client("rk.acme.wrong", host=process.url, on_error=lambda error, _: failures.append(error), max_retries=0)
    client.track("u-1", "A")
    client.flush()
    client.join()
    assert [failure.status for failure in failures] == [401]


def test_a_stop_under_load_loses_no_call(start, services):
    process = start(rate_per_s=100_000, rate_burst=100_000)
    answered, lost, told_to_leave = [], [], []

    def slowly(request):
        time.sleep(0.05)
        return tenant_pb2.Tenant(name=request.name)

    services.answers["GetTenant"] = slowly

    def call(number):
        """As a client behind a balancer: leaves when told to close, or when nobody listens any more."""
        with requests.Session() as session:
            session.headers.update(AUTH)
            for turn in range(10_000):
                name = f"tenants/t{number}-{turn}"
                try:
                    answer = session.get(f"{process.url}/v1/{name}", timeout=10)
                except (requests.RequestException, ValueError) as error:
                    lost.append(f"{name}: {error!r}")
                    return
                if answer.status_code != 200 or answer.json()["name"] != name:
                    lost.append(f"{name}: {answer.status_code}")
                answered.append(name)
                if answer.headers.get("Connection") == "close":
                    told_to_leave.append(number)
                    return

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(answered) > 100, 20, "the load is running")
    process.popen.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    assert process.popen.wait(20) == 0
    assert lost == []
    assert sorted(told_to_leave) == list(range(8))
    assert len(answered) == len(services.requests("GetTenant"))


def test_a_running_call_is_answered_though_the_listener_is_gone(start, services):
    process = start(drain_s=0.1)
    arrived, released = threading.Event(), threading.Event()

    def wait(request):
        arrived.set()
        released.wait(10)
        return tenant_pb2.Tenant(name=request.name)

    services.answers["GetTenant"] = wait
    answers = []
    caller = threading.Thread(
        target=lambda: answers.append(requests.get(f"{process.url}/v1/tenants/acme", headers=AUTH, timeout=20))
    )
    caller.start()
    assert arrived.wait(10)
    process.popen.send_signal(signal.SIGTERM)
    where = urlsplit(process.url)

    def refused():
        with socket.socket() as probe:
            return probe.connect_ex((where.hostname, where.port)) != 0

    eventually(refused, 10, "the gateway accepts nothing more")
    released.set()
    caller.join(20)
    assert answers[0].json()["name"] == "tenants/acme"
    assert process.popen.wait(20) == 0


def test_long_urls_and_headers_are_refused(process):
    assert requests.get(f"{process.url}/v1/tenants?filter={'x' * 7000}", headers=AUTH, timeout=5).status_code == 400
    assert requests.get(f"{process.url}/v1/tenants?filter={'x' * 9000}", headers=AUTH, timeout=5).status_code == 414
    assert requests.get(f"{process.url}/v1/tenants", headers={"X-Long": "x" * 9000}, timeout=5).status_code == 431


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        f"POST /v1/customers HTTP/1.1\r\nHost: x\r\nX-Api-Key: {ALL}\r\nContent-Length: 9\r\n"
        "Content-Type: application/json\r\n\r\n{".encode(),
    ],
    ids=["head", "body"],
)
def test_clients_that_stop_in_the_middle_of_a_request_keep_no_thread(start, begun):
    process = start(http_threads=2, http_head_s=0.5, http_request_s=1.5)
    where = urlsplit(process.url)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection((where.hostname, where.port))).sendall(begun)

        def answered():
            with contextlib.suppress(requests.Timeout):
                return requests.get(f"{process.url}/healthz", timeout=1).status_code == 200

        eventually(answered, 20, "another client is served")


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /c/zqsecret?zqsecret NOHTTP\r\n\r\n",
        "zqsecret! /c/zqsecret HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX-zqsecret@: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zqsecret\r\n\r\n",
        f"POST /v1/customers?zqsecret HTTP/1.1\r\nHost: x\r\nX-Api-Key: {ALL}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\nzqsecret\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused_and_nothing_of_them_or_of_their_sender_is_logged(process, request_text):
    where = urlsplit(process.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as line:
        line.sendall(request_text.encode())
        status = line.makefile("rb").readline().split()[1]
    assert status in (b"400", b"501")
    logged = process.log.read_text()
    assert "zqsecret" not in logged
    assert where.hostname not in logged
