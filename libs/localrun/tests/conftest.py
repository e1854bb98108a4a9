"""A tiny chart of real Python processes, and a state folder of its own for each test."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localrun import state
from localrun.ports import free_port

# A process with probes: ready once the file `ready` is there (or at once), alive until `stuck` is there.
SERVER = """
import http.server, os, pathlib, signal, sys
here = pathlib.Path(os.environ["RAPPORT_BLOB_URL"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        bad = self.path == "/livez" and (here / "stuck").exists()
        self.send_response(503 if bad else 200)
        self.end_headers()
        self.wfile.write(repr(sorted(os.environ)).encode())
    def log_message(self, *args): pass
def end(*_):
    print("ended in order", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("begins", flush=True)
address = (os.environ["RAPPORT_BIND_HOST"], int(os.environ["RAPPORT_PROBE_PORT"]))
http.server.HTTPServer(address, Handler).serve_forever()
"""


class TinyCharts:
    """Writes charts; `here` is the folder their processes look into."""

    def __init__(self, folder: Path, here: Path) -> None:
        self.folder = folder
        self.here = here

    def write(self, *manifests: dict[str, object]) -> tuple[str, ...]:
        """A chart that renders the given manifests, as options of the command line."""
        (self.folder / "templates").mkdir(parents=True, exist_ok=True)
        (self.folder / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 0.1.0\n")
        (self.folder / "values.yaml").write_text("{}\n")
        for index, manifest in enumerate(manifests):
            # Two braces in a row would be a template action.
            text = json.dumps(manifest).replace("{{", "{ {").replace("}}", "} }")
            (self.folder / "templates" / f"{index}.yaml").write_text(text)
        return ("--chart", str(self.folder), "-f", str(self.folder / "values.yaml"))

    def deployment(self, name: str, port: int, **container: object) -> dict[str, object]:
        """A Deployment whose one process answers probes on 127.0.0.1:port."""
        probe = {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 2}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": 1,
                "template": {
                    "spec": {
                        "terminationGracePeriodSeconds": 5,
                        "containers": [
                            {
                                "name": "main",
                                "image": "unused",
                                "command": ["python", "-c", SERVER],
                                "env": [
                                    {"name": "RAPPORT_BIND_HOST", "value": "127.0.0.1"},
                                    {"name": "RAPPORT_PROBE_PORT", "value": str(port)},
                                    {"name": "RAPPORT_BLOB_URL", "value": str(self.here)},
                                ],
                                "ports": [{"name": "probe", "containerPort": port}],
                                "startupProbe": {"httpGet": {"path": "/livez", "port": "probe"}, **probe},
                                "livenessProbe": {"httpGet": {"path": "/livez", "port": "probe"}, **probe},
                                "readinessProbe": {"httpGet": {"path": "/readyz", "port": "probe"}, **probe},
                                **container,
                            }
                        ],
                    }
                },
            },
        }

    def job(self, name: str, weight: int, program: str, *, retries: int = 0) -> dict[str, object]:
        """A hook Job that runs a Python program."""
        container = {"name": "main", "image": "unused", "command": ["python", "-c", program]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "annotations": {"helm.sh/hook": "post-install", "helm.sh/hook-weight": str(weight)},
            },
            "spec": {
                "backoffLimit": retries,
                "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
            },
        }


@pytest.fixture
def charts(tmp_path: Path, here: Path) -> TinyCharts:
    return TinyCharts(tmp_path / "chart", here)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Folder the test's processes look into."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


class Platform:
    """The command line on a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.state = folder
        self._env = {**os.environ, "RAPPORT_STATE": str(folder)}

    def run(self, *arguments: str, timeout: float = 90) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "localrun", *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def popen(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "localrun", *arguments],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def pid(self, workload: str) -> int:
        return int((self.state / "run/pids" / f"{workload}.pid").read_text().split()[0])

    def log(self, name: str) -> str:
        path = self.state / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform without servers of its own, ended whatever the test did to it; programs come from the real state."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "bin").symlink_to(state.directory() / "bin")
    (folder / "rabbit").symlink_to(state.directory() / "rabbit")
    platform = Platform(folder)
    yield platform
    platform.run("down")
