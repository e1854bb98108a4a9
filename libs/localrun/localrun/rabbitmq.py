"""RabbitMQ: one node on loopback, beside any other on the machine."""

import base64
import os
import secrets
import socket
import urllib.request
from pathlib import Path

from localrun import provision
from localrun.childprocess import ChildProcess, end_leftover
from localrun.ports import free_port
from localrun.readiness import HOST, holds, refuse_taken, wait_until

_NODE = "rapport@localhost"


class RabbitMQ:
    """A RabbitMQ node with the management and Prometheus plugins and an Erlang port mapper of its own.

    directory: data, configuration, logs. port: AMQP; management_port: HTTP API; 0 chooses free ones.
    The only user is RabbitMQ's own `guest`, which works from loopback alone.
    """

    def __init__(self, directory: Path, port: int = 0, management_port: int = 0) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.management_port = management_port or free_port()
        self.prometheus_port = free_port()
        self._distribution_port = free_port()
        self._mapper_port = free_port()
        self.log = directory / f"log/{_NODE}.log"
        self._mapper: ChildProcess | None = None
        self._process: ChildProcess | None = None

    @property
    def uri(self) -> str:
        """AMQP connection string of the default virtual host."""
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    @property
    def management_uri(self) -> str:
        """Base address of the HTTP API and management page."""
        return f"http://{HOST}:{self.management_port}"

    @property
    def pid(self) -> int | None:
        """Process id of the node while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the port mapper and the node; `wait_ready` tells when it can be used.

        Raises NotReadyError when somebody else has one of its ports.
        """
        if self.pid is not None:
            return
        root = provision.ensure_rabbitmq()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._configure()
        pid_files = [self.directory / name for name in ("rabbitmq.pid", "epmd.pid")]
        for pid_file in pid_files:
            end_leftover(pid_file)
        refuse_taken("RabbitMQ", self.port, self.management_port, self.prometheus_port)
        env = self._environment(root)
        erlang = root / "usr/lib/erlang"
        self._mapper = ChildProcess(
            [str(erlang / "bin/epmd"), "-address", HOST, "-port", str(self._mapper_port)],
            env=env,
            log=self.directory / "log/epmd.log",
            pid_file=pid_files[1],
            cwd=self.directory,
        )
        self._process = ChildProcess(
            [str(root / "usr/lib/rabbitmq/bin/rabbitmq-server")],
            env=env,
            log=self.directory / "log/start.log",
            pid_file=pid_files[0],
            cwd=self.directory,
        )
        self._mapper.start()
        # Without a listening mapper the first boot of a node dies.
        wait_until("epmd", self._mapper, 10.0, lambda: _accepts(self._mapper_port))
        self._process.start()

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Returns once AMQP and the HTTP API answer. Raises NotReadyError."""
        wait_until("RabbitMQ", self._process, timeout, self._usable)

    def is_ready(self) -> bool:
        """What `wait_ready` waits for, asked once."""
        return holds(self._usable)

    def stop(self, grace_s: float = 30.0) -> None:
        """Clean end of the node (SIGTERM), then of its port mapper."""
        for process in (self._process, self._mapper):
            if process:
                process.stop(grace_s)

    def kill(self) -> None:
        """kill -9 of the node. The port mapper stays for the next start; `stop` ends it."""
        if self._process:
            self._process.kill()

    def _configure(self) -> None:
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(16))
        (self.directory / "enabled_plugins").write_text("[rabbitmq_management,rabbitmq_prometheus].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = {HOST}:{self.port}\n"
            f"management.tcp.ip = {HOST}\nmanagement.tcp.port = {self.management_port}\n"
            f"prometheus.tcp.ip = {HOST}\nprometheus.tcp.port = {self.prometheus_port}\n"
            "vm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 500MB\n"
            "log.file.level = warning\nlog.file.rotation.size = 5242880\nlog.file.rotation.count = 2\n"
            "log.console = false\n"
        )

    def _environment(self, root: Path) -> dict[str, str]:
        """Everything that keeps the node off the machine's own RabbitMQ and Erlang."""
        home, erlang = self.directory, root / "usr/lib/erlang"
        libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"
        arguments = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": f"{erlang}/bin:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": libraries,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "node.pid"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": arguments,
            # The start script then becomes the node instead of waiting beside it: our pid is the node's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _usable(self) -> bool:
        """True once AMQP clients are let in, the last thing a node does when it starts."""
        guest = base64.b64encode(b"guest:guest").decode()
        # An AMQP connection of our own would leave a warning in the node's log each time.
        request = urllib.request.Request(
            f"{self.management_uri}/api/health/checks/port-listener/{self.port}",
            headers={"Authorization": f"Basic {guest}"},
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            return bool(response.status == 200)


def _accepts(port: int) -> bool:
    with socket.create_connection((HOST, port), timeout=1):
        return True
