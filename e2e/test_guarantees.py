"""What the platform promises while parts of it stand still, end, or have to be rebuilt."""

import json
import os
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psutil
import pymongo
import pytest
from pymongo.database import Database

from e2e import tenants
from e2e.demo.api import wait_for
from e2e.faults import backlog
from e2e.faults.backlog import GRANTED, WITHDRAWN, statement, told
from e2e.faults.load import prepare
from e2e.faults.rounds import kill_under_load
from e2e.platform import Platform
from eventing import dead_letters
from eventing.delivery import PREFETCH
from eventing.envelope import Envelope
from localrun.layout import Layout
from testkit.servers import Broker

# Names of the worker's connections, one for each queue.
WORKERS = ("identity worker", "identity.urgent worker")
NewTenant = Callable[[], tenants.Tenant]
Row = dict[str, Any]


@pytest.fixture
def tenant(new_tenant: NewTenant) -> tenants.Tenant:
    made = new_tenant()
    prepare(made.api)
    return made


@contextmanager
def standing_still(platform: Platform, workload: str) -> Iterator[None]:
    pid = platform.signal(workload, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # the supervisor ends what does not answer for half a minute
            os.kill(pid, signal.SIGCONT)


@contextmanager
def nothing_restarted(platform: Platform) -> Iterator[None]:
    """What ends meanwhile has its successor only after."""
    pid = int(Layout(platform.state).supervisor_pid.read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_others_write_on_while_a_consumer_is_down_and_it_catches_up(platform: Platform, tenant: tenants.Tenant) -> None:
    api, broker = tenant.api, Broker(platform.amqp_uri, platform.management_uri)
    with standing_still(platform, "identity-work"):
        # More than the worker is given at a time.
        customers = list(backlog.consenting(api, PREFETCH + 20))
        for customer in customers:
            api.post("/v1/consents:withdraw", statement(customer))
        for queue, least in (("identity", 15), ("identity.urgent", 15)):
            wait_for(lambda q=queue, n=least: backlog.waiting(platform, q) >= n, f"events wait on {queue}", 30)
        assert not any(told(api, customer) for customer in customers)
        # The broker gives the consumer up, as it does by itself after a minute: what it held is delivered again.
        connections = broker.call("GET", "/api/connections")
        lost = [item["name"] for item in connections if item["client_properties"].get("connection_name") in WORKERS]
        assert len(lost) == len(WORKERS)
        for name in lost:
            broker.call("DELETE", f"/api/connections/{urllib.parse.quote(name)}")
    wait_for(lambda: all(len(told(api, customer)) >= 2 for customer in customers), "everything arrived", 60)
    wait_for(lambda: not backlog.waiting(platform, "identity"), "the queue is empty", 60)
    assert all(told(api, customer) == [GRANTED, WITHDRAWN] for customer in customers)


def test_a_withdrawal_overtakes_what_is_waiting(
    platform: Platform, tenant: tenants.Tenant, new_tenant: NewTenant, record_property: Callable[[str, object], None]
) -> None:
    done = backlog.withdraw_behind(platform, tenant, new_tenant(), 20_000)
    record_property("withdrawal_s", max(done.seconds))
    print(f"withdrawals behind {done.waiting} events: {max(done.seconds):.2f} s at most, {done.left} still waiting")
    assert max(done.seconds) < 5
    assert done.left > done.waiting / 2


@pytest.mark.timeout(200)
def test_a_service_told_to_end_under_load_loses_and_doubles_nothing(platform: Platform, tenant: tenants.Tenant) -> None:
    done = kill_under_load(platform, tenant, "consent-serve", seconds=1.0, number=signal.SIGTERM)
    assert min(done.customers, done.decisions, done.events, done.served) > 0


def test_a_worker_told_to_end_finishes_what_it_has(platform: Platform, tenant: tenants.Tenant) -> None:
    api, number = tenant.api, 2000
    customer = api.post("/v1/customers", {"displayName": "Probe"})["name"]

    def arrived() -> int:
        return int(api.get("/v1/timelineEntries:summarize", event=GRANTED).get("eventCount", 0))

    backlog.publish(platform, "identity", (backlog.granted(tenant.id, customer) for _ in range(number)))
    wait_for(lambda: arrived() > 50, "the worker is at it", 60)
    worker = psutil.Process(platform.processes()["identity-work"])
    with nothing_restarted(platform):
        worker.terminate()
        wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker has ended", 30)
        # Nobody consumes: what is handled, and what waits, is all there is.
        everything = f"{number} are handled or wait again"
        wait_for(lambda: arrived() + backlog.waiting(platform, "identity") == number, everything, 30)
        assert arrived() < number, "it was told to end amid its work"
    wait_for(lambda: arrived() >= number, "all events are in the timeline", 120)
    wait_for(lambda: not backlog.waiting(platform, "identity"), "the queue is empty", 30)
    assert arrived() == number


def _rows(database: Database[Row], collection: str, **query: Any) -> dict[str, Row]:
    # A republished version is another message, stored later; its place among the events of one write says nothing.
    changing = ("create_time", "message_id", "sequence")
    found = database[collection].find(query)
    return {row["_id"]: {key: value for key, value in row.items() if key not in changing} for row in found}


def _republish(platform: Platform, owner: str, to: str) -> None:
    command = [sys.executable, "-m", "eventing.republish", "--service", owner, "--to", to]
    environment = os.environ | platform.environment(f"{owner}-relay")
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("published ")


def test_a_lost_projection_is_rebuilt_by_its_owner(platform: Platform, tenant: tenants.Tenant) -> None:
    """identity's consent entries from consent, those overtaken since too; consent's alias map from identity."""
    api = tenant.api
    customers = list(backlog.consenting(api, 20))
    for name, merged in zip(customers[:5], customers[5:10], strict=True):
        api.post(f"/v1/{name}:merge", {"mergedCustomer": merged})
    undone = api.post(f"/v1/{customers[10]}:merge", {"mergedCustomer": customers[11]})
    api.post(f"/v1/{undone['name']}:undo")
    for _ in range(8):
        api.post("/v1/consents:refuse", statement(api.post("/v1/customers", {"displayName": "Probe"})["name"]))
    for name in customers[12:15]:
        api.post("/v1/consents:withdraw", statement(name))
    mongodb: pymongo.MongoClient[Row] = pymongo.MongoClient(platform.mongodb_uri)
    with mongodb:
        entries = (mongodb["identity"], "timeline", {"tenant": tenant.id, "source": "services/consent"})
        aliases = (mongodb["consent"], "customer_aliases", {"tenant": tenant.id})

        def read(where: tuple[Database[Row], str, Row]) -> dict[str, Row]:
            return _rows(where[0], where[1], **where[2])

        wait_for(lambda: (len(read(entries)), len(read(aliases))) == (31, 6), "the projections are there", 30)
        original = read(entries), read(aliases)
        for database, collection, query in (entries, aliases):
            assert database[collection].delete_many(query).deleted_count
            for guards in ("eventing_handled", "eventing_states"):
                database[guards].delete_many({"tenant": tenant.id})
        _republish(platform, "consent", "identity")
        _republish(platform, "identity", "consent")
        wait_for(lambda: (len(read(entries)), len(read(aliases))) == (31, 6), "the projections are rebuilt", 60)
        assert (read(entries), read(aliases)) == original
        # Once more changes nothing.
        _republish(platform, "consent", "identity")
        wait_for(lambda: not backlog.waiting(platform, "identity"), "the queue is empty", 30)
        assert read(entries) == original[0]


def _dead_tool(platform: Platform, *arguments: str) -> str:
    command = [sys.executable, "-m", "eventing.dead", *arguments, "--service", "identity"]
    environment = os.environ | {"RAPPORT_AMQP_URI": platform.amqp_uri}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_poison_is_set_aside_with_its_reason_and_harms_no_neighbour(platform: Platform, tenant: tenants.Tenant) -> None:
    api = tenant.api
    customer = api.post("/v1/customers", {"displayName": "Probe"})["name"]
    secret = f"ada-{tenant.id}@example.org".encode()

    def poison(**changed: Any) -> Envelope:
        return replace(backlog.granted(tenant.id, customer), **changed)

    def listed() -> dict[str, str]:
        found = dead_letters.letters(platform.amqp_uri, "identity", lambda letter: letter.tenant == tenant.id, 1000)
        return {letter.id: letter.reason for letter in found}

    bad = {
        "UNDECODABLE_BODY": poison(body=b"\x0a\xff" + secret),
        "UNKNOWN_TYPE": poison(type="rapport.identity.v1.NothingHappened", body=secret),
    }
    good = [backlog.granted(tenant.id, customer) for _ in range(40)]
    backlog.publish(platform, "identity", [*good[:20], *bad.values(), *good[20:]])
    wanted = {event.id: reason for reason, event in bad.items()}
    wait_for(lambda: len(told(api, customer)) >= 40, "the neighbours in the timeline", 30)
    wait_for(lambda: listed() == wanted, "both among the dead letters", 30)
    told_by_tool = json.loads(_dead_tool(platform, "list", "--json", "--limit", "1000"))
    assert {letter["id"]: letter["reason"] for letter in told_by_tool if letter["tenant"] == tenant.id} == wanted
    shown = _dead_tool(platform, "list") + "".join(_dead_tool(platform, "show", "--id", name) for name in wanted)
    assert secret.decode() not in shown
    assert str(secret) not in shown
    assert platform.processes()["identity-work"]

    # Sent again, they die again of the same; what can be handled by now is handled, once.
    mended = backlog.granted(tenant.id, customer)
    backlog.publish(platform, "identity.dead", [mended])
    wait_for(lambda: mended.id in listed(), "the mended one among the dead letters", 30)
    for name in (*wanted, mended.id, good[0].id):
        expected = "replayed 0" if name == good[0].id else "replayed 1"
        assert expected in _dead_tool(platform, "replay", "--id", name)
    wait_for(lambda: len(told(api, customer)) >= 41, "the mended one in the timeline", 30)
    wait_for(lambda: listed() == wanted, "both among the dead letters again", 30)
    for name in wanted:
        assert "dropped 1" in _dead_tool(platform, "drop", "--yes", "--id", name)
    assert listed() == {}
    assert len(told(api, customer)) == 41
