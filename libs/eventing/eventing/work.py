"""Role `work`: the nameko shell around `delivery`. The only module that imports nameko.

Two nameko containers share the process, one per queue (`<s>` and `<s>.urgent`), each with its own connection,
prefetch and pool of green threads, so that an opt-out never waits behind an import. nameko's own consumer
acknowledges what a handler failed at and what it cannot decode, and closes the connection before the last
acknowledgement on SIGTERM; `_QueueConsumer` and `_Deliver` stop all three.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kombu.connection import Connection
from kombu.entity import Queue
from nameko.containers import ServiceContainer
from nameko.exceptions import ContainerBeingKilled
from nameko.messaging import Consumer, QueueConsumer

import docstore
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from chassis.settings import ConfigurationError, Settings
from eventing import names, topology
from eventing.delivery import BATCHES, PREFETCH, TOGETHER, TOGETHER_BYTES, Delivery
from eventing.readiness import wait_migrated
from eventing.settle import Copies, Settler
from eventing.subscribe import handlers_of

log = logging.getLogger(__name__)

_BROKER_PATIENCE_S = 120.0
_HEARTBEAT_S = 20
_REDELIVERED_WITHIN_S = 0.5


class BrokerGone(Exception):  # noqa: N818
    """The broker has not answered for so long that a fresh process should try."""


def run(settings: Settings, stopping: Stopping) -> None:
    """Consumes the service's queues until SIGTERM, then finishes what runs and leaves the rest to the broker.

    Raises ConfigurationError without a broker address or handlers, BrokerGone after two minutes without a broker.
    """
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set")
    handlers = handlers_of(settings.service)
    if handlers is None:
        raise ConfigurationError("RAPPORT_SERVICE", f"{settings.service} has no module handlers: it needs no worker")
    amqp_uri = settings.amqp_uri.get_secret_value()
    docstore.connect(settings)
    with Probe(settings) as probe:
        migrated = wait_migrated(settings.service, stopping)
        if migrated and topology.wait_for(amqp_uri, names.queues_of(settings.service), (), stopping):
            _consume(settings, amqp_uri, Delivery(settings.service, handlers), stopping, probe)
    docstore.disconnect()


def _consume(settings: Settings, amqp_uri: str, delivery: Delivery, stopping: Stopping, probe: Probe) -> None:
    copies = Copies(amqp_uri)
    settler = Settler(delivery, copies, stopping, probe)
    queues = [names.queue(settings.service, urgent=urgent) for urgent in (True, False)]
    containers = [_container(settler, queue, amqp_uri) for queue in queues]
    for container in containers:
        container.start()
    log.info("consuming")
    probe.ready()
    try:
        while not stopping.wait(1.0):
            for container in containers:
                _check(container)
    finally:
        probe.ready(False)
        _stop(containers, settings.shutdown_grace_s)
        copies.close()


class _QueueConsumer(QueueConsumer):
    """Hands on raw messages, and keeps its connection until the last of them is settled."""

    def __init__(self) -> None:
        super().__init__()
        self.in_flight = 0
        self.lost_since: float | None = None
        self._ending = False
        self._pending_remove_providers: dict[Any, Any] = {}

    @property
    def connection(self) -> Connection:
        """How to connect; kombu clones it for each attempt."""
        name = f"{self.container.service_name} worker"
        options = {"client_properties": {"connection_name": name}}
        return Connection(  # type: ignore[no-untyped-call]
            self.amqp_uri, heartbeat=_HEARTBEAT_S, connect_timeout=5, transport_options=options
        )

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """A connection, however long it takes."""
        self.lost_since = self.lost_since or time.monotonic()
        with self.create_connection() as connection:
            connection.ensure_connection(
                self.on_connection_error, None, interval_start=0.5, interval_step=0.5, interval_max=3.0
            )
            self.lost_since = None
            yield connection

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        """Says that the broker is away; ends the attempts on SIGTERM."""
        log.warning("the broker does not answer (%s), trying again in %.1f s", type(exc).__name__, interval)
        if self._ending:
            self.should_stop = True
            raise exc

    def get_consumers(self, consumer_cls: Any, channel: Any) -> Any:  # noqa: ARG002 - nameko's signature
        """One consumer without decoding: a body kombu cannot decode it would acknowledge and drop."""
        self._consumers.clear()
        for provider in self._providers:
            consumer = consumer_cls(
                queues=[provider.queue], on_message=partial(self._deliver, provider), auto_declare=False
            )
            consumer.qos(prefetch_count=PREFETCH)
            self._consumers[provider] = consumer
        return self._consumers.values()

    def on_iteration(self) -> None:
        """Ends the loop, which closes the connection, only after the last message is settled."""
        self._cancel_consumers_if_requested()
        if not self._consumers and self.in_flight <= 0:
            self.should_stop = True

    def unregister_provider(self, provider: Any) -> None:
        """Stops deliveries to the entrypoint."""
        self._ending = True
        super().unregister_provider(provider)

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Consumes until told to stop; then nobody may wait for it any more, even if the broker was away."""
        try:
            super().run(*args, **kwargs)
        finally:
            for removed in self._pending_remove_providers.values():
                removed.send()
            self._pending_remove_providers = {}

    def _deliver(self, provider: Any, message: Any) -> None:
        self.in_flight += 1
        # Its own green thread: a full pool must not keep the connection from its heartbeats.
        self.container.spawn_managed_thread(partial(provider.accept, message), identifier="deliver")


