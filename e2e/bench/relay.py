"""How fast one relay process empties an outbox, beside the broker taking the same messages from a bare publisher.

It has a database and a virtual host of its own on the platform's servers, so that no worker handles what it publishes.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pymongo
from rapport.identity.v1 import events_pb2

from chassis import ids
from docstore import outbox
from e2e.bench.figures import say, tell
from e2e.demo.api import Json, wait_for
from e2e.platform import Platform
from eventing import names, topology
from eventing.envelope import Envelope
from eventing.relay.publisher import Outgoing, Publisher
from testkit.servers import Broker

EVENTS, RAW_BURST = 20_000, 1000
DATABASE = "bench_relay"
_OWN_ADDRESS = "127.0.1.250"


def measure(platform: Platform) -> None:
    """Tells relay (events/s), against pipelined confirms of the same messages on the same broker.

    A broker without a management API (the user's own) has no virtual host to offer: then there is no figure.
    """
    if not platform.management_uri:
        say("relay: not measured, the broker has no known management API")
        return
    environment = platform.environment("identity-relay")
    manifest = topology.load(Path(environment["RAPPORT_TOPOLOGY_FILE"]))
    broker = Broker(platform.amqp_uri, platform.management_uri)
    amqp_uri = broker.create_vhost(DATABASE)
    try:
        topology.declare(amqp_uri, manifest)
        environment |= {
            "RAPPORT_MONGODB_URI": platform.mongodb_uri,
            "RAPPORT_DATABASE": DATABASE,
            "RAPPORT_AMQP_URI": amqp_uri,
            "RAPPORT_BIND_HOST": _OWN_ADDRESS,
        }
        with pymongo.MongoClient[Json](platform.mongodb_uri) as client:
            rows = _documents()
            raw = _raw(amqp_uri, [row["outbox"][0] for row in rows])
            tell("relay", _relayed(client, environment, rows), "events/s", raw)
            client.drop_database(DATABASE)
    finally:
        broker.delete_vhost(DATABASE)


def _documents() -> list[Json]:
    """Customers as they are stored, each with one unsent event."""
    now = datetime.now(UTC)
    made = []
    for number in range(EVENTS):
        uid = ids.uuid7()
        state = events_pb2.CustomerState(customer=f"customers/{uid}", display_name=f"Bench {number}")
        event = outbox.pending(events_pb2.CustomerCreated(customer=state), [state.customer])
        entries = outbox.entries([event], subject=state.customer, tenant="bench", version=1, time=now)
        made.append({"_id": f"bench/{uid}", "tenant": "bench", "uid": uid, "version": 1, "outbox": entries})
    return made


def _raw(amqp_uri: str, entries: list[Json]) -> float:
    """Messages/s that the broker confirms to a publisher that does nothing else."""
    messages = []
    for entry in entries:
        envelope = Envelope.from_outbox(entry, "identity")
        messages.append(Outgoing(names.EVENTS_EXCHANGE, envelope.type, envelope.to_properties(), envelope.body))
    publisher = Publisher(amqp_uri, "bench")
    try:
        wait_for(lambda: publisher.connected, "a connection to the broker")
        begin = time.monotonic()
        for start in range(0, len(messages), RAW_BURST):
            burst = publisher.wait(publisher.send(messages[start : start + RAW_BURST]))
            if len(burst.confirmed) < len(burst.messages):
                raise RuntimeError("the broker did not confirm every message")
        return len(messages) / (time.monotonic() - begin)
    finally:
        publisher.close()


def _relayed(client: pymongo.MongoClient[Json], environment: dict[str, str], rows: list[Json]) -> float:
    """Events/s from the first that has left its document to the last."""
    stored = client[DATABASE]["customers"]
    with _process(environment, "migrate") as migration:
        if migration.wait(60):
            raise RuntimeError("the database of the benchmark could not be migrated")
    stored.insert_many(rows)
    say(f"relay: {EVENTS} events")
    readings: list[tuple[float, int]] = []

    def empty() -> bool:
        left = stored.count_documents({"outbox.0": {"$exists": True}})
        readings.append((time.monotonic(), left))
        return not left

    with _process(environment, "relay"):
        wait_for(empty, "an empty outbox")
    (began, most), (ended, _) = next(each for each in readings if each[1] < EVENTS), readings[-1]
    return most / (ended - began)


@contextmanager
def _process(environment: dict[str, str], role: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "identity", role]
    with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)
