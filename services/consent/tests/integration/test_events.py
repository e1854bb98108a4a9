"""The service's own events on the broker, and the events of identity it follows, through real roles."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import grpc
import pika
import pytest
from rapport.consent.v1 import consent_pb2
from rapport.identity.v1 import events_pb2

from chassis import ids
from contracts import descriptors
from eventing import names, topology
from eventing.envelope import Envelope
from localrun.ports import free_port
from testkit import eventually

SERVICE = "consent"


@pytest.fixture(scope="module")
def topology_file(amqp: str, tmp_path_factory: pytest.TempPathFactory):
    manifest = topology.manifest([SERVICE])
    topology.declare(amqp, manifest)
    path = tmp_path_factory.mktemp("topology") / "topology.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.fixture
def broker(amqp: str, topology_file) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(amqp))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


@pytest.fixture
def tell(broker, client) -> Callable[..., None]:
    """Publishes an event as identity would."""

    def publish(message, subject: str, sequence: int) -> None:
        event = Envelope(
            id=ids.uuid7(),
            type=message.DESCRIPTOR.full_name,
            source="//rapport/identity",
            subject=subject,
            tenant=client.tenant,
            time=datetime.now(UTC),
            sequence=(sequence, 0),
            body=message.SerializeToString(),
        )
        properties = pika.BasicProperties(**event.to_properties())
        broker.basic_publish(names.EVENTS_EXCHANGE, event.type, event.body, properties, mandatory=True)

    return publish


@pytest.fixture
def started(role, settings, amqp, topology_file):
    """Starts a role of the service on this module's database and broker."""

    def start(name: str):
        changes = {"role": name, "grpc_port": free_port(), "probe_port": free_port(), "topology_file": topology_file}
        return role(settings.model_copy(update=changes)).start().wait_ready()

    return start


def test_merges_told_by_identity_decide_and_unmerges_restore(client, started, tell) -> None:
    client.purpose()
    anna, old = client.customer(), client.customer()
    client.grant(anna)
    client.withdraw(old)
    started("work")
    alias = {"customer": old, "canonical_customer": anna}
    tell(events_pb2.CustomerMerged(alias=alias), old, 2)
    eventually(lambda: client.reason(anna) == "WITHDRAWN", message="the merge is known")
    tell(events_pb2.CustomerUnmerged(alias=alias | {"canonical_customer": old}), old, 3)
    eventually(lambda: client.reason(anna) == "+CONSENT_GRANTED", message="the unmerge is known")
    # A repeat of the merge that was overtaken changes nothing; the marker behind it shows that it was handled.
    other = client.customer()
    tell(events_pb2.CustomerMerged(alias=alias), old, 2)
    tell(events_pb2.CustomerMerged(alias={"customer": other, "canonical_customer": old}), other, 1)
    eventually(lambda: client.reason(other) == "WITHDRAWN", message="the marker is known")
    assert client.reason(anna) == "+CONSENT_GRANTED"
    assert client.reason(old) == "WITHDRAWN"


def test_every_change_is_told_in_order_with_its_person(client, public, broker, started) -> None:
    queue = broker.queue_declare("", exclusive=True).method.queue
    broker.queue_bind(queue, names.EVENTS_EXCHANGE, "rapport.consent.v1.#")
    client.purpose()
    person = client.customer()
    pending = client.ask(person)
    public.ConfirmOptIn(token=client.links(pending)[0])
    client.withdraw(person)
    started("relay")
    told: list[Envelope] = []

    def all_told() -> bool:
        method, properties, body = broker.basic_get(queue, auto_ack=True)
        if method:
            values = {"content_type": properties.content_type}
            event = Envelope.from_amqp(properties.headers, values, body)
            if event.tenant == client.tenant:
                told.append(event)
        return len(told) == 3

    eventually(all_told, 30, "three events")
    assert [event.type.rpartition(".")[2] for event in told] == ["ConsentPending", "ConsentGranted", "ConsentWithdrawn"]
    assert [event.sequence for event in told] == [(1, 0), (2, 0), (3, 0)]
    for event in told:
        assert (event.source, event.subject, event.datasubjects) == ("//rapport/consent", pending.name, (person,))
        consent = descriptors.message_class(event.type).FromString(event.body).consent
        assert (consent.customer, consent.purpose) == (person, "purposes/news")
    assert consent.state == consent_pb2.Consent.STATE_WITHDRAWN


def test_a_withdrawal_takes_the_urgent_queues() -> None:
    rule = descriptors.event_rule(descriptors.message_class("rapport.consent.v1.ConsentWithdrawn").DESCRIPTOR)
    assert rule is not None
    assert rule.urgent


def test_the_role_serve_answers_and_ends_in_peace(client, started) -> None:
    process = started("serve")
    with grpc.insecure_channel(f"127.0.0.1:{process.settings.grpc_port}") as channel:
        there = type(client)(channel, client.tenant, client.permissions)
        assert there.purpose() == client.GetPurpose(name="purposes/news")
    assert process.stop() == 0
