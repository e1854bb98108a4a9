"""Renders of the chart, as the examples configure it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localrun import localvalues, render, state
from localrun.localsecrets import Secrets
from localrun.loopback import Loopback

Manifest = dict[str, Any]
CHARTS = state.workspace() / "charts"
UMBRELLA = CHARTS / "rapport"


@pytest.fixture(scope="session")
def production() -> list[Manifest]:
    """examples/production."""
    return render.render(UMBRELLA, [UMBRELLA / "examples/production/values.yaml"])


@pytest.fixture(scope="session")
def local_values(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The values files of a local run."""
    folder = tmp_path_factory.mktemp("state")
    example = UMBRELLA / "examples/local/values.yaml"
    addresses, public_url = localvalues.given_addresses([example])
    values = localvalues.build(
        folder,
        localvalues.services(UMBRELLA),
        Secrets(folder / "secrets.json"),
        loopback=Loopback(),
        addresses=addresses,
        public_url=public_url,
        mongod=None,
        mongodb_uri="mongodb://127.0.0.1:1/",
        amqp_uri="amqp://127.0.0.1:2/",
    )
    file = folder / "values.json"
    render.write_values(file, values)
    return [example, file]


@pytest.fixture(scope="session")
def local(local_values: list[Path]) -> list[Manifest]:
    """examples/local with what localrun adds."""
    return render.render(UMBRELLA, local_values)


@pytest.fixture(scope="session", params=["production", "local"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """Each example in turn."""
    return list(request.getfixturevalue(request.param))


@pytest.fixture
def with_values(tmp_path: Path) -> Callable[[Manifest], list[Manifest]]:
    """Renders examples/production with more values on top."""

    def rendered(values: Manifest) -> list[Manifest]:
        file = tmp_path / "more.json"
        file.write_text(json.dumps(values))
        return render.render(UMBRELLA, [UMBRELLA / "examples/production/values.yaml", file])

    return rendered
