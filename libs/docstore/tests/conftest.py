"""A fresh database for each test module, with the TenantGuard watching, and the contexts of requests."""

import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

import docstore
from chassis import context, keys, tenancy
from chassis.settings import Settings
from docstore.documents import TenantDocument
from docstore.listener import TenantGuard
from testkit.keys import TEST_KEYRING

RequestOf = Callable[..., AbstractContextManager[context.RequestContext]]


@pytest.fixture(scope="module")
def settings(mongodb: str) -> Settings:
    database = f"test_docstore_{secrets.token_hex(4)}"
    return Settings(service="docstore", environment="test", mongodb_uri=mongodb, database=database, keys=TEST_KEYRING)


@pytest.fixture(scope="module")
def connected(settings: Settings, request: pytest.FixtureRequest) -> Iterator[TenantGuard]:
    """Connected to a database with the indexes of all document classes of the module's `DOCUMENTS`."""
    keys.configure(settings)
    tenancy.configure(settings)
    guard = TenantGuard()
    docstore.connect(settings, event_listeners=[guard])
    documents: list[type[TenantDocument]] = getattr(request.module, "DOCUMENTS", [])
    docstore.create_indexes(documents)
    yield guard
    docstore.client().drop_database(docstore.database().name)
    docstore.disconnect()


@pytest.fixture
def tenant(connected: TenantGuard) -> Iterator[str]:
    """A tenant of the test's own, entered; no command may have left it."""
    name = f"t{secrets.token_hex(4)}"
    with tenancy.service_context(name):
        yield name
    connected.check()


@pytest.fixture
def request_of(tenant: str) -> RequestOf:
    """Makes request contexts: `with request_of(request_id=..., body="..."):`."""

    def make(
        request_id: str | None = None, body: str = "body", principal: str = "principals/ann", method: str = "x/Change"
    ) -> AbstractContextManager[context.RequestContext]:
        return context.use(
            context.RequestContext(
                tenant=tenant,
                principal=principal,
                permissions=frozenset({"*"}),
                method=method,
                request_id=request_id or str(uuid.uuid4()),
                body_hash=body,
            )
        )

    return make
