"""Exchanges, queues and bindings: derived from the subscriptions, declared by one step before any relay starts.

    python -m eventing.topology render --services identity,consent > topology.json
    RAPPORT_TOPOLOGY_FILE=topology.json RAPPORT_AMQP_URI=amqp://... python -m eventing.topology declare

Per consuming service: `<s>` and `<s>.urgent` (dead-lettered to `<s>.dead` after 50 deliveries that nobody settled),
`<s>.retry.1s|10s|60s` (messages return to the queue their routing key names) and `<s>.dead`. All are quorum queues.
The last thing declared is the exchange `rapport.topology.<version>`, which relays wait for.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, Protocol

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from contracts import descriptors
from eventing import names
from eventing.subscribe import handlers_of, subscriptions

log = logging.getLogger(__name__)

# pika tells every failed attempt several times, with tracebacks; what matters of it is told here and in the relay.
logging.getLogger("pika").setLevel(logging.CRITICAL)

Manifest = dict[str, Any]

# An unsettled delivery comes from a crash; a healthy message must survive the crashes its neighbours cause.
_DELIVERY_LIMIT = 50
# RabbitMQ 4 would drop a dead letter after 20 listings.
_NO_DELIVERY_LIMIT = 1_000_000


class TopologyConflict(Exception):  # noqa: N818
    """Something on the broker exists with other arguments, which AMQP cannot change on a live queue or exchange."""


class Stop(Protocol):
    """What waiting needs of `chassis.lifecycle.Stopping`."""

    def is_set(self) -> bool:
        """True once the process has been asked to stop."""

    def wait(self, timeout: float) -> bool:
        """Waits that many seconds; True when the process has been asked to stop."""


def manifest(services: Iterable[str]) -> Manifest:
    """What the services consume: `{"version": str, "services": {service: {"normal": [type], "urgent": [type]}}}`.

    Services without subscriptions are left out. The version is a hash of the rest: equal subscriptions have equal
    versions, whatever the order in which they were found.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for service in sorted(set(services)):
        handlers = handlers_of(service)
        items = subscriptions(handlers) if handlers else {}
        if items:
            urgent = {name for name, handled in items.items() if handled[0].urgent}
            found[service] = {"normal": sorted(set(items) - urgent), "urgent": sorted(urgent)}
    canonical = json.dumps(found, sort_keys=True, separators=(",", ":"))
    return {"version": hashlib.sha256(canonical.encode()).hexdigest()[:16], "services": found}


def load(path: Path) -> Manifest:
    """Reads a manifest file. Raises ValueError, naming the file, when it is none."""
    try:
        read = json.loads(path.read_text())
        for bindings in read["services"].values():
            list(bindings["normal"]), list(bindings["urgent"])
        str(read["version"])
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no topology manifest; make one with `python -m eventing.topology render`"
        ) from error
    else:
        return dict(read)


def consumed_types(of: Manifest) -> frozenset[str]:
    """Every event type that some service of the manifest consumes."""
    return frozenset(name for bindings in of["services"].values() for kind in bindings.values() for name in kind)


@contextmanager
def connection(amqp_uri: str, name: str) -> Iterator[BlockingConnection]:
    """A short-lived connection to the broker, shown there under `name`."""
    parameters = pika.URLParameters(amqp_uri)
    parameters.client_properties = {"connection_name": name}
    parameters.socket_timeout = parameters.stack_timeout = 10
    parameters.blocked_connection_timeout = 60
    opened = BlockingConnection(parameters)
    try:
        yield opened
    finally:
        with suppress(pika.exceptions.AMQPError):
            opened.close()


def declare(amqp_uri: str, of: Manifest) -> None:
    """Declares everything; repeating it changes nothing. Bindings the manifest no longer holds are removed.

    Raises TopologyConflict when a queue or exchange exists with other arguments, pika's AMQPError when the broker
    cannot be reached.
    """
    with connection(amqp_uri, "topology") as broker:
        channel = broker.channel()
        _exchange(channel, names.EVENTS_EXCHANGE, "topic")
        for delay in names.RETRY_DELAYS_MS:
            _exchange(channel, names.retry_exchange(delay), "direct")
        for service, bindings in of["services"].items():
            _declare_service(channel, service)
            for event_type in bindings["normal"]:
                channel.queue_bind(names.queue(service), names.EVENTS_EXCHANGE, event_type)
            for event_type in bindings["urgent"]:
                channel.queue_bind(names.queue(service, urgent=True), names.EVENTS_EXCHANGE, event_type)
        _unbind_others(channel, of)
        _exchange(channel, names.marker_exchange(of["version"]), "fanout")


