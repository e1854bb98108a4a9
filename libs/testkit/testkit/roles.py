"""Roles of services as processes of a test: started with real settings, killed, stopped, restarted."""

import os
import signal
import urllib.error
import urllib.request
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from chassis.settings import Settings
from testkit import warm
from testkit.waiting import eventually


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment variables that make a process read these settings."""
    names = settings.environment_names()
    found = {}
    for field, variable in names.items():
        value = getattr(settings, field)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            found[variable] = value.get_secret_value()
        elif isinstance(value, dict | list | tuple):
            found[variable] = settings.model_dump_json(include={field}).split(":", 1)[1].removesuffix("}")
        else:
            found[variable] = str(value)
    return found


class RoleProcess:
    """`python -m <service> <role>` as a process that need not import first, see `testkit.warm`; output goes to `log`.

    settings: what the process is told; role and service are taken from it.
    """

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings = settings
        self.log = log
        self._process: warm.Forked | None = None

    def start(self) -> "RoleProcess":
        """Starts the process."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
        program = [self.settings.service, self.settings.role]
        self._process = warm.start(program, self.log, inherited | environment_of(self.settings))
        return self

    @property
    def process(self) -> warm.Forked:
        """The running process. Raises RuntimeError before `start`."""
        if self._process is None:
            raise RuntimeError("the process was not started")
        return self._process

    def wait_ready(self, timeout: float = 40.0) -> "RoleProcess":
        """Returns once the process says it is ready; fails with the end of its log."""

        def ready() -> bool:
            if (code := self.process.poll()) is not None:
                raise RuntimeError(f"{self.settings.service} {self.settings.role} ended with {code}:\n{self.tail()}")
            return self._grpc_ready() if self.settings.role == "serve" else self._http_ready()

        eventually(ready, timeout, f"{self.settings.service} {self.settings.role} is ready; its log: {self.log}")
        return self

    def run(self, timeout: float = 60.0) -> None:
        """Runs a role that ends by itself, such as migrate; fails with the end of its log."""
        if self.start().process.wait(timeout) != 0:
            raise AssertionError(f"{self.settings.service} {self.settings.role} failed:\n{self.tail()}")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def tail(self, lines: int = 30) -> str:
        """The end of the process's output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _http_ready(self) -> bool:
        address = f"http://{self.settings.bind_host}:{self.settings.probe_port}/readyz"
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _grpc_ready(self) -> bool:
        with grpc.insecure_channel(f"{self.settings.bind_host}:{self.settings.grpc_port}") as channel:
            try:
                health = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service="ready"), timeout=2
                )
            except grpc.RpcError:
                return False
            return bool(health.status == health_pb2.HealthCheckResponse.SERVING)
