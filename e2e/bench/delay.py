"""From the commit in one service to the handler in another, at 50 events/s, open loop."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from e2e import tenants
from e2e.bench.figures import percentile, say, tell
from e2e.demo.api import Json, wait_for
from e2e.tenants import Tenant

RATE, SECONDS, CLIENTS = 50, 20, 16


def measure(tenant: Tenant) -> None:
    """Tells event_delay_p50 and event_delay_p99 (ms): a consent's commit to its entry in the identity timeline."""
    purpose = tenants.create_purpose(tenant.api, "bench", double_opt_in=False)
    say(f"event delay: making {RATE * SECONDS} customers")
    with ThreadPoolExecutor(CLIENTS) as pool:
        customers = list(pool.map(partial(_create, tenant), range(RATE * SECONDS)))

    def grant(number: int) -> tuple[str, str]:
        # Open loop: each call has its instant, whatever became of those before.
        time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
        customer = customers[number]
        body = {
            "customer": customer,
            "purpose": purpose,
            "channel": "CHANNEL_EMAIL",
            "evidence": {"method": "METHOD_AGENT"},
        }
        return customer, tenant.api.post("/v1/consents:grant", body)["updateTime"]

    say(f"event delay: {RATE} consents a second for {SECONDS} s")
    begin = time.monotonic() + 0.5
    with ThreadPoolExecutor(CLIENTS) as pool:
        granted = list(pool.map(grant, range(RATE * SECONDS)))
    delays = []
    for customer, committed in granted:
        entry = wait_for(partial(_entries, tenant, customer), "the entry in the timeline")[0]
        delays.append((_instant(entry["createTime"]) - _instant(committed)).total_seconds() * 1000)
    tell("event_delay_p50", percentile(delays, 0.5), "ms")
    tell("event_delay_p99", percentile(delays, 0.99), "ms")


def _create(tenant: Tenant, number: int) -> str:
    return str(tenant.api.post("/v1/customers", {"displayName": f"Bench {number}"})["name"])


def _entries(tenant: Tenant, customer: str) -> list[Json]:
    found: list[Json] = tenant.api.get(f"/v1/{customer}/timelineEntries")["timelineEntries"]
    return found


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
