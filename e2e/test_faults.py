"""A short sample of the kill matrix; `make faults` runs all of it."""

from collections.abc import Callable

import pytest

from e2e import tenants
from e2e.faults.load import prepare
from e2e.faults.rounds import kill_under_load
from e2e.platform import Platform


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workload", ["identity-run", "consent-relay", "identity-work", "consent-serve", "mongod"])
def test_what_was_acknowledged_before_a_kill_counts_exactly_once(
    platform: Platform, new_tenant: Callable[[], tenants.Tenant], workload: str
) -> None:
    tenant = new_tenant()
    prepare(tenant.api)
    done = kill_under_load(platform, tenant, workload, seconds=1.0)
    assert min(done.customers, done.decisions, done.events) > 0
