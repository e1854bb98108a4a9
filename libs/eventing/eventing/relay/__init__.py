"""Role `relay`: publishes the events that writes have left in their documents. One process per service.

A change stream wakes it and tells where to look, and it looks everywhere every second in case a wake-up got lost. An
event leaves its document only after the broker has confirmed that every queue bound to it has it; a crash in between
publishes it again under the same id, which consumers drop. Events of one document are published in their order.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pymongo.errors
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import docstore
from chassis import ids, metric_names, telemetry
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from chassis.settings import ConfigurationError, Settings
from contracts import descriptors
from docstore.changes import Changes
from eventing import names, topology
from eventing.envelope import Envelope
from eventing.readiness import wait_migrated
from eventing.relay.outbox import Outbox
from eventing.relay.publisher import Outgoing, Publisher

log = logging.getLogger(__name__)

_SWEEP_S = 2.0
_PACE_S = 0.01
"""From the beginning of one pass to that of the next: under load, what is written meanwhile goes out together."""
_BUSY = 1000
"""After so many documents a look everywhere is cheaper than going through what the stream tells of them."""

_LONGEST_BACK_OFF_S = 5.0
Versions = dict[tuple[str, str], int]
_propagator = TraceContextTextMapPropagator()


def run(settings: Settings, stopping: Stopping) -> None:
    """Publishes until SIGTERM. Does not start before the topology of its manifest is declared.

    Raises ConfigurationError without a broker, a database or a topology file.
    """
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set")
    if settings.topology_file is None:
        raise ConfigurationError("RAPPORT_TOPOLOGY_FILE", "is not set: the relay must know what to wait for")
    try:
        manifest = topology.load(settings.topology_file)
    except (OSError, ValueError) as error:
        raise ConfigurationError("RAPPORT_TOPOLOGY_FILE", str(error)) from error
    import_module(f"{settings.service}.store")  # registers the aggregates
    amqp_uri = settings.amqp_uri.get_secret_value()
    docstore.connect(settings)
    with Probe(settings) as probe:
        if wait_migrated(settings.service, stopping) and topology.wait_declared(amqp_uri, manifest, stopping):
            publisher = Publisher(amqp_uri, f"{settings.service} relay")
            probe.alive_check(publisher.is_alive)
            relay = Relay(settings.service, publisher, topology.consumed_types(manifest), stopping)
            telemetry.gauge(metric_names.OUTBOX_AGE, lambda: [(relay.age(), {})])
            try:
                _serve(relay, publisher, stopping, probe)
            finally:
                publisher.close()
    docstore.disconnect()


def _serve(relay: "Relay", publisher: Publisher, stopping: Stopping, probe: Probe) -> None:
    failures = 0
    while not stopping.is_set():
        probe.ready(publisher.connected and not failures)
        try:
            if publisher.wait_connected(1.0):
                relay.drain_and_watch()
            else:
                relay.look()
            failures = 0
        except pymongo.errors.PyMongoError as error:
            failures += 1
            log.warning("the database cannot be used (%s), trying again", type(error).__name__)
            stopping.wait(min(_LONGEST_BACK_OFF_S, 0.2 * 2**failures))


class Relay:
    """Moves events from one service's documents to the broker."""

    def __init__(self, service: str, publisher: Publisher, consumed: frozenset[str], stopping: Stopping) -> None:
        self._service = service
        self._publisher = publisher
        self._consumed = consumed
        self._stopping = stopping
        self._outbox = Outbox()
        self._changes = Changes(docstore.database, _wakers(self._outbox.collections), stopping.wait)
        self._oldest: str | None = None
        self._reported: set[str] = set()
        self._tracer = telemetry.tracer()

    def age(self) -> float:
        """Age in seconds of the oldest event not yet published, 0 when there is none."""
        return max(0.0, time.time() - ids.time_of(self._oldest).timestamp()) if self._oldest else 0.0

    def look(self) -> None:
        """Notes the age of what waits, also of what cannot be published now."""
        self._oldest = self._outbox.oldest()

    def drain_and_watch(self) -> None:
        """Publishes all there is, then for about two seconds what the change stream tells of."""
        # Opened before the reading: what is written after it is seen. Opened anew each time: after a busy spell
        # there is no backlog of changes to skip.
        with self._changes:
            relayed: Versions = {}
            while not self._stopping.is_set() and self.relay_once(None, relayed):
                pass
            passed = time.monotonic()
            next_sweep = passed + _SWEEP_S
            while not self._stopping.is_set() and time.monotonic() < next_sweep and len(relayed) < _BUSY:
                change = self._changes.next()
                if change is None:
                    continue
                name, key = change["ns"]["coll"], change["documentKey"]["_id"]
                # One pass may take the events of many changes that the stream has yet to tell of.
                if relayed.get((name, key), 0) < change["v"]:
                    self._stopping.wait(max(0.0, passed + _PACE_S - time.monotonic()))
                    passed = time.monotonic()
                    self.relay_once([name], relayed)

    def relay_once(self, collections: Sequence[str] | None = None, relayed: Versions | None = None) -> bool:
        """Publishes one batch of events; False when there were none, or the broker took none.

        collections: where to look, everywhere for None. relayed: told the version of each document up to which all
        its events are out now, until it holds more than anybody wants to know.
        """
        sources = self._outbox.read(collections)
        if not sources:
            if self._outbox.holds_back:
                self.look()
            elif collections is None:
                self._oldest = None
            return False
        self._oldest = min(source.entries[0]["id"] for source in sources)
        envelopes = [Envelope.from_outbox(entry, self._service) for source in sources for entry in source.entries]
        spans = {envelope.id: self._span(envelope) for envelope in envelopes}
        burst = self._publisher.send([_outgoing(envelope, spans[envelope.id]) for envelope in envelopes])
        try:
            self._outbox.keep_facts(sources)
        finally:
            self._publisher.wait(burst)
        settled = burst.confirmed | self._unwanted(envelopes, burst.returned)
        for id, span in spans.items():
            if id not in settled:
                span.set_status(StatusCode.ERROR, "not confirmed")
            span.end()
        self._outbox.remove(sources, settled)
        if len(settled) == len(envelopes):
            self._oldest = None
        if relayed is not None and len(relayed) < _BUSY:
            relayed.update(
                ((source.collection, source.key), source.entries[-1]["sequence"][0])
                for source in sources
                if all(entry["id"] in settled for entry in source.entries)
            )
        counted = Counter(envelope.type for envelope in envelopes if envelope.id in settled)
        for event_type, count in counted.items():
            telemetry.counter(metric_names.EVENTS_RELAYED).add(count, {"rapport.event.type": event_type})
        return bool(settled)

    def _unwanted(self, envelopes: list[Envelope], returned: set[str]) -> set[str]:
        """Those of the returned events that no service wants. The others stay: their queue's binding is missing."""
        unwanted = set()
        for envelope in envelopes:
            if envelope.id not in returned:
                continue
            wanted = envelope.type in self._consumed
            if not wanted:
                unwanted.add(envelope.id)
            if wanted or not _without_consumers(envelope.type):
                telemetry.counter(metric_names.EVENTS_RETURNED).add(1, {"rapport.event.type": envelope.type})
                if envelope.type not in self._reported:
                    self._reported.add(envelope.type)
                    fate = "it stays until the topology is declared again" if wanted else "nobody subscribes to it"
                    log.error("no queue took an event of type %s: %s", envelope.type, fate)
        return unwanted

    def _span(self, envelope: Envelope) -> Span:
        return self._tracer.start_span(
            f"publish {names.EVENTS_EXCHANGE}",
            context=_propagator.extract({"traceparent": envelope.traceparent}),
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": "rabbitmq",
                "messaging.operation.type": "send",
                "messaging.operation.name": "publish",
                "messaging.destination.name": names.EVENTS_EXCHANGE,
                "messaging.rabbitmq.destination.routing_key": envelope.type,
                "messaging.message.id": envelope.id,
                "rapport.tenant": envelope.tenant,
            },
        )


def _wakers(collections: Sequence[str]) -> list[dict[str, Any]]:
    """Of the changes of these collections, those that may have brought events, with the version they made."""
    changed = {
        "ns.coll": {"$in": list(collections)},
        # The relay's own removals leave the version as it is and must not wake it.
        "$or": [
            {"operationType": {"$in": ["insert", "replace"]}},
            {"updateDescription.updatedFields.version": {"$exists": True}},
        ],
    }
    version = {"$ifNull": ["$updateDescription.updatedFields.version", "$fullDocument.version", math.inf]}
    return [{"$match": changed}, {"$project": {"ns": 1, "documentKey": 1, "v": version}}]


def _outgoing(envelope: Envelope, span: Span) -> Outgoing:
    properties = envelope.to_properties()
    _propagator.inject(properties["headers"], context=set_span_in_context(span))
    return Outgoing(names.EVENTS_EXCHANGE, envelope.type, properties, envelope.body)


def _without_consumers(event_type: str) -> bool:
    try:
        rule = descriptors.event_rule(descriptors.message_class(event_type).DESCRIPTOR)
    except KeyError:
        return False
    return rule is not None and rule.no_consumers
