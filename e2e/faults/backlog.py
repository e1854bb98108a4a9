"""Events put straight on a service's queue, as many as a test wants to have waiting there."""

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from rapport.consent.v1 import consent_pb2, events_pb2, purpose_pb2

from chassis.ids import uuid7
from e2e import tenants
from e2e.demo.api import Api, Json, wait_for
from e2e.faults.load import PURPOSE_ID
from e2e.platform import Platform
from eventing import names, topology
from eventing.envelope import Envelope
from eventing.relay.publisher import Outgoing, Publisher

GRANTED = "rapport.consent.v1.ConsentGranted"
WITHDRAWN = "rapport.consent.v1.ConsentWithdrawn"
_BURST = 2000


@dataclass(frozen=True)
class Overtaking:
    """What a withdrawal met. published_s: how long the backlog took to publish. seconds: from the call until each
    withdrawal was in the timeline. left: events still waiting then."""

    waiting: int
    published_s: float
    seconds: list[float]
    left: int


def granted(tenant: str, customer: str) -> Envelope:
    """A consent given by a customer, told as consent tells it, of a consent that nobody else tells of."""
    event = events_pb2.ConsentGranted()
    state = event.consent
    state.consent, state.customer, state.purpose = f"consents/{uuid7()}", customer, f"purposes/{PURPOSE_ID}"
    state.channel, state.state = purpose_pb2.CHANNEL_EMAIL, consent_pb2.Consent.STATE_GRANTED
    return Envelope(
        id=uuid7(),
        type=GRANTED,
        source="//rapport/consent",
        subject=state.consent,
        tenant=tenant,
        time=datetime.now(UTC),
        sequence=(1, 0),
        body=event.SerializeToString(),
        datasubjects=(customer,),
    )


def publish(platform: Platform, queue: str, events: Iterable[Envelope]) -> None:
    """Puts events on a queue, each confirmed. Raises AssertionError when the broker does not take them."""
    publisher = Publisher(platform.amqp_uri, "backlog")
    try:
        assert publisher.wait_connected(30)
        rest = iter(events)
        while burst := [Outgoing("", queue, e.to_properties(), e.body) for e in itertools.islice(rest, _BURST)]:
            assert len(publisher.wait(publisher.send(burst)).confirmed) == len(burst)
    finally:
        publisher.close()


def waiting(platform: Platform, queue: str) -> int:
    """Messages on a queue that nobody has been given yet."""
    with topology.connection(platform.amqp_uri, "backlog") as broker:
        return int(broker.channel().queue_declare(queue, passive=True).method.message_count)


def told(api: Api, customer: str) -> list[str]:
    """Types of the consent events in a customer's timeline, sorted."""
    entries = api.get(f"/v1/{customer}/timelineEntries")["timelineEntries"]
    return sorted(entry["event"] for entry in entries if entry["source"] == "services/consent")


def _withdrawn(api: Api, customer: str) -> bool:
    return told(api, customer) == [GRANTED, WITHDRAWN]


def statement(customer: str) -> Json:
    """The body of a grant or a withdrawal."""
    return {
        "customer": customer,
        "purpose": f"purposes/{PURPOSE_ID}",
        "channel": "CHANNEL_EMAIL",
        "evidence": {"method": "METHOD_AGENT", "origin": "fault probe"},
    }


def consenting(api: Api, number: int) -> Iterator[str]:
    """Makes customers who said yes; the purpose is there."""
    for _ in range(number):
        customer = api.post("/v1/customers", {"displayName": "Probe"})["name"]
        api.post("/v1/consents:grant", statement(customer))
        yield customer


def withdraw_behind(platform: Platform, one: tenants.Tenant, other: tenants.Tenant, events: int) -> Overtaking:
    """Lets `events` of the tenant `other` wait for identity, then takes consents back in `one`, one after another.

    What is still waiting in the end is dropped: draining it is no part of this.
    """
    api, queue = one.api, names.queue("identity")
    customers = list(consenting(api, 5))
    wait_for(lambda: all(told(api, customer) == [GRANTED] for customer in customers), "the grants in the timeline")
    start = time.monotonic()
    subject = f"customers/{uuid7()}"
    publish(platform, queue, (granted(other.id, subject) for _ in range(events)))
    published_s = time.monotonic() - start
    seconds = []
    for customer in customers:
        begin = time.monotonic()
        api.post("/v1/consents:withdraw", statement(customer))
        wait_for(partial(_withdrawn, api, customer), "the withdrawal in the timeline", 60)
        seconds.append(time.monotonic() - begin)
    left = waiting(platform, queue)
    with topology.connection(platform.amqp_uri, "backlog") as broker:
        broker.channel().queue_purge(queue)
    return Overtaking(events, published_s, seconds, left)