def missing(amqp_uri: str, queues: Iterable[str], exchanges: Iterable[str] = ()) -> list[str]:
    """Those of the queues and exchanges that do not exist. Raises pika's AMQPError without a broker."""
    absent = []
    with connection(amqp_uri, "topology check") as broker:
        channel = broker.channel()
        for kind, name in [("queue", name) for name in queues] + [("exchange", name) for name in exchanges]:
            try:
                if kind == "queue":
                    channel.queue_declare(name, passive=True)
                else:
                    channel.exchange_declare(name, passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code != 404:
                    raise
                absent.append(f"{kind} {name}")
                channel = broker.channel()
    return absent


def wait_declared(amqp_uri: str, of: Manifest, stopping: Stop) -> bool:
    """Returns True once every queue of the manifest and its marker exist, False when asked to stop before."""
    queues = [name for service in of["services"] for name in names.queues_of(service)]
    return wait_for(amqp_uri, queues, [names.EVENTS_EXCHANGE, names.marker_exchange(of["version"])], stopping)


def wait_for(amqp_uri: str, queues: Iterable[str], exchanges: Iterable[str], stopping: Stop) -> bool:
    """Waits until all exist, saying every 5 s what is missing. False when asked to stop before."""
    told = 0.0
    while not stopping.is_set():
        try:
            absent = missing(amqp_uri, queues, exchanges)
        except (pika.exceptions.AMQPError, OSError) as error:
            absent = [f"the broker ({type(error).__name__})"]
        if not absent:
            return True
        if time.monotonic() - told >= 5:
            told = time.monotonic()
            shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
            log.warning("waiting for the topology: missing %s", shown)
        stopping.wait(0.5)
    return False


def _declare_service(channel: BlockingChannel, service: str) -> None:
    quorum = {"x-queue-type": "quorum"}
    # At-least-once dead-lettering is available only with this overflow; there is no length limit to overflow.
    safe = quorum | {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    dead = names.dead_queue(service)
    _queue(channel, dead, quorum | {"x-delivery-limit": _NO_DELIVERY_LIMIT})
    for urgent in (False, True):
        arguments = {
            "x-delivery-limit": _DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
        }
        _queue(channel, names.queue(service, urgent=urgent), safe | arguments)
    for delay, milliseconds in names.RETRY_DELAYS_MS.items():
        waiting = names.retry_queue(service, delay)
        _queue(channel, waiting, safe | {"x-message-ttl": milliseconds, "x-dead-letter-exchange": ""})
        for urgent in (False, True):
            channel.queue_bind(waiting, names.retry_exchange(delay), names.queue(service, urgent=urgent))


def _unbind_others(channel: BlockingChannel, of: Manifest) -> None:
    """Removes what earlier manifests may have bound: AMQP cannot list bindings, but every event type is known."""
    known = {descriptor.full_name for descriptor in descriptors.events()}
    for service in sorted(_owners() | set(of["services"])):
        bindings = of["services"].get(service, {"normal": [], "urgent": []})
        for kind, target in (("normal", names.queue(service)), ("urgent", names.queue(service, urgent=True))):
            for event_type in sorted(known - set(bindings[kind])):
                channel.queue_unbind(target, names.EVENTS_EXCHANGE, event_type)


def _owners() -> set[str]:
    """Every service of the contracts."""
    return {service.full_name.split(".")[1] for service in descriptors.services()}


def _queue(channel: BlockingChannel, name: str, arguments: dict[str, Any]) -> None:
    try:
        channel.queue_declare(name, durable=True, arguments=arguments)
    except pika.exceptions.ChannelClosedByBroker as error:
        _raise_conflict("queue", name, error)


def _exchange(channel: BlockingChannel, name: str, kind: str) -> None:
    try:
        channel.exchange_declare(name, exchange_type=kind, durable=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        _raise_conflict("exchange", name, error)


def _raise_conflict(kind: str, name: str, error: pika.exceptions.ChannelClosedByBroker) -> NoReturn:
    if error.reply_code != 406:
        raise error
    mend = f"Drain and delete it (rabbitmqctl delete_queue {name})" if kind == "queue" else "Delete it"
    raise TopologyConflict(
        f"the {kind} {name} exists with other arguments, which cannot be changed while it exists. The broker says: "
        f"{error.reply_text}. {mend}, then declare again."
    ) from error


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m eventing.topology", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    render = commands.add_parser("render", help="print the manifest of the services' subscriptions")
    render.add_argument("--services", help="names, separated by commas; all services installed if left out")
    step = commands.add_parser("declare", help="declare a manifest on the broker (RAPPORT_AMQP_URI)")
    step.add_argument("--file", type=Path, default=os.environ.get("RAPPORT_TOPOLOGY_FILE"), help="the manifest")
    step.add_argument("--wait", type=float, default=60, metavar="SECONDS", help="how long to wait for the broker")
    given = parser.parse_args(arguments)
    if given.command == "render":
        services = given.services.split(",") if given.services else filter(find_spec, _owners())
        print(json.dumps(manifest(services), indent=2))  # noqa: T201 - the output of the command
        return 0
    amqp_uri = os.environ.get("RAPPORT_AMQP_URI")
    if not amqp_uri or not given.file:
        parser.error("RAPPORT_AMQP_URI and RAPPORT_TOPOLOGY_FILE (or --file) must be set")
    deadline = time.monotonic() + given.wait
    while True:
        try:
            of = load(Path(given.file))
            declare(amqp_uri, of)
        except (ValueError, OSError, TopologyConflict) as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        except pika.exceptions.AMQPError as error:
            if time.monotonic() > deadline:
                print(f"the broker does not answer: {type(error).__name__}", file=sys.stderr)  # noqa: T201
                return 1
            time.sleep(1)
        else:
            print(f"declared topology {of['version']}", file=sys.stderr)  # noqa: T201
            return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
