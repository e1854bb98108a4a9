"""The relay as a process: nothing lost, order kept, kill -9 at any instant, traces continued."""

import json
import random

import pytest
from opentelemetry.sdk.trace import TracerProvider
from rapport.access.v1 import events_pb2 as access_events
from rapport.identity.v1 import events_pb2
from sample.publishing import TENANT
from sample.store import Thing

import docstore
from chassis.lifecycle import Stopping
from eventing import topology
from eventing.relay import Relay
from eventing.relay.publisher import Publisher
from testkit import eventually

SERVICE = "sample"
pytestmark = pytest.mark.usefixtures("database", "tenant")


@pytest.fixture
def relay(role, settings_for, topology_file):
    return role(settings_for("sample", role="relay", topology_file=topology_file))


@pytest.fixture
def tap(amqp, topology_file):
    """A queue that gets every event published while the test runs; yields a function that takes what came."""
    with topology.connection(amqp, "tap") as broker:
        channel = broker.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "rapport.events", "#")
        taken = []

        def take():
            while (found := channel.basic_get(queue, auto_ack=True))[0] is not None:
                taken.append(found)
            return taken

        yield take


def outbox_left():
    with docstore.platform_scope():
        return docstore.platform_collection("things").count_documents({"outbox.0": {"$exists": True}})


def thing(events=1):
    made = Thing.new(label="x")
    for number in range(events):
        made.emit(events_pb2.EventsTracked(events=[events_pb2.TrackedEvent(order_id=str(number))]), ["customers/1"])
    return made.insert()


def test_events_are_published_with_their_envelope_and_leave_the_document(relay, tap, bus):
    relay.start().wait_ready()
    made = thing(2)
    made.label = "y"
    made.emit(made.state_events()[0])
    made.save()
    eventually(lambda: len(tap()) == 3)
    eventually(lambda: outbox_left() == 0)
    headers = [properties.headers for _, properties, _ in tap()]
    assert [item["ce-sequence"] for item in headers] == [f"{1:012}.0000", f"{1:012}.0001", f"{2:012}.0000"]
    first, properties, body = tap()[0]
    assert first.routing_key == "rapport.identity.v1.EventsTracked"
    assert properties.content_type == "application/protobuf"
    assert properties.delivery_mode == 2
    assert properties.headers["ce-datasubjects"] == "customers/1"
    assert properties.headers["ce-subject"] == made.name
    assert properties.headers["ce-source"] == "//rapport/sample"
    assert events_pb2.EventsTracked.FromString(body).events[0].order_id == "0"
    assert Thing.get(made.uid).version == 2
    with docstore.platform_scope():
        kept = list(docstore.platform_collection("fact_log").find({"subject": made.name}))
    assert sorted(row["uid"] for row in kept) == sorted(p.message_id for _, p, _ in tap()[:2])
    assert relay.stop() == 0


def test_the_trace_of_the_request_goes_on(relay, tap, bus):
    relay.start().wait_ready()
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        thing()
    eventually(lambda: len(tap()) == 1)
    eventually(lambda: outbox_left() == 0)
    version, trace, parent, _ = tap()[0][1].headers["traceparent"].split("-")
    assert version == "00"
    assert int(trace, 16) == span.get_span_context().trace_id
    assert int(parent, 16) != span.get_span_context().span_id  # the relay's publish span stands between


def test_a_pass_looks_where_it_is_told_and_says_what_is_out(amqp, topology_file, bus):
    publisher = Publisher(amqp, "test")
    try:
        eventually(lambda: publisher.connected)
        relay = Relay("sample", publisher, topology.consumed_types(topology.load(topology_file)), Stopping())
        made, other = thing(2), thing()
        made.label = "y"
        made.emit(made.state_events()[0])
        made.save()
        out = {}
        assert not relay.relay_once([], out)
        assert relay.age() == 0
        assert outbox_left() == 2
        assert relay.relay_once(["things"], out)
        assert {key: out["things", f"{TENANT}/{key}"] for key in (made.uid, other.uid)} == {made.uid: 2, other.uid: 1}
        assert relay.age() == 0
        assert outbox_left() == 0
        assert not relay.relay_once(["things"], out)
    finally:
        publisher.close()


