"""The running platform as journeys and fault tests see it: addresses, its first key, its processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from localrun import daemon, provision, state
from localrun.layout import Layout
from localrun.localsecrets import Secrets


@dataclass(frozen=True)
class Platform:
    """Where things are, as `python -m localrun run` tells its command."""

    gateway: str
    bootstrap_key: str
    mails: str
    traces: str
    clock_file: Path
    state: Path

    mongodb_uri: str
    amqp_uri: str
    management_uri: str
    """The broker's management API; empty when the broker is the user's own."""
    up_seconds: float = 0.0
    """How long `localrun up` took, for a platform started by `started`."""

    @classmethod
    def from_environment(cls) -> "Platform":
        """Reads what `localrun run` set. Raises SystemExit with what to do when it is not there."""
        try:
            return cls._told(os.environ, state.directory())
        except KeyError as missing:
            raise SystemExit(f"{missing.args[0]} is not set: run this by `python -m localrun run -- ...`") from None

    @classmethod
    def _told(cls, told: Mapping[str, str], folder: Path, up_seconds: float = 0.0) -> "Platform":
        return cls(
            gateway=told["RAPPORT_GATEWAY_URL"],
            bootstrap_key=told["RAPPORT_BOOTSTRAP_KEY"],
            mails=told["RAPPORT_MAIL_URL"],
            traces=told["RAPPORT_TRACES_URL"],
            clock_file=Path(told["RAPPORT_CLOCK_FILE"]),
            state=folder,
            mongodb_uri=told["MONGODB_URI"],
            amqp_uri=told["AMQP_URI"],
            management_uri=told.get("RABBITMQ_MANAGEMENT_URL", ""),
            up_seconds=up_seconds,
        )

    def processes(self) -> dict[str, int]:
        """Workload -> process id, for every running process the supervisor keeps, database and broker included."""
        rows = daemon.status(Layout(self.state))["workloads"]
        return {row["name"].removeprefix("rapport-"): row["pid"] for row in rows if row["pid"]}

    def signal(self, workload: str, number: signal.Signals) -> int:
        """Sends one workload's process a signal; returns its pid. After one that ends it, it is started again."""
        pid = self.processes()[workload]
        os.kill(pid, number)
        return pid

    def environment(self, workload: str) -> dict[str, str]:
        """What one workload's process was told: for tools that are to run with a service's own settings."""
        return psutil.Process(self.processes()[workload]).environ()


@contextmanager
def started(folder: Path) -> Iterator[Platform]:
    """A fresh platform with its state in the empty `folder`, ended afterwards; downloaded programs are shared.

    Raises CalledProcessError when it does not start: what went wrong was printed.
    """
    provision.ensure_all()
    for programs in ("bin", "rabbit"):
        if (state.directory() / programs).exists():
            (folder / programs).symlink_to(state.directory() / programs)
    environment = os.environ | {"RAPPORT_STATE": str(folder)}
    localrun = [sys.executable, "-m", "localrun"]
    begin = time.monotonic()
    try:
        subprocess.run([*localrun, "up"], env=environment, check=True, timeout=240)
        told = dict(daemon.status(Layout(folder))["addresses"])
        told["RAPPORT_BOOTSTRAP_KEY"] = Secrets(folder / "secrets.json").peek("access.bootstrap-key") or ""
        yield Platform._told(told, folder, time.monotonic() - begin)
    finally:
        subprocess.run([*localrun, "down"], env=environment, check=True, timeout=120)
