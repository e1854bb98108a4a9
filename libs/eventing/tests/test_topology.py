"""Exchanges, queues and bindings on a real broker."""

import json
import os
import subprocess
import sys

import pika
import pytest
from sample.publishing import fact

from chassis.lifecycle import Stopping
from eventing import names, topology


def bindings(rabbitmq, uri, queue):
    vhost = uri.rsplit("/", 1)[1]
    found = rabbitmq.call("GET", f"/api/queues/{vhost}/{queue}/bindings")
    return {item["routing_key"] for item in found if item["source"] == "rapport.events"}


@pytest.fixture
def vhost(rabbitmq):
    yield rabbitmq.create_vhost("test-topology")
    rabbitmq.delete_vhost("test-topology")


def test_the_manifest_is_the_subscriptions():
    manifest = topology.manifest(["sample"])
    assert manifest["services"] == {
        "sample": {
            "normal": [
                "rapport.access.v1.TenantUpdated",
                "rapport.consent.v1.ConsentGranted",
                "rapport.identity.v1.CustomerCreated",
                "rapport.identity.v1.CustomerDeleted",
                "rapport.identity.v1.CustomerUpdated",
                "rapport.identity.v1.EventsTracked",
            ],
            "urgent": ["rapport.consent.v1.ConsentWithdrawn", "rapport.consent.v1.ErasureRequested"],
        }
    }
    assert manifest == topology.manifest(["sample", "sample"])
    assert manifest["version"] != topology.manifest([])["version"]
    assert "rapport.identity.v1.EventsTracked" in topology.consumed_types(manifest)


def test_declaring_twice_changes_nothing_and_old_bindings_go(vhost, rabbitmq):
    manifest = topology.manifest(["sample"])
    assert topology.missing(vhost, names.queues_of("sample"), [names.marker_exchange(manifest["version"])])
    topology.declare(vhost, manifest)
    topology.declare(vhost, manifest)
    assert not topology.missing(vhost, names.queues_of("sample"), [names.marker_exchange(manifest["version"])])
    assert bindings(rabbitmq, vhost, "sample") == set(manifest["services"]["sample"]["normal"])
    less = {
        "version": "less",
        "services": {"sample": {"normal": ["rapport.identity.v1.CustomerUpdated"], "urgent": []}},
    }
    topology.declare(vhost, less)
    assert bindings(rabbitmq, vhost, "sample") == {"rapport.identity.v1.CustomerUpdated"}
    assert bindings(rabbitmq, vhost, "sample.urgent") == set()
    queue = rabbitmq.call("GET", "/api/queues/test-topology/sample")
    assert queue["type"] == "quorum"
    assert queue["arguments"]["x-dead-letter-strategy"] == "at-least-once"


def test_other_arguments_are_told_clearly(vhost):
    with topology.connection(vhost, "test") as broker:
        broker.channel().queue_declare("sample", durable=True, arguments={"x-queue-type": "quorum"})
    with pytest.raises(
        topology.TopologyConflict, match=r"queue sample exists with other arguments.*delete_queue sample"
    ):
        topology.declare(vhost, topology.manifest(["sample"]))
    with topology.connection(vhost, "test") as broker:
        channel = broker.channel()
        channel.exchange_delete("rapport.retry.1s")
        channel.exchange_declare("rapport.retry.1s", "fanout", durable=True)
    with pytest.raises(topology.TopologyConflict, match=r"exchange rapport\.retry\.1s exists with other"):
        topology.declare(vhost, topology.manifest([]))


def test_waiting_says_what_is_missing_and_ends_on_stop(vhost, caplog):
    stopping = Stopping()
    stopping.wait = lambda _seconds: stopping.set()
    manifest = topology.manifest(["sample"])
    assert not topology.wait_declared(vhost, manifest, stopping)
    assert "missing queue sample, queue sample.urgent" in caplog.text
    topology.declare(vhost, manifest)
    assert topology.wait_declared(vhost, manifest, Stopping())


def test_a_message_waits_in_the_retry_queue_and_returns_to_where_it_came_from(vhost):
    topology.declare(vhost, topology.manifest(["sample"]))
    envelope = fact()
    with topology.connection(vhost, "test") as broker:
        channel = broker.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(**envelope.to_properties())
        channel.basic_publish("rapport.retry.1s", "sample.urgent", envelope.body, properties, mandatory=True)
        for method, got, body in channel.consume("sample.urgent", inactivity_timeout=10):
            assert method is not None
            assert (got.message_id, body) == (envelope.id, envelope.body)
            break


def test_the_commands_render_and_declare(vhost, tmp_path):
    command = [sys.executable, "-m", "eventing.topology"]
    rendered = subprocess.run([*command, "render", "--services", "sample"], capture_output=True, text=True, check=True)
    path = tmp_path / "topology.json"
    path.write_text(rendered.stdout)
    assert topology.load(path) == topology.manifest(["sample"])
    env = os.environ | {"RAPPORT_AMQP_URI": vhost, "RAPPORT_TOPOLOGY_FILE": str(path)}
    subprocess.run([*command, "declare"], env=env, check=True, capture_output=True)
    assert not topology.missing(vhost, names.queues_of("sample"))
    path.write_text(json.dumps({"services": 1}))
    failed = subprocess.run([*command, "declare"], env=env, check=False, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "is no topology manifest" in failed.stderr
    misused = subprocess.run(
        [*command, "declare"], env={**env, "RAPPORT_AMQP_URI": ""}, check=False, capture_output=True
    )
    assert misused.returncode == 2
