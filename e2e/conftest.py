"""One platform for all e2e tests."""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from e2e import tenants
from e2e.platform import Platform, started


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
