"""One platform for all e2e tests, in a state folder of its own; only the downloaded programs are shared."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e import tenants
from e2e.platform import Platform
from localrun import daemon, provision, state
from localrun.layout import Layout
from localrun.localsecrets import Secrets


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
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAPPORT_STATE", str(folder))
            for name, value in daemon.status(Layout(folder))["addresses"].items():
                patch.setenv(name, value)
            key = Secrets(folder / "secrets.json").peek("access.bootstrap-key")
            patch.setenv("RAPPORT_BOOTSTRAP_KEY", key or "")
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
