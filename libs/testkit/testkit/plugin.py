"""The fixtures of testkit, loaded by pytest through its entry point.

    def test_it(database, settings_for): ...          # a fresh database of the service under test
    def test_events(amqp, role): ...                  # a fresh virtual host; roles as processes

More fixtures: `mail_server` and `inbox` (testkit.mails), `bucket` (testkit.buckets), `refused`
(testkit.refusals), `publish`, `captured` and `started` (testkit.telling), `travel` (testkit.travel).

A module names the service under test: `SERVICE = "consent"`; its settings class is the one in
`<service>.settings`, its collections those of `<service>.migrate`.
"""

import gc
import importlib
import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import docstore
from chassis import clock, keys, tenancy
from chassis.settings import Settings
from docstore.abandoned import abort_abandoned
from docstore.listener import TenantGuard
from localrun.ports import free_port
from testkit import failpoints
from testkit.keys import TEST_KEYRING
from testkit.roles import RoleProcess
from testkit.servers import Broker, running_broker, running_mongodb

gc.disable()  # Until all is imported; see pytest_collection_finish.

pytest_plugins = ["testkit.buckets", "testkit.mails", "testkit.refusals", "testkit.telling", "testkit.travel"]

SettingsFor = Callable[..., Settings]

# Machines are shared: slowness of the machine is no fault of a test.
hypothesis.settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared-machine")


def pytest_collection_finish() -> None:
    """Looks for garbage from now on, but not in what was imported: that took a third of a short run."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real replica set."""
    with running_mongodb(tmp_path_factory.mktemp("mongodb")) as uri:
        yield uri


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real broker."""
    with running_broker(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture(scope="module")
def amqp(rabbitmq: Broker) -> Iterator[str]:
    """AMQP address of an empty virtual host, removed after the module's tests."""
    name = f"test-{secrets.token_hex(6)}"
    yield rabbitmq.create_vhost(name)
    rabbitmq.delete_vhost(name)


@pytest.fixture(scope="module")
def settings_for(mongodb: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> SettingsFor:
    """Makes settings of a service for this module: `settings_for("consent", role="run", grpc_port=0)`.

    One database for each service and module; every role listens on ports of its own.
    """
    suffix = secrets.token_hex(4)
    blobs = tmp_path_factory.mktemp("blobs")

    def make(service: str, **overrides: Any) -> Settings:
        broker = {"amqp_uri": request.getfixturevalue("amqp")} if "amqp" in request.fixturenames else {}
        return settings_of(service, mongodb, suffix, blobs, **(broker | overrides))

    return make


def settings_of(service: str, mongodb: str, suffix: str, blobs: Path, **overrides: Any) -> Settings:
    """Settings of a service in tests, with ports of its own. suffix: of its database's name; blobs: a folder."""
    values: dict[str, Any] = {
        "service": service,
        "environment": "test",
        "bind_host": "127.0.0.1",
        "grpc_port": free_port(),
        "probe_port": free_port(),
        "mongodb_uri": mongodb,
        "database": f"test_{service}_{suffix}",
        "keys": TEST_KEYRING,
        "blob_url": f"file://{blobs}",
        "drain_s": 0.2,
    }
    return settings_class(service)(**(values | overrides))


def settings_class(service: str) -> type[Settings]:
    """The settings class of a service: the one subclass of Settings that its settings module defines."""
    module = importlib.import_module(f"{service}.settings")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Settings) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise LookupError(f"{module.__name__} defines {len(found)} settings classes, want one")
    return found[0]


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest, settings_for: SettingsFor) -> Iterator[Settings]:
    """The service under test connected to a fresh, migrated database; yields its settings.

    Any database command without a tenant fails the test that sent it (TenantGuard).
    """
    settings = settings_for(request.module.SERVICE)
    keys.configure(settings)
    clock.configure(settings)
    tenancy.configure(settings)
    importlib.import_module(f"{settings.service}.migrate").migrate(settings)
    docstore.disconnect()  # migrating connects, without a guard
    guard = TenantGuard()
    docstore.connect(settings, event_listeners=[guard])
    yield settings
    guard.check()
    # Dropping would wait for transactions that processes left behind when they were killed.
    abort_abandoned(idle_s=0.5)
    docstore.client().drop_database(docstore.database().name)
    docstore.disconnect()


@pytest.fixture
def role(tmp_path: Path) -> Iterator[Callable[[Settings], RoleProcess]]:
    """Makes roles as processes; what still runs after the test is killed."""
    made: list[RoleProcess] = []

    def make(settings: Settings) -> RoleProcess:
        process = RoleProcess(settings, tmp_path / f"{len(made)}-{settings.service}-{settings.role}.log")
        made.append(process)
        return process

    yield make
    for process in made:
        if process._process is not None and process._process.poll() is None:
            process.kill()


@pytest.fixture
def failpoint(tmp_path: Path) -> Callable[..., AbstractContextManager[failpoints.Failpoint]]:
    """Arms a failpoint: `with failpoint("module:function", call=2) as there:`, see testkit.failpoints."""
    numbers = itertools.count()
    return lambda function, **given: failpoints.armed(function, tmp_path / f"failpoint-{next(numbers)}", **given)
