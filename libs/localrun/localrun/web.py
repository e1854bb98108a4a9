"""The small HTTP side of the sinks: JSON and pages to a browser on this machine."""

import json
import signal
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit


class WebServer(ThreadingHTTPServer):
    """HTTP/1.1 server in a thread; `handler` is a subclass of WebHandler."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, handler: type["WebHandler"]) -> None:
        super().__init__((host, port), handler)
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, name="http", daemon=True)

    def start(self) -> None:
        """Begins answering."""
        self._thread.start()

    def server_bind(self) -> None:
        """Binds without http.server's reverse name look-up, which may wait for a name server."""
        TCPServer.server_bind(self)
        host, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.server_name = host


class WebHandler(BaseHTTPRequestHandler):
    """Answers with JSON or HTML; says nothing in the log."""

    protocol_version = "HTTP/1.1"
    timeout = 120
    # Pages show what strangers sent: no script of theirs may run.
    headers_of_pages: ClassVar[dict[str, str]] = {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'",
        "X-Content-Type-Options": "nosniff",
    }

    @property
    def route(self) -> str:
        """The path without its query."""
        return urlsplit(self.path).path

    def argument(self, name: str, default: str = "") -> str:
        """One argument of the query."""
        return parse_qs(urlsplit(self.path).query).get(name, [default])[0]

    def send_json(self, value: object, status: int = 200) -> None:
        """Answers with JSON."""
        self.send_bytes(json.dumps(value).encode(), "application/json", status)

    def send_page(self, html: str, status: int = 200) -> None:
        """Answers with a page."""
        self.send_bytes(html.encode(), "text/html; charset=utf-8", status)

    def send_bytes(self, body: bytes, content_type: str, status: int = 200) -> None:
        """Answers with anything."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.headers_of_pages.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def run_until_signal(stop: Callable[[], None]) -> None:
    """Waits for SIGTERM or Ctrl-C, then calls `stop`."""
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    stop()


def block_signals() -> None:
    """To be called before threads start, so that only `run_until_signal` sees SIGTERM and SIGINT."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
