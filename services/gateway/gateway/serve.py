"""Role `serve`: the HTTP server, gunicorn with one worker of many threads.

One worker, so that rates, caches and metrics of a process are one; like every service the gateway scales by replicas.
"""

import math
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from chassis.lifecycle import Stopping
from gateway import draining
from gateway.app import create_app
from gateway.settings import Settings

URL_MAX_BYTES = 8190
"""Of a request line; the most gunicorn offers. Longer ones it refuses by itself, with 414 and a page of its own."""
_WORKER_STUCK_S = 60
"""A worker whose main loop does not move for so long is replaced; requests run in threads and do not hold it up."""


def serve(settings: Settings, _stopping: Stopping) -> None:
    """Serves until SIGTERM, which gunicorn takes over; then drains (see Worker).

    Raises what `create_app` raises.
    """
    # Made before the fork, so that a wrong configuration ends the process at once; it connects to nothing yet,
    # for channels would not survive the fork.
    _Server(settings, create_app(settings)).run()


class Worker(ThreadWorker):
    """Drains before it stops: for `drain_s` it serves on, says that it is not ready and closes connections after their
    answers, so that balancers and clients go elsewhere; then it stops accepting and ends what runs.

    It also cuts off clients that stop in the middle: gunicorn reads without a time limit, and as many such clients as
    there are threads would end all service."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: dict[Any, float] = {}
        """Connection -> when its request must have come further, on `time.monotonic()`'s scale."""

    def handle(self, conn: Any) -> Any:
        """One request of a connection, in a thread of its own."""
        self._due[conn] = time.monotonic() + self.app.settings.http_head_s
        try:
            return super().handle(conn)
        finally:
            self._due.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """The same once its head is there."""
        self._due[conn] = time.monotonic() + self.app.settings.http_request_s
        return super().handle_request(req, conn)

    def murder_pending(self) -> None:
        """Called by the main loop about once a second."""
        super().murder_pending()
        now = time.monotonic()
        for conn, due in self._due.copy().items():
            if now > due:
                with suppress(OSError):  # It has ended meanwhile.
                    conn.sock.shutdown(socket.SHUT_RDWR)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM."""
        if draining.begin():
            timer = threading.Timer(self.app.settings.drain_s, super().handle_exit, (sig, frame))
            timer.daemon = True
            timer.start()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Also closes the listeners at the end: gunicorn keeps them open until the last request has ended, and the
        system would take connections that nobody answers."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:  # Those already connected are served.
                before = self.nr_conns
                self.accept(listener)
            listener.close()


class _Server(BaseApplication):
    def __init__(self, settings: Settings, app: Flask) -> None:
        self.settings = settings
        self._app = app
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        options = {
            "bind": f"{settings.bind_host}:{settings.http_port}",
            "worker_class": "gateway.serve.Worker",
            "workers": 1,
            "threads": settings.http_threads,
            "limit_request_line": URL_MAX_BYTES,
            "worker_connections": settings.http_connections,
            "keepalive": settings.keepalive_s,
            "graceful_timeout": math.ceil(settings.drain_s + settings.shutdown_grace_s),
            "timeout": _WORKER_STUCK_S,
            "logger_class": "gateway.serving_log.ServingLog",
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return _closing(self._app)


def _closing(app: Flask) -> Any:
    """The application, whose `Connection: close` counts: gunicorn drops that header, would say keep-alive, and a client
    would send its next request on a connection that ends."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if ("Connection", "close") in headers:
                start_response.__self__.force_close()  # the bound method of gunicorn's Response
            return start_response(status, headers, exc_info)

        return app(environ, start)

    return answer
