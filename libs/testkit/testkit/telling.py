"""Events of other services as tests make them: handed to handlers, heard as the worker does, or put on the broker."""

import importlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pika
import pytest
from google.protobuf.message import Message
from pika.adapters.blocking_connection import BlockingChannel
from pydantic import SecretStr

import docstore
from chassis import clock, ids, tenancy
from chassis.settings import Settings
from contracts import descriptors
from eventing import names, topology
from eventing.delivery import Delivery
from eventing.delivery import Message as Delivered
from eventing.envelope import Envelope
from eventing.subscribe import subscriptions
from eventing.verdicts import DONE, Outcome
from localrun.ports import free_port
from testkit.roles import RoleProcess


def enveloped(
    event: Message,
    tenant: str,
    *about: str,
    subject: str = "things/1",
    sequence: int = 1,
    event_id: str = "",
    time: datetime | None = None,
) -> Envelope:
    """An event as the service it belongs to would tell it.

    about: the customers it is about. sequence: the version of the subject. event_id: a new one unless given.
    time: now on the business clock unless given.
    """
    name = event.DESCRIPTOR.full_name
    return Envelope(
        id=event_id or ids.uuid7(),
        type=name,
        source=f"//rapport/{name.split('.')[1]}",
        subject=subject,
        tenant=tenant,
        time=time or clock.now(),
        datasubjects=about,
        sequence=(sequence, 0),
        body=event.SerializeToString(),
    )


def decoded(envelope: Envelope) -> Any:
    """The event's message."""
    return descriptors.message_class(envelope.type).FromString(envelope.body)


def handle(handlers: type, envelope: Envelope) -> None:
    """Gives an event to its handler, in a transaction: nothing is left out as late, repeated or of the erased."""
    (found,) = subscriptions(handlers)[envelope.type]
    with tenancy.service_context(envelope.tenant):
        docstore.in_transaction(lambda: getattr(handlers(), found.method)(decoded(envelope), envelope))


def delivered(delivery: Delivery, envelope: Envelope) -> Outcome:
    """How the worker settles an event: what comes late, again, or about erased people is left out."""
    properties = envelope.to_properties()
    (outcome,) = delivery.process([Delivered(properties.pop("headers"), properties, envelope.body)])
    return outcome


@pytest.fixture
def hear(request: pytest.FixtureRequest) -> Callable[..., Envelope]:
    """The service under test hears an event as its worker does: `hear(event, *about, subject=..., sequence=2)`.

    It is of the fixture `client`'s tenant, see `enveloped`. Returns its envelope; `hear(envelope)` hears it again.
    """
    service = request.module.SERVICE
    delivery = Delivery(service, importlib.import_module(f"{service}.handlers").Handlers)

    def event(told: Message | Envelope, *about: str, **fields: Any) -> Envelope:
        envelope = _envelope_of(told, about, fields, request)
        outcome = delivered(delivery, envelope)
        assert outcome == DONE, outcome
        return envelope

    return event


def _envelope_of(
    told: Message | Envelope, about: tuple[str, ...], fields: dict[str, Any], request: pytest.FixtureRequest
) -> Envelope:
    if isinstance(told, Envelope):
        return told
    tenant = fields.pop("tenant", "") or request.getfixturevalue("client").tenant
    return enveloped(told, tenant, *about, **fields)


@pytest.fixture(scope="module")
def topology_file(amqp: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the queues of the service under test, which are declared."""
    manifest = topology.manifest([request.module.SERVICE])
    topology.declare(amqp, manifest)
    path = tmp_path_factory.mktemp("topology") / "topology.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.fixture
def broker(amqp: str, topology_file: Path) -> Iterator[BlockingChannel]:  # noqa: ARG001 - the queues are there first
    """A channel of the broker; what is published is confirmed."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


@pytest.fixture
def publish(broker: BlockingChannel, request: pytest.FixtureRequest) -> Callable[..., Envelope]:
    """Publishes an event as its owner would: `publish(event, *about, subject=..., sequence=2)`, see `enveloped`.

    It is of the fixture `client`'s tenant unless told otherwise. Returns its envelope; `publish(envelope)` publishes
    it once more.
    """

    def tell(told: Message | Envelope, *about: str, **fields: Any) -> Envelope:
        envelope = _envelope_of(told, about, fields, request)
        properties = pika.BasicProperties(**envelope.to_properties())
        broker.basic_publish(names.EVENTS_EXCHANGE, envelope.type, envelope.body, properties, mandatory=True)
        return envelope

    return tell


@pytest.fixture
def captured(broker: BlockingChannel, request: pytest.FixtureRequest) -> Callable[..., Callable[[], list[Envelope]]]:
    """`told = captured("rapport.sales.v1.#")` gathers what is published from then on under routing keys.

    `told()`: the events of the fixture `client`'s tenant that have come so far, in order.
    """

    def of(*routing_keys: str) -> Callable[[], list[Envelope]]:
        queue = broker.queue_declare("", exclusive=True).method.queue
        assert queue is not None
        for key in routing_keys:
            broker.queue_bind(queue, names.EVENTS_EXCHANGE, key)
        tenant = request.getfixturevalue("client").tenant
        found: list[Envelope] = []

        def so_far() -> list[Envelope]:
            while True:
                method, properties, body = broker.basic_get(queue, auto_ack=True)
                if method is None:
                    return found
                event = Envelope.from_amqp(properties.headers, {"content_type": properties.content_type}, body)
                if event.tenant == tenant:
                    found.append(event)

        return so_far

    return of


@pytest.fixture
def made(
    role: Callable[[Settings], RoleProcess], settings: Settings, amqp: str, topology_file: Path
) -> Callable[..., RoleProcess]:
    """Makes a role of the service under test on this module's database and broker: `made("run").start()`.

    Further arguments are settings of its own.
    """

    def make(name: str, **changes: Any) -> RoleProcess:
        values = {"role": name, "grpc_port": free_port(), "probe_port": free_port(), "topology_file": topology_file}
        return role(settings.model_copy(update=values | {"amqp_uri": SecretStr(amqp)} | changes))

    return make


@pytest.fixture
def started(made: Callable[..., RoleProcess]) -> Callable[..., RoleProcess]:
    """The same, started and ready: `work = started("work")`."""
    return lambda name, **changes: made(name, **changes).start().wait_ready()
