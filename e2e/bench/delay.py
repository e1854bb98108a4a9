"""From the commit in one service to the end of the handlers in others, at 50 events/s, open loop.

The event is the plainest of those that another service reacts to: `CustomerCreated`. So the load is 50 events a second
and little else, and what is measured is how long they travel: outbox, relay, broker, worker, the handler's transaction.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import requests
from rapport.identity.v1 import events_pb2

from e2e.bench.figures import percentile, say, tell
from e2e.demo.api import Json, wait_for
from e2e.platform import Platform
from e2e.tenants import Tenant
from eventing import topology

RATE, SECONDS, CLIENTS = 50, 20, 16
LEAD_IN_S = 2
"""Not counted: connections are opened, code runs for the first time."""


def measure(platform: Platform, tenant: Tenant) -> None:
    """Tells event_delay_p50 and event_delay_p99 (ms): a customer's creation to the last consumer's commit.

    Each event is traced; the end is that of the last of the spans `process <service>`, one for every service that
    subscribes, after its handler's transaction was committed and before the broker is told.
    """
    manifest = topology.load(Path(platform.environment("identity-relay")["RAPPORT_TOPOLOGY_FILE"]))
    event_type = events_pb2.CustomerCreated.DESCRIPTOR.full_name
    consumers = {
        f"process {service}"
        for service, bindings in manifest["services"].items()
        if event_type in (*bindings["normal"], *bindings["urgent"])
    }
    say(f"event delay: {RATE} customers a second for {SECONDS} s, handled by {len(consumers)} service(s)")
    begin = time.monotonic() + 0.5

    def create(number: int) -> tuple[str, str]:
        # Open loop: each call has its instant, whatever became of those before.
        time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
        created, trace = tenant.api.exchange("POST", "/v1/customers", {"displayName": f"Bench {number}"})
        return created["createTime"], trace

    with ThreadPoolExecutor(CLIENTS) as pool:
        sent = list(pool.map(create, range(RATE * (LEAD_IN_S + SECONDS))))[RATE * LEAD_IN_S :]
    with requests.Session() as session:
        delays = [
            1000 * (_handled(session, platform.traces, trace, consumers) - datetime.fromisoformat(created).timestamp())
            for created, trace in sent
        ]
    tell("event_delay_p50", percentile(delays, 0.5), "ms")
    tell("event_delay_p99", percentile(delays, 0.99), "ms")


def _handled(session: requests.Session, traces: str, trace: str, consumers: set[str]) -> float:
    """When the last consumer was done, in seconds since 1970."""

    def ends() -> list[int]:
        answer = session.get(f"{traces}/traces/{trace}", timeout=10)
        spans: list[Json] = answer.json()["spans"] if answer.ok else []
        found = {span["name"]: span["end_ns"] for span in spans if span["name"] in consumers}
        return list(found.values()) if set(found) == consumers else []

    return max(wait_for(ends, f"the spans of the consumers in trace {trace}")) / 1e9