class _Deliver(Consumer):
    """Runs the service method with the raw messages. The method settles them, so there is no result to handle."""

    queue_consumer = _QueueConsumer()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: deque[Any] = deque()
        self._free = threading.Semaphore(BATCHES)

    def accept(self, message: Any) -> None:
        """Handles a message with those that wait by the time a batch may begin.

        A redelivered one may be one that crashes the process, each time: it comes after a random part of a second, for
        its neighbours to get past it sooner or later.
        """
        if _redelivered(message):
            time.sleep(random.uniform(0, _REDELIVERED_WITHIN_S))
        self.waiting.append(message)
        self._handle_waiting()

    def _handle_waiting(self) -> None:
        """Once a batch may begin, runs the method with what waits by then, which may be nothing any more."""
        with self._free:
            while batch := self._batch():
                ended = threading.Event()
                try:
                    self.container.spawn_worker(
                        self, (batch,), {}, handle_result=partial(self._handled, len(batch), ended)
                    )
                except ContainerBeingKilled:
                    self.queue_consumer.in_flight -= len(batch)
                    return
                ended.wait()

    def _batch(self) -> list[Any]:
        """The next messages to handle together: a redelivered one, which may crash the process, by itself."""
        batch: list[Any] = []
        size = 0
        while self.waiting and len(batch) < TOGETHER and size < TOGETHER_BYTES:
            if batch and _redelivered(self.waiting[0]):
                break
            batch.append(self.waiting.popleft())
            size += len(batch[-1].body or b"")
            if _redelivered(batch[-1]):
                break
        return batch

    def _handled(self, count: int, ended: threading.Event, _worker: Any, result: Any, error: Any) -> tuple[Any, Any]:
        self.queue_consumer.in_flight -= count
        ended.set()
        return result, error


def _redelivered(message: Any) -> bool:
    return bool(message.delivery_info.get("redelivered"))


def _container(settler: Settler, queue: str, amqp_uri: str) -> ServiceContainer:
    class Deliveries:
        name = queue

        @_Deliver.decorator(Queue(queue, no_declare=True))  # type: ignore[no-untyped-call]
        def deliver(self, messages: list[Any]) -> None:
            settler.handle(messages, queue)

    return ServiceContainer(Deliveries, {"AMQP_URI": amqp_uri, "max_workers": BATCHES})


def _check(container: ServiceContainer) -> None:
    if container._died.ready():
        container.wait()  # raises what it died of
    for extension in container.subextensions:
        if isinstance(extension, _QueueConsumer) and extension.lost_since is not None:
            away = time.monotonic() - extension.lost_since
            if away > _BROKER_PATIENCE_S:
                raise BrokerGone(f"the broker has been away for {away:.0f} s")


def _stop(containers: list[ServiceContainer], grace_s: float) -> None:
    """Finishes what runs; what is not done after the grace the broker delivers again when the process ends."""
    threads = [threading.Thread(target=container.stop, daemon=True) for container in containers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + grace_s
    for thread in threads:
        thread.join(max(0.1, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        log.warning("some handlers did not end within %s s; their messages will be delivered again", grace_s)
