"""One platform for all e2e tests, in a state folder of its own; only the downloaded programs are shared."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e import tenants
from e2e.platform import Platform
from localrun import provision, state


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The running platform."""
    provision.ensure_all()
    folder = tmp_path_factory.mktemp("platform")
    for programs in ("bin", "rabbit"):
        if (state.directory() / programs).exists():
            (folder / programs).symlink_to(state.directory() / programs)
    environment = os.environ | {"RAPPORT_STATE": str(folder)}
    localrun = [sys.executable, "-m", "localrun"]
    try:
        subprocess.run([*localrun, "up"], env=environment, check=True, timeout=240)
        told = subprocess.run([*localrun, "env", "--json"], env=environment, check=True, capture_output=True, text=True)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in json.loads(told.stdout).items():
                patch.setenv(name, value)
            yield Platform.from_environment()
    finally:
        subprocess.run([*localrun, "down"], env=environment, check=True, timeout=120)


@pytest.fixture
def new_tenant(platform: Platform) -> Callable[[], tenants.Tenant]:
    """Makes a fresh tenant with an admin and a write key for the source `shop`."""
    return lambda: tenants.create(platform.gateway, platform.bootstrap_key, f"t-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def repository() -> Path:
    """Root of the workspace."""
    return state.workspace()
