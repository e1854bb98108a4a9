"""The real MongoDB and RabbitMQ of a test session: the user's (MONGODB_URI, AMQP_URI) or started for it."""

import base64
import json
import os
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localrun.servers import Mongod, RabbitMQ


class Broker:
    """A RabbitMQ whose virtual hosts tests create and remove through its management API.

    uri: AMQP address with user and password. management_uri: HTTP address of the management API.
    """

    def __init__(self, uri: str, management_uri: str) -> None:
        parts = urllib.parse.urlsplit(uri)
        self.uri = f"amqp://{parts.netloc}"
        self.management_uri = management_uri.rstrip("/")
        self._user = urllib.parse.unquote(parts.username or "guest")
        self._password = urllib.parse.unquote(parts.password or "guest")

    def vhost_uri(self, name: str) -> str:
        """AMQP address of a virtual host."""
        return f"{self.uri}/{name}"

    def create_vhost(self, name: str) -> str:
        """Makes an empty virtual host; returns its AMQP address."""
        self.call("PUT", f"/api/vhosts/{name}")
        self.call("PUT", f"/api/permissions/{name}/{self._user}", {"configure": ".*", "write": ".*", "read": ".*"})
        return self.vhost_uri(name)

    def delete_vhost(self, name: str) -> None:
        """Removes a virtual host with all in it."""
        self.call("DELETE", f"/api/vhosts/{name}")

    def call(self, method: str, path: str, body: object = None) -> object:
        """One call of the management API; returns the decoded answer, None when it is empty."""
        request = urllib.request.Request(
            self.management_uri + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "content-type": "application/json",
                "authorization": "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode(),
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def _management_of(amqp_uri: str) -> str:
    # RabbitMQ's own convention: 15672 beside 5672.
    parts = urllib.parse.urlsplit(amqp_uri)
    return f"http://{parts.hostname}:{(parts.port or 5672) + 10000}"


@contextmanager
def running_mongodb(directory: Path) -> Iterator[str]:
    """Address of a replica set: MONGODB_URI, else one started in `directory` and ended after."""
    if uri := os.environ.get("MONGODB_URI"):
        yield uri
        return
    server = Mongod(directory)
    server.start()
    try:
        server.wait_ready()
        yield server.uri
    finally:
        server.kill()  # nobody needs its data any more


@contextmanager
def running_broker(directory: Path) -> Iterator[Broker]:
    """A broker: AMQP_URI (management at RABBITMQ_MANAGEMENT_URI, else its port + 10000), else one started."""
    if uri := os.environ.get("AMQP_URI"):
        yield Broker(uri, os.environ.get("RABBITMQ_MANAGEMENT_URI") or _management_of(uri))
        return
    server = RabbitMQ(directory)
    server.start()
    try:
        server.wait_ready()
        yield Broker(server.uri, server.management_uri)
    finally:
        server.kill()  # in no time; stopping then ends its port mapper
        server.stop()
