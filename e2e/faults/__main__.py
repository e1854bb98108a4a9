"""The full matrix: kills every process of the running platform, one after another, under load (`make faults`).

`python -m e2e.faults WORKLOAD ...` kills only those.
"""

import sys
import uuid

import requests
from rich.console import Console
from rich.table import Table

from e2e import tenants
from e2e.demo.api import ApiError
from e2e.faults.backlog import withdraw_behind
from e2e.faults.load import PURPOSE_ID, prepare
from e2e.faults.rounds import kill_under_load
from e2e.platform import Platform

WAITING = 100_000
WITHDRAWN_WITHIN_S = 5.0
# The sinks stand for the outside world; they are no part of the platform.
OUTSIDE = ("mail-sink", "trace-sink")


def main() -> int:
    """Returns 0 when every acknowledged call counted exactly once in every round."""
    console = Console()
    platform = Platform.from_environment()
    workloads = sys.argv[1:] or [name for name in platform.processes() if not name.startswith(OUTSIDE)]
    table = Table("killed", "customers", "consents", "events", "served", "calls repeated", "seconds", "verdict")
    failed = 0
    for number, workload in enumerate(workloads, 1):
        console.print(rf"\[{number}/{len(workloads)}] kill -9 {workload}")
        try:
            tenant = tenants.create(platform.gateway, platform.bootstrap_key, f"faults-{uuid.uuid4().hex[:8]}")
            prepare(tenant.api)
            done = kill_under_load(platform, tenant, workload)
        except (AssertionError, TimeoutError, ApiError, requests.RequestException) as error:
            failed += 1
            console.print(f"[red]{error}[/red]")
            table.add_row(workload, "", "", "", "", "", "", f"FAILED: {error}")
            continue
        figures = (done.customers, done.decisions, done.events, done.served, done.retries, f"{done.seconds:.0f}")
        table.add_row(workload, *map(str, figures), "exactly once")
    console.print(table)
    failed += _overtaking(console, platform)
    return 1 if failed else 0


def _overtaking(console: Console, platform: Platform) -> int:
    """Takes consents back while events wait; returns 1 when one took longer than promised."""
    one, other = (
        tenants.create(platform.gateway, platform.bootstrap_key, f"faults-{uuid.uuid4().hex[:8]}") for _ in range(2)
    )
    tenants.create_purpose(one.api, PURPOSE_ID, double_opt_in=False)
    met = withdraw_behind(platform, one, other, WAITING)
    slowest = max(met.seconds)
    console.print(
        f"{len(met.seconds)} withdrawals while {met.waiting} events waited ({met.left} in the end): in the timeline "
        f"after {slowest:.2f} s at most, {WITHDRAWN_WITHIN_S:g} s promised"
    )
    return int(slowest > WITHDRAWN_WITHIN_S or met.left < WAITING / 2)


if __name__ == "__main__":
    sys.exit(main())
