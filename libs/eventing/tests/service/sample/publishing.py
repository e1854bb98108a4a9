"""Publishing by hand: events as their owners would make them."""

import pika
from rapport.identity.v1 import events_pb2

from chassis import clock, ids
from eventing.envelope import Envelope

TENANT = "acme"


class Bus:
    """Publishes events as a relay would, and looks into queues."""

    def __init__(self, uri):
        self.uri = uri
        self.connection = pika.BlockingConnection(pika.URLParameters(uri))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def publish(self, *envelopes, exchange="rapport.events", key=None):
        for envelope in envelopes:
            self.raw(envelope.body, envelope.to_properties(), exchange, key or envelope.type)

    def raw(self, body, properties, exchange="", key="sample"):
        self.channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory=True)

    def count(self, queue):
        """Messages ready in the queue."""
        return self.channel.queue_declare(queue, passive=True).method.message_count

    def take(self, queue):
        """The next message of a queue, removed from it."""
        return self.channel.basic_get(queue, auto_ack=True)

    def purge(self):
        for queue in ("sample", "sample.urgent", "sample.dead", *(f"sample.retry.{d}" for d in ("1s", "10s", "60s"))):
            self.channel.queue_purge(queue)


def event(message, subject, version=1, index=0, **fields):
    """An envelope around a message, as the owner of the subject would publish it."""
    values = {
        "id": ids.uuid7(),
        "type": message.DESCRIPTOR.full_name,
        "source": "//rapport/identity",
        "subject": subject,
        "tenant": TENANT,
        "time": clock.now(),
        "sequence": (version, index),
        "body": message.SerializeToString(),
    }
    return Envelope(**(values | fields))


def customer(label, subject, version, index=0, kind=events_pb2.CustomerUpdated, given_name="", **fields):
    """A STATE event; `label` orders the behaviour of the handler `project`, `given_name` that of `also_updated`."""
    state = events_pb2.CustomerState(customer=subject, display_name=label, given_name=given_name)
    return event(kind(customer=state), subject, version, index, **fields)


def fact(label="", **fields):
    """A FACT event; `label` orders the behaviour of the handler `collect`."""
    return event(events_pb2.EventsTracked(events=[events_pb2.TrackedEvent(event=label)]), "imports/1", **fields)
