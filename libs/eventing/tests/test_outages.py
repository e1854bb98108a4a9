"""Servers and processes die: nothing is lost, nothing happens twice. The servers are this module's own."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pymongo
import pytest
from rapport.identity.v1 import events_pb2
from sample.publishing import TENANT, fact
from sample.store import Thing

import docstore
from chassis import clock, tenancy
from eventing import timers
from eventing.delivery import PREFETCH
from localrun.servers import Mongod, RabbitMQ
from testkit import eventually
from testkit.servers import Broker

SERVICE = "sample"
pytestmark = pytest.mark.usefixtures("database", "tenant")


def forget_transactions_soon(mongod):
    """The transaction of a killed process keeps its documents locked until MongoDB gives it up: 20 s as a rule."""
    with pymongo.MongoClient(mongod.uri) as client:
        client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    mongod = Mongod(tmp_path_factory.mktemp("mongod"))
    broker = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    for server in (broker, mongod):
        server.start()
    try:
        for server in (mongod, broker):
            server.wait_ready()
        forget_transactions_soon(mongod)
        yield mongod, broker
    finally:
        for server in (mongod, broker):
            server.kill()
        broker.stop()  # ends its port mapper


@pytest.fixture(scope="module")
def mongodb(servers):
    return servers[0].uri


@pytest.fixture(scope="module")
def rabbitmq(servers):
    return Broker(servers[1].uri, servers[1].management_uri)


def seen(prefix):
    rows = docstore.collection("seen").find({"uid": {"$regex": f"^{prefix}/"}})
    return {row["uid"].removeprefix(f"{prefix}/"): row["times"] for row in rows}


@pytest.fixture(autouse=True)
def forget(database, tenant):
    docstore.collection("seen").delete_many({})


def write_things(count, first=0):
    """Writes aggregates that each publish a fact; returns their names."""
    things = []
    for number in range(first, first + count):
        thing = Thing.new(label=f"thing {number}")
        thing.emit(events_pb2.EventsTracked(), ["customers/1"])
        thing.insert()
        things.append(thing.name)
    return things


def test_six_crashes_in_a_row_lose_nothing(role, bus, settings_for):
    """kill -9 with messages in hand, six times; the bystanders are handled exactly once in the end."""
    bystanders = [fact() for _ in range(40)]
    killer = fact("crash")
    worker = role(settings_for("sample", role="work"))
    bus.publish(*bystanders[:20], killer, *bystanders[20:])
    for _ in range(6):
        worker.start()
        assert worker.process.wait(40) == -signal.SIGKILL
    assert len(seen("collect")) > 20, "bystanders get past it before it is given up"
    with docstore.platform_scope():
        # From now on the event no longer crashes: it counts as handled.
        row = {"_id": f"{TENANT}/{killer.id}/collect", "uid": f"{killer.id}/collect", "tenant": TENANT}
        docstore.platform_collection("eventing_handled").insert_one(row)
    worker.start().wait_ready()
    eventually(lambda: seen("collect") == {item.id: 1 for item in bystanders})
    last = fact()
    bus.publish(last)
    # What was handled just before a crash, and not acknowledged, has come again before it.
    eventually(lambda: last.id in seen("collect"))
    assert worker.stop() == 0
    assert bus.count("sample") <= 1
    assert bus.count("sample.dead") == 0


def test_a_database_outage_kills_no_message(role, bus, settings_for, servers, tmp_path):
    mongod, _ = servers
    worker = role(settings_for("sample", role="work")).start().wait_ready()
    held = tmp_path / "held"
    held.touch()
    envelopes = [fact() for _ in range(21)] + [fact(f"hold:{held}") for _ in range(179)]
    bus.publish(*envelopes[:21])
    eventually(lambda: len(seen("collect")) == 21)
    bus.publish(*envelopes[21:])
    mongod.kill()
    held.unlink()
    eventually(lambda: "holding a message" in worker.log.read_text(), timeout=40)
    eventually(lambda: not worker._http_ready(), message="the worker says that it is not ready")
    assert bus.count("sample.dead") == bus.count("sample.retry.1s") == 0
    assert bus.count("sample") > 50
    mongod.start()
    mongod.wait_ready()
    forget_transactions_soon(mongod)
    eventually(lambda: seen("collect") == {item.id: 1 for item in envelopes}, timeout=40)
    eventually(lambda: bus.count("sample") == 0)
    worker.wait_ready()
    assert worker.stop() == 0
    assert bus.count("sample.dead") == bus.count("sample.retry.1s") == 0


def test_a_database_outage_on_sigterm_gives_the_messages_back(role, bus, settings_for, servers):
    mongod, _ = servers
    worker = role(settings_for("sample", role="work", shutdown_grace_s=1)).start().wait_ready()
    mongod.kill()
    envelopes = [fact() for _ in range(PREFETCH + 5)]
    bus.publish(*envelopes)
    eventually(lambda: bus.count("sample") == 5)
    assert worker.stop() == 0
    eventually(lambda: bus.count("sample") == len(envelopes))
    mongod.start()
    mongod.wait_ready()
    forget_transactions_soon(mongod)
    worker.start().wait_ready()
    eventually(lambda: seen("collect") == {item.id: 1 for item in envelopes})


def test_relay_and_worker_survive_a_killed_broker(role, bus, settings_for, servers, topology_file):
    _, broker = servers
    worker = role(settings_for("sample", role="work")).start().wait_ready()
    relay = role(settings_for("sample", role="relay", topology_file=topology_file)).start().wait_ready()
    ending, names = threading.Event(), []

    def write():
        with tenancy.service_context(TENANT):
            while not ending.is_set():
                names.extend(write_things(10, len(names)))
                ending.wait(0.1)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        eventually(lambda: len(seen("collect")) > 50)
        broker.kill()
        broker.start()
        broker.wait_ready()
        ending.set()
        writing.result()
    eventually(lambda: len(seen("collect")) == len(names), timeout=60)
    assert set(seen("collect").values()) == {1}
    with docstore.platform_scope():
        assert docstore.platform_collection("things").count_documents({"outbox.0": {"$exists": True}}) == 0
        assert docstore.platform_collection("fact_log").count_documents({}) == len(names)
    assert relay.stop() == 0
    assert worker.stop() == 0


def test_a_killed_process_loses_no_timer(role, settings_for):
    count = 60
    for number in range(count):
        timers.schedule(f"t{number}", clock.now(), "slowly", {"seconds": 0.05})
    for number in range(5):
        timers.schedule(f"outside{number}", clock.now(), "outside")
    runs = [role(settings_for("sample", role="run")).start() for _ in range(2)]
    eventually(lambda: len(seen("timer")) > 10)
    runs[0].kill()
    eventually(lambda: len(seen("timer")) == count + 5, timeout=30)
    assert {times for key, times in seen("timer").items() if key.startswith("t")} == {1}
    assert runs[1].stop() == 0
