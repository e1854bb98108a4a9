"""One platform for all e2e tests."""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

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


@pytest.fixture(scope="session")
def left_behind() -> dict[str, Any]:
    """What could be read back after the last test that was to leave all as it is, under its node id."""
    return {}


@pytest.fixture
def unchanged(world: World, left_behind: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[None]:
    """What the test does changes nothing that can be read back.

    What was read after the test before it is held against what is there after it: nothing ran in between.
    """
    tests = request.session.items
    before = left_behind.pop(tests[tests.index(request.node) - 1].nodeid, None) or world.stored()
    yield
    after = left_behind[request.node.nodeid] = world.stored()
    assert after == before
