"""A short sample of the kill matrix; `make faults` runs all of it. And its reckoning, which must notice a loss."""

import uuid
from collections.abc import Callable
from typing import Any

import pymongo
import pytest

from e2e import tenants
from e2e.demo.api import wait_for
from e2e.faults import reckoning
from e2e.faults.load import Load, NotOnceError, prepare
from e2e.faults.rounds import kill_under_load
from e2e.platform import Platform


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "workload",
    ["identity-run", "consent-relay", "identity-work", "consent-serve", "sales-relay", "ticketing-serve", "mongod"],
)
def test_what_was_acknowledged_before_a_kill_counts_exactly_once(
    platform: Platform, new_tenant: Callable[[], tenants.Tenant], workload: str
) -> None:
    tenant = new_tenant()
    prepare(tenant.api)
    done = kill_under_load(platform, tenant, workload, seconds=0.5)
    assert min(done.customers, done.decisions, done.events, done.served) > 0


LEDGERS = (
    ("ticketing", "tickets"),
    ("sales", "orders"),
    ("sales", "promises"),
    ("sales", "leads"),
    ("sales", "opportunities"),
)


@pytest.mark.timeout(300)
def test_the_reckoning_notices_one_row_that_is_lost_or_there_twice(
    platform: Platform, new_tenant: Callable[[], tenants.Tenant]
) -> None:
    tenant = new_tenant()
    prepare(tenant.api)
    load = Load(tenant.api, next(iter(tenant.write_keys.values())))
    load.start()
    wait_for(lambda: len(load.book.served) > 1 and load.book.decided and load.book.events, "every writer wrote")
    load.stop()
    reckoning.hold(load.book, tenant.api)
    with pymongo.MongoClient[dict[str, Any]](platform.mongodb_uri) as mongodb:
        for database, collection in LEDGERS:
            rows = mongodb[database][collection]
            row = rows.find_one({"tenant": tenant.id, "customer": {"$in": list(load.book.served)}})
            assert row is not None
            rows.delete_one({"_id": row["_id"]})
            with pytest.raises(NotOnceError, match="customers were served"):
                reckoning.hold(load.book, tenant.api)
            rows.insert_one(row)
            other = str(uuid.uuid4())
            twin = row | {"_id": f"{tenant.id}/{other}", "uid": other, "requests": [], "order_number": other}
            rows.insert_one(twin)
            with pytest.raises(NotOnceError, match="customers were served"):
                reckoning.hold(load.book, tenant.api)
            rows.delete_one({"_id": twin["_id"]})
        reckoning.hold(load.book, tenant.api)
