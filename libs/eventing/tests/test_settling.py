"""Bringing messages that came together to their end: a real broker's messages, in this process."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from kombu import Connection, Queue
from sample.handlers import Handlers
from sample.publishing import fact

import docstore
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from eventing.delivery import Delivery
from eventing.settle import Copies, Settler
from localrun.ports import free_port
from testkit import eventually

SERVICE = "sample"
pytestmark = pytest.mark.usefixtures("database", "tenant")


@pytest.fixture
def stopping():
    made = Stopping()
    yield made
    made.set()


@pytest.fixture
def connect(amqp):
    """Opens a connection and takes so many messages from the queue."""
    with ExitStack() as open_connections:

        def taken(count):
            connection = open_connections.enter_context(Connection(amqp))
            queue = Queue("sample", no_declare=True)(connection.default_channel)
            return connection, [queue.get(no_ack=False) for _ in range(count)]

        yield taken


@pytest.fixture
def settler(amqp, settings_for, stopping):
    copies = Copies(amqp)
    with Probe(settings_for("sample", role="work")) as probe:
        yield Settler(Delivery("sample", Handlers), copies, stopping, probe)
    copies.close()


def collected(envelopes):
    rows = docstore.collection("seen")
    return [(rows.find_one({"uid": f"collect/{item.id}"}) or {"times": 0})["times"] for item in envelopes]


def test_messages_of_a_lost_connection_take_none_of_the_next_one_along(bus, connect, settler):
    stale, fresh = [fact() for _ in range(2)], [fact() for _ in range(3)]
    bus.publish(*stale)
    lost, waiting = connect(2)
    lost.close()
    eventually(lambda: bus.count("sample") == 2)
    bus.purge()  # somebody else has got them
    bus.publish(*fresh)
    _, others = connect(3)
    settler.handle([*waiting, *others], "sample")
    assert collected(fresh) == [1, 1, 1]
    assert all(message.acknowledged for message in others)
    assert collected(stale) == [0, 0]


def test_one_that_must_be_held_holds_up_none_of_those_it_came_with(bus, connect, settler, tmp_path):
    away = tmp_path / "away"
    away.touch()
    envelopes = [fact(), fact(f"away:{away}"), fact()]
    bus.publish(*envelopes)
    _, messages = connect(3)
    with ThreadPoolExecutor(1) as pool:
        handling = pool.submit(settler.handle, messages, "sample")
        try:
            eventually(lambda: [message.acknowledged for message in messages] == [True, False, True])
            assert collected(envelopes) == [1, 0, 1]
        finally:
            away.unlink()
        handling.result(20)
    assert messages[1].acknowledged
    assert collected(envelopes) == [1, 1, 1]


def test_a_copy_that_cannot_be_made_keeps_no_neighbour_from_being_acknowledged(bus, connect, settings_for, stopping):
    bus.publish(fact("fail"), fact())
    _, messages = connect(2)
    nowhere = Copies(f"amqp://127.0.0.1:{free_port()}/")
    with Probe(settings_for("sample", role="work")) as probe, ThreadPoolExecutor(1) as pool:
        settler = Settler(Delivery("sample", Handlers), nowhere, stopping, probe)
        handling = pool.submit(settler.handle, messages, "sample")
        try:
            eventually(lambda: messages[1].acknowledged)
        finally:
            stopping.set()
        handling.result(20)
    assert not messages[0].acknowledged


def test_whoever_stops_begins_none_of_those_that_are_left(bus, connect, settler, stopping, tmp_path):
    held = tmp_path / "held"
    held.touch()
    envelopes = [fact("fail"), fact(f"hold:{held}"), fact()]
    bus.publish(*envelopes)
    _, messages = connect(3)
    with ThreadPoolExecutor(1) as pool:
        handling = pool.submit(settler.handle, messages, "sample")
        try:
            eventually(Path(f"{held}.begun").exists)
            stopping.set()
        finally:
            held.unlink()
        handling.result(20)
    assert collected(envelopes) == [0, 1, 0]
    assert [message.acknowledged for message in messages] == [False, True, False]