def test_a_purged_document_is_gone_once_its_events_are_out(relay, tap, bus):
    made = thing()
    made.emit(events_pb2.EventsTracked())
    made.purge()
    with docstore.platform_scope():
        assert docstore.platform_collection("things").count_documents({"uid": made.uid}) == 1
    relay.start().wait_ready()
    eventually(lambda: [p.headers["ce-subject"] for _, p, _ in tap()] == [made.name] * 2)

    def gone():
        with docstore.platform_scope():
            return docstore.platform_collection("things").count_documents({"uid": made.uid}) == 0

    eventually(gone)


def test_kill_9_at_any_instant_loses_nothing_and_consumers_end_exactly_once(relay, tap, bus, role, settings_for):
    worker = role(settings_for("sample", role="work")).start()
    expected = []
    for killed in range(5):
        relay.start()
        made = [thing(3) for _ in range(60)]
        expected += [(item.name, number) for item in made for number in range(3)]
        eventually(lambda already=killed * 180: len(tap()) > already)
        # Somewhere between the first confirm and the last removal.
        tap_later = len(tap()) + random.randint(0, 120)
        eventually(lambda target=tap_later: len(tap()) >= target or outbox_left() == 0)
        relay.kill()
    relay.start().wait_ready()
    eventually(lambda: outbox_left() == 0)
    published = [
        (p.headers["ce-subject"], int(p.headers["ce-sequence"].split(".")[1]), p.message_id) for _, p, _ in tap()
    ]
    assert {(subject, index) for subject, index, _ in published} == set(expected)
    ids = {id for _, _, id in published}
    assert len(ids) == len(expected)
    orders = {}
    for subject, index, id in published:
        if id not in orders.setdefault(subject, {}):
            orders[subject][id] = index
    assert all(list(order.values()) == [0, 1, 2] for order in orders.values())
    worker.wait_ready()

    def handled():
        found = docstore.collection("seen").find({"uid": {"$in": [f"collect/{id}" for id in ids]}})
        return [row["times"] for row in found] == [1] * len(ids)

    eventually(handled)
    assert worker.stop() == 0
    assert relay.stop() == 0


def test_a_missing_binding_keeps_events_and_holds_up_no_other(relay, bus, amqp, topology_file):
    relay.start().wait_ready()
    with topology.connection(amqp, "test") as broker:
        broker.channel().queue_unbind("sample", "rapport.events", "rapport.identity.v1.CustomerUpdated")
    stuck = Thing.new(label="stuck")
    stuck.emit(stuck.state_events()[0])
    stuck.insert()
    others = [thing() for _ in range(20)]
    eventually(lambda: outbox_left() == 1)
    assert len(others) == 20
    eventually(lambda: "no queue took an event" in relay.log.read_text())
    topology.declare(amqp, topology.load(topology_file))
    eventually(lambda: outbox_left() == 0, timeout=40)


def test_an_event_nobody_subscribes_to_leaves_quietly(relay, bus):
    relay.start().wait_ready()
    made = Thing.new(label="x")
    made.emit(access_events.KeyRevoked())
    made.insert()
    eventually(lambda: outbox_left() == 0)
    assert "no queue took" not in relay.log.read_text()


def test_the_relay_waits_for_the_topology(role, settings_for, rabbitmq, tmp_path):
    manifest = topology.manifest(["sample"])
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(manifest))
    uri = rabbitmq.create_vhost("test-waiting")
    try:
        made = thing()
        relay = role(settings_for("sample", role="relay", topology_file=path, amqp_uri=uri)).start()
        eventually(lambda: "waiting for the topology: missing queue sample" in relay.log.read_text())
        with docstore.platform_scope():
            assert docstore.platform_collection("things").find_one({"uid": made.uid})["outbox"]
        topology.declare(uri, manifest)
        relay.wait_ready()
        eventually(lambda: outbox_left() == 0)
        assert relay.stop() == 0
    finally:
        rabbitmq.delete_vhost("test-waiting")


def test_misconfiguration_is_told(role, settings_for):
    relay = role(settings_for("sample", role="relay", topology_file=None)).start()
    assert relay.process.wait(20) == 78
    assert "RAPPORT_TOPOLOGY_FILE" in relay.log.read_text()


@pytest.mark.parametrize("name", ["relay", "work"])
def test_no_role_starts_on_a_database_that_was_not_migrated(role, settings_for, topology_file, name):
    settings = settings_for("sample", role=name, topology_file=topology_file, database="test_never_migrated")
    process = role(settings).start()
    eventually(lambda: "not ready: The database is at version -1, the code needs 0" in process.log.read_text())
    assert not process._http_ready()
    assert process.stop() == 0
