"""One platform for all e2e tests."""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from e2e import seeds, tenants
from e2e.platform import Platform, started
from e2e.refusals import World


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform of `python -m localrun run -- pytest e2e`, else a fresh one."""
    if "RAPPORT_GATEWAY_URL" in os.environ:
        yield Platform.from_environment()
        return
    with started(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture
def new_tenant(platform: Platform) -> Callable[[], tenants.Tenant]:
    """Makes a fresh tenant with an admin and a write key for the source `shop`."""
    return lambda: tenants.create(platform.gateway, platform.bootstrap_key, f"t-{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def world(platform: Platform) -> World:
    """A tenant with one resource of each kind, for tests that leave it as it is."""
    tenant = tenants.create(platform.gateway, platform.bootstrap_key, f"bad-{uuid.uuid4().hex[:8]}")
    return World(tenant, seeds.plant(tenant))


@pytest.fixture
def unchanged(world: World) -> Iterator[None]:
    """What the test does changes nothing that can be read back."""
    before = world.stored()
    yield
    assert world.stored() == before
