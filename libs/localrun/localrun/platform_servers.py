"""The data stores of a local platform: our own, or those MONGODB_URI and AMQP_URI name."""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localrun import localvalues
from localrun.keeper import Kept, kept_server
from localrun.layout import Layout
from localrun.localsecrets import Secrets
from localrun.localvalues import Service
from localrun.loopback import Loopback
from localrun.mongod import Mongod
from localrun.ports import free_port
from localrun.rabbitmq import RabbitMQ

MONGOD_CACHE_GB = 0.5


class PlatformServers:
    """Data stores for some services. `kept`: those that are ours to run; `usable`: set once they may be used."""

    def __init__(self, layout: Layout, services: Sequence[Service], loopback: Loopback) -> None:
        self._layout = layout
        self._services = services
        self._loopback = loopback
        self.secrets = Secrets(layout.state / "secrets.json")
        self.mongodb_uri = os.environ.get("MONGODB_URI")
        self.amqp_uri = os.environ.get("AMQP_URI")
        self._mongod: Mongod | None = None
        self._rabbitmq: RabbitMQ | None = None
        self.kept: dict[str, Kept] = {}
        self.usable = {"mongod": threading.Event(), "rabbitmq": threading.Event()}

    def prepare(self) -> None:
        """Decides which servers are ours and on which ports; starts nothing."""
        data = self._layout.data
        if not self.amqp_uri and self._services:
            ports = self._ports("amqp", "rabbitmq-management")
            self._rabbitmq = RabbitMQ(data / "rabbitmq", *ports)
            self.amqp_uri = self._rabbitmq.uri
            log = self._linked_log("rabbitmq", self._rabbitmq.log)
            self.kept["rabbitmq"] = kept_server("rabbitmq", self._rabbitmq, log)
        if not self.mongodb_uri and any(service.database for service in self._services):
            (port,) = self._ports("mongodb")
            password = self.secrets.get("mongod.root-password")
            self._mongod = Mongod(data / "mongod", port, MONGOD_CACHE_GB, root_password=password)
            self.mongodb_uri = self._mongod.uri
            self.kept["mongod"] = kept_server("mongod", self._mongod, self._linked_log("mongod", self._mongod.log))

    def create_users(self) -> None:
        """Gives each service with a database its own user, which can reach no other database."""
        if self._mongod is not None:
            for service in self._services:
                if service.database:
                    password = localvalues.database_password(service, self.secrets)
                    self._mongod.create_user(service.name, service.name, password)

    def values(self, given: Sequence[Path]) -> dict[str, Any]:
        """Chart values with the servers' addresses and this machine's secrets, on top of the given files."""
        addresses, public_url = localvalues.given_addresses(given)
        return localvalues.build(
            self._layout.state,
            self._services,
            self.secrets,
            loopback=self._loopback,
            addresses=addresses,
            public_url=public_url,
            mongod=self._mongod,
            mongodb_uri=self.mongodb_uri or "",
            amqp_uri=self.amqp_uri or "",
            ray_address=os.environ.get("RAY_ADDRESS", ""),
        )

    def wait_for(self, env: Mapping[str, str], stop: threading.Event) -> bool:
        """Waits for those servers of ours whose address is in `env`; False if `stop` was set first."""
        addresses = {
            "mongod": f"127.0.0.1:{self._mongod.port}/" if self._mongod else None,
            "rabbitmq": f"127.0.0.1:{self._rabbitmq.port}/" if self._rabbitmq else None,
        }
        for name, address in addresses.items():
            if address and any(address in value for value in env.values()):
                while not self.usable[name].wait(0.1):
                    if stop.is_set():
                        return False
        return not stop.is_set()

    def addresses(self) -> dict[str, str]:
        """Where a person or a test finds things."""
        if not self._services:
            return {}
        known = {
            "RAPPORT_MAIL_URL": self._loopback.mail_url,
            "RAPPORT_TRACES_URL": self._loopback.trace_url,
            "RAPPORT_CLOCK_FILE": str(localvalues.clock_file(self._layout.state)),
            "MONGODB_URI": self.mongodb_uri or "",
            "AMQP_URI": self.amqp_uri or "",
        }
        if self._rabbitmq:
            known["RABBITMQ_MANAGEMENT_URL"] = self._rabbitmq.management_uri
        return {name: value for name, value in known.items() if value}

    def _linked_log(self, name: str, log: Path) -> Path:
        """A server's log among the others, where it is found and bounded like them."""
        link = self._layout.logs / f"{name}.log"
        link.unlink(missing_ok=True)
        link.symlink_to(log)
        return link

    def _ports(self, *names: str) -> list[int]:
        """Ports chosen once and kept: a replica set knows itself by its address."""
        path = self._layout.data / "ports.json"
        known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        for name in names:
            if name not in known:
                known[name] = free_port()
        path.write_text(json.dumps(known))
        return [known[name] for name in names]
