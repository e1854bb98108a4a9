"""A new service passes its own tests and the workspace's checks as it is written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("protos", "libs", "services", "charts", "pyproject.toml", "buf.yaml")
SKIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".mypy_cache")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace, to write into."""
    copy = tmp_path_factory.mktemp("workspace")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=SKIPPED)
        else:
            shutil.copy(source, copy / part)
    return copy


def scaffold(workspace: Path, *names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scaffold", *names, "--root", str(workspace)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def run(workspace: Path, *command: str, **more: str) -> None:
    paths = [workspace / "libs/contracts", workspace / "services/loyalty"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))} | more
    done = subprocess.run(
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def written(workspace: Path) -> Path:
    """The copy with a new service."""
    done = scaffold(workspace, "loyalty", "program")
    assert done.returncode == 0, done.stderr
    assert "make test T=services/loyalty" in done.stdout
    run(workspace, sys.executable, "-m", "contracts.build")
    return workspace


def test_its_tests_pass(written: Path, mongodb: str) -> None:
    run(written, sys.executable, "-m", "pytest", "-q", "services/loyalty", MONGODB_URI=mongodb)


def test_it_keeps_the_workspaces_rules(written: Path) -> None:
    run(written, sys.executable, "-m", "ruff", "check", "services/loyalty")
    run(written, sys.executable, "-m", "ruff", "format", "--check", "services/loyalty")
    buf = str(Path(sys.executable).parent / "buf")
    run(written, buf, "lint")
    run(written, buf, "format", "-d", "--exit-code", "protos")


def test_the_chart_knows_it(written: Path) -> None:
    chart = yaml.safe_load((written / "charts/rapport/Chart.yaml").read_text())
    assert [each["condition"] for each in chart["dependencies"] if each["alias"] == "loyalty"] == ["loyalty.enabled"]
    values = yaml.safe_load((written / "charts/rapport/values.yaml").read_text())
    assert "loyalty" in values["gateway"]["upstreams"]
    assert values["loyalty"]["roles"].keys() == {"serve", "relay"}
    schema = json.loads((written / "charts/rapport/values.schema.json").read_text())
    assert "loyalty" in schema["properties"]
    local = yaml.safe_load((written / "charts/rapport/examples/local/values.yaml").read_text())
    addresses = list(local["global"]["addresses"].values())
    assert len(addresses) == len(set(addresses))
    assert {"loyalty-serve", "loyalty-relay"} <= local["global"]["addresses"].keys()


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("identity",), "services/identity exists"),
        (("Loyalty2",), "3 to 24 lower-case letters"),
        (("points", "points"), "two names"),
        (("points", "customer"), "/v1/customers is a route of identity_service.proto"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(workspace: Path, names: tuple[str, ...], problem: str) -> None:
    before = sorted(path.name for path in (workspace / "services").iterdir())
    done = scaffold(workspace, *names)
    assert (done.returncode, problem in done.stderr) == (2, True), done.stderr
    assert sorted(path.name for path in (workspace / "services").iterdir()) == before


def test_a_workspace_of_another_shape_is_left_alone(workspace: Path, tmp_path: Path) -> None:
    for part in ("charts", "libs/testkit", "protos"):
        shutil.copytree(workspace / part, tmp_path / part)
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\n")
    done = scaffold(tmp_path, "points", "award")
    assert done.returncode == 2
    assert "Nothing was written: pyproject.toml: there is no list of services" in done.stderr
    assert not (tmp_path / "services").exists()
