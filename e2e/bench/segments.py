"""200 segments kept up to date under 500 events/s through HTTP, open loop, batches of 50 events.

Each batch brings somebody new into a segment of its own kind. Measured is from the batch's sending to the instant at
which the membership was written: gateway, ingestion, relay, broker, scoring's worker, keeper of the segments.
"""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

import requests

from e2e.bench.figures import percentile, say, tell
from e2e.demo.api import Json, wait_for
from e2e.platform import Platform
from e2e.tenants import Tenant

SEGMENTS, RATE, BATCH, SECONDS, CLIENTS = 200, 500, 50, 30, 8
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
    say(f"segments: {SEGMENTS}, {RATE} events/s for {SECONDS} s from {CLIENTS} clients")
    expressions = [f'count("Probe {run}", 1d) >= 1', *islice(_expressions(), SEGMENTS - 1)]
    for number, expression in enumerate(expressions):
        body = {"displayName": f"Bench {number}", "expression": expression}
        api.post("/v1/segments", body, segmentId=f"bench-{number}" if number else PROBE)

    def ready() -> bool:
        return all(item["state"] == "STATE_READY" for item in api.pages("/v1/segments", "segments"))

    wait_for(ready, "the segments have their members", timeout=120)
    write_key = next(iter(tenant.write_keys.values()))
    sessions = [requests.Session() for _ in range(CLIENTS)]
    for session in sessions:
        session.auth = (write_key, "")
    batches = RATE * (LEAD_IN_S + SECONDS) // BATCH
    begin = time.monotonic() + 0.5

    def send(number: int) -> float:
        # Open loop: each batch has its instant, whatever became of those before.
        time.sleep(max(0.0, begin + number * BATCH / RATE - time.monotonic()))
        sent = time.time()
        url = f"{platform.gateway}/v1/batch"
        answer = sessions[number % CLIENTS].post(url, json={"batch": _batch(run, number)}, timeout=60)
        answer.raise_for_status()
        return sent

    with ThreadPoolExecutor(CLIENTS) as pool:
        sent = list(pool.map(send, range(batches)))[LEAD_IN_S * RATE // BATCH :]

    def entered() -> list[Json]:
        found = list(api.pages(f"/v1/segments/{PROBE}/changes", "changes"))
        return found if len(found) >= batches else []

    changes = wait_for(entered, "every probe in its segment", timeout=120)
    # Each batch has one probe: the first to be sent are the first to enter, but for neighbours that overtake.
    times = sorted(datetime.fromisoformat(change["changeTime"]).timestamp() for change in changes)[-len(sent) :]
    delays = [entered_at - sent_at for sent_at, entered_at in zip(sorted(sent), times, strict=True)]
    sustained = len(sent) * BATCH / (times[-1] - min(sent))
    moved = sum(int(item.get("memberCount", 0)) for item in api.pages("/v1/segments", "segments"))
    say(f"segments: {moved} memberships, median {percentile(delays, 0.5):.2f} s")
    tell("segments_updates", sustained, "events/s", RATE)
    tell("segments_updates_p99", percentile(delays, 0.99), "s", DELAY_MARK_S)
    for number in range(SEGMENTS):
        api.send("DELETE", f"/v1/segments/bench-{number}" if number else f"/v1/segments/{PROBE}")


def _expressions() -> Iterator[str]:
    for number, (name, kind) in enumerate(zip(cycle(_NAMES), cycle(_KINDS * len(_NAMES) + _KINDS[:1]), strict=False)):
        if number % 10 == 9:
            yield f"in_segment(bench-{number - 5}) AND NOT in_segment(bench-{number - 4})"
        else:
            yield kind.format(
                name=name, days=1 + number % 60, hours=1 + number % 36, few=1 + number % 4, many=5 + number % 9
            )


def _batch(run: str, number: int) -> list[Json]:
    now = datetime.now(UTC)
    events: list[Json] = []
    for place in range(BATCH - 1):
        seed = number * BATCH + place
        name = _NAMES[seed * 7 % len(_NAMES)]
        event: Json = {
            "type": "track",
            "userId": f"{run}-{seed * 13 % PEOPLE}",
            "event": name,
            "messageId": f"{run}-{number}-{place}",
            "timestamp": (now - timedelta(hours=seed % 50)).isoformat(),
        }
        if name == "Order Completed":
            event["properties"] = {"revenue": 5 + seed % 90, "currency": "USD"}
        events.append(event)
    probe = {
        "type": "track",
        "userId": f"{run}-probe-{number}",
        "event": f"Probe {run}",
        "messageId": f"{run}-{number}-p",
    }
    return [*events, probe]
