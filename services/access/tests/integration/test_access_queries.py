"""Every query the service sends runs on an index, whatever else is stored."""

from datetime import UTC, datetime, timedelta

import pytest

from access.store import DOCUMENTS, Issuer, Key, Principal, Role, Tenant
from access.store.tenants import Settings
from chassis import tenancy
from docstore.explain import assert_indexed

SERVICE = "access"
MANY = 60
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def stored(database):
    for tenant in ("acme", "other"):
        with tenancy.service_context(tenant):
            for number in range(MANY):
                created = NOW + timedelta(seconds=number)
                role = f"role-{number % 10}"
                settings = Settings(time_zone="UTC", currency_code="EUR")
                documents = [
                    Tenant.new(f"t{number}", display_name="T", settings=settings),
                    Role.new(f"r{number}", permissions=["*"]),
                    Principal.new(
                        f"p{number}",
                        display_name="P",
                        roles=[role],
                        issuer=f"https://{number % 6}",
                        subject=f"s{number}",
                    ),
                    Key.new(f"k{number}", kind="api", principal=f"p{number}", secret_hash=bytes(32), expire_time=NOW),
                    Issuer.new(f"i{number}", issuer_uri=f"https://{number}", audience="a", allowed_roles=[role]),
                ]
                for document in documents:
                    document.create_time = created
                    document.insert()


@pytest.fixture(autouse=True)
def acme():
    with tenancy.service_context("acme"):
        yield


@pytest.mark.parametrize("document", DOCUMENTS)
def test_pages_in_order_of_creation(document):
    order = [("create_time", 1), ("_id", 1)]
    assert_indexed(document, document.read_filter({}, deleted=False), order, limit=11, max_keys=12)
    later = {"create_time": {"$gt": NOW + timedelta(seconds=40)}}
    assert_indexed(document, document.read_filter(later, deleted=False), order, limit=11, max_keys=12)


def test_who_holds_a_role():
    stats = assert_indexed(Principal, {"roles": "role-3"}, max_keys=7)
    assert stats["nReturned"] == 6
    assert_indexed(Issuer, {"allowed_roles": "role-3"}, max_keys=7)


def test_who_signs_in_at_an_issuer():
    assert_indexed(Principal, {"issuer": "https://3"}, max_keys=11)
    assert_indexed(Principal, {"issuer": "https://3", "subject": "s3"}, max_keys=1)
    assert_indexed(Issuer, {"issuer_uri": "https://3"}, max_keys=1)


def test_active_keys_of_a_principal():
    filter = {"principal": "p3", "revoke_time": None, "expire_time": {"$gt": NOW - timedelta(days=1)}}
    assert_indexed(Key, filter, max_keys=2)


def test_reads_by_id():
    assert_indexed(Key, {"uid": "k3"}, max_keys=1)
    assert_indexed(Role, {"uid": {"$in": ["r1", "r2"]}}, max_keys=4)
