"""One round: load, a kill, load again, and the book held against the platform."""

import signal
import time
from dataclasses import dataclass

from e2e import tenants
from e2e.demo.api import wait_for
from e2e.faults import reckoning
from e2e.faults.load import Load
from e2e.platform import Platform


@dataclass(frozen=True)
class Round:
    """What one kill met."""

    workload: str
    customers: int
    decisions: int
    events: int
    served: int
    retries: int
    seconds: float


def kill_under_load(
    platform: Platform,
    tenant: tenants.Tenant,
    workload: str,
    seconds: float = 2.0,
    number: signal.Signals = signal.SIGKILL,
) -> Round:
    """Writes for a while, sends `workload` a signal, writes on, calmer, until it runs again and a while, then checks.

    tenant: nobody else's, made ready by `load.prepare`. Raises NotOnceError when an acknowledged call does not count
    exactly once in every service that consumes its events, TimeoutError when the platform does not come back.
    """
    start = time.monotonic()
    load = Load(tenant.api, next(iter(tenant.write_keys.values())))
    load.start()
    try:
        _write_on(load, seconds)
        killed = platform.signal(workload, number)
        load.calm()
        wait_for(lambda: platform.processes().get(workload) not in (None, killed), f"{workload} started again")
        _write_on(load, seconds)
    finally:
        load.stop()
    reckoning.hold(load.book, tenant.api)
    book = load.book
    spent = time.monotonic() - start
    return Round(workload, len(book.customers), len(book.decided), book.events, len(book.served), book.retries, spent)


def _write_on(load: Load, seconds: float) -> None:
    """Lets the load go on for `seconds` and until every writer had a call acknowledged in that time."""
    before = (len(load.book.customers), len(load.book.decided), len(load.book.served), load.book.events)
    until = time.monotonic() + seconds

    def each_wrote() -> bool:
        now = (len(load.book.customers), len(load.book.decided), len(load.book.served), load.book.events)
        load.raise_problem()
        return time.monotonic() >= until and all(after > was for was, after in zip(before, now, strict=True))

    wait_for(each_wrote, "every writer acknowledged")
