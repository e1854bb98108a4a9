"""200 segments kept up to date under 500 events/s, told as identity tells them, open loop, 50 events a message.

Each message brings somebody new into a segment of its own. Measured is from its publishing to the instant at which
that membership was written: broker, scoring's worker, the keeper of the segments; the whole platform runs beside, and
its other services hear of every move.
"""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, islice

import pika
from rapport.identity.v1 import events_pb2

from chassis import ids, money
from e2e.bench.figures import percentile, say, tell
from e2e.demo.api import Json, wait_for
from e2e.platform import Platform
from e2e.tenants import Tenant
from eventing import names
from eventing.envelope import Envelope

SEGMENTS, RATE, BATCH, SECONDS = 200, 500, 50, 30
PEOPLE = 2_000
LEAD_IN_S = 5
"""Not counted: connections are opened, code runs for the first time."""
DELAY_MARK_S = 5.0
PROBE = "bench-probe"
_NAMES = (
    "Page",
    "Product Viewed",
    "Product Added",
    "Search",
    "Signed In",
    "Order Completed",
    "Clicked",
    "Video",
    "Chat",
)
_KINDS = (
    'count("{name}", {days}d) >= {few}',
    'count("{name}", {hours}h) >= {few} AND NOT count("{name}", {days}d) > {many}',
    'sum("Order Completed", {days}d, currency = "USD") > {many}0 AND count("{name}", {hours}h) >= 1',
    'days_since_last("{name}") < {few} OR traits.plan = "pro" AND region_code = "DE"',
    'count("{name}") >= {many} AND consent("purposes/news", EMAIL) = NONE',
    'lifetime_value > {many} OR count("{name}", {days}d, source = "shop") >= {few}',
)


def measure(platform: Platform, tenant: Tenant) -> None:
    """Tells segments_updates (events/s, beside the mark) and segments_updates_p99 (s, beside the mark)."""
    api, run = tenant.api, uuid.uuid4().hex[:8]
    say(f"segments: {SEGMENTS}, {RATE} events/s for {SECONDS} s")
    expressions = [f'count("Probe {run}", 1d) >= 1', *islice(_expressions(), SEGMENTS - 1)]
    for number, expression in enumerate(expressions):
        body = {"displayName": f"Bench {number}", "expression": expression}
        api.post("/v1/segments", body, segmentId=f"bench-{number}" if number else PROBE)

    def ready() -> bool:
        return all(item["state"] == "STATE_READY" for item in api.pages("/v1/segments", "segments"))

    wait_for(ready, "the segments have their members", timeout=120)
    sent: dict[str, float] = {}
    connection = pika.BlockingConnection(pika.URLParameters(platform.amqp_uri))
    channel = connection.channel()
    begin = time.time() + 0.5
    for number in range(RATE * (LEAD_IN_S + SECONDS) // BATCH):
        message = _message(run, number)
        # Open loop: each message has its instant, whatever became of those before.
        time.sleep(max(0.0, begin + number * BATCH / RATE - time.time()))
        sent[_customer(run, f"probe-{number}")] = time.time()
        told = _told(tenant, message)
        properties = pika.BasicProperties(**told.to_properties())
        channel.basic_publish(names.EVENTS_EXCHANGE, told.type, told.body, properties)
    connection.close()

    def entered() -> list[Json]:
        found = list(api.pages(f"/v1/segments/{PROBE}/changes", "changes"))
        return found if len(found) == len(sent) else []

    changes = wait_for(entered, "every probe in its segment", timeout=120)
    times = {change["customer"]: datetime.fromisoformat(change["changeTime"]).timestamp() for change in changes}
    counted = list(sent)[LEAD_IN_S * RATE // BATCH :]
    delays = [times[customer] - sent[customer] for customer in counted]
    sustained = len(counted) * BATCH / (max(times.values()) - sent[counted[0]])
    moved = sum(int(item.get("memberCount", 0)) for item in api.pages("/v1/segments", "segments"))
    say(f"segments: {moved} memberships, median {percentile(delays, 0.5):.2f} s")
    tell("segments_updates", sustained, "events/s", RATE)
    tell("segments_updates_p99", percentile(delays, 0.99), "s", DELAY_MARK_S)
    for number in reversed(range(SEGMENTS)):
        api.send("DELETE", f"/v1/segments/bench-{number}" if number else f"/v1/segments/{PROBE}")


def _told(tenant: Tenant, message: events_pb2.EventsTracked) -> Envelope:
    return Envelope(
        id=ids.uuid7(),
        type=message.DESCRIPTOR.full_name,
        source="//rapport/identity",
        subject=f"ingestionBatches/{ids.uuid7()}",
        tenant=tenant.id,
        time=datetime.now(UTC),
        datasubjects=tuple(dict.fromkeys(event.customer for event in message.events)),
        sequence=(1, 0),
        body=message.SerializeToString(),
    )


def _expressions() -> Iterator[str]:
    for number, (name, kind) in enumerate(zip(cycle(_NAMES), cycle(_KINDS * len(_NAMES) + _KINDS[:1]), strict=False)):
        if number % 10 == 9:
            yield f"in_segment(bench-{number - 5}) AND NOT in_segment(bench-{number - 4})"
        else:
            yield kind.format(
                name=name, days=1 + number % 60, hours=1 + number % 36, few=1 + number % 20, many=10 + number % 40
            )


def _message(run: str, number: int) -> events_pb2.EventsTracked:
    now = datetime.now(UTC)
    message = events_pb2.EventsTracked()
    for place in range(BATCH - 1):
        seed = number * BATCH + place
        name = _NAMES[seed * 7 % len(_NAMES)]
        event = message.events.add(event=name, customer=_customer(run, str(seed * 13 % PEOPLE)))
        event.event_time.FromDatetime(now)
        if name == "Order Completed":
            event.amount.CopyFrom(money.from_minor(500 + seed % 9000, "USD"))
    message.events.add(event=f"Probe {run}", customer=_customer(run, f"probe-{number}")).event_time.FromDatetime(now)
    for place, event in enumerate(message.events):
        event.source, event.kind, event.message_id = "shop", "KIND_TRACK", f"{run}-{number}-{place}"
    return message


def _customer(run: str, which: str) -> str:
    return f"customers/{uuid.uuid5(uuid.NAMESPACE_OID, f'{run}/{which}')}"
