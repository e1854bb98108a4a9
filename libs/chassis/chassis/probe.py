"""HTTP probes of the roles without a gRPC server: `/livez` and `/readyz` answer 200 or 503."""

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from chassis.settings import Settings

logger = logging.getLogger(__name__)


class Probe:
    """Listens on (bind_host, probe_port) from construction until `close`; not ready until told.

    Its thread belongs to the process it reports on: in a monkey-patched worker it is green, so that a stuck hub
    answers nothing.
    """

    def __init__(self, settings: "Settings") -> None:
        self._ready = False
        self._checks: list[Callable[[], bool]] = []
        self._server = _Server((settings.bind_host, settings.probe_port), _Handler)
        self._server.probe = self
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="probe", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ready(self, ready: bool = True) -> None:
        """Sets the answer of `/readyz`."""
        self._ready = ready

    def alive_check(self, check: Callable[[], bool]) -> None:
        """Adds a condition to `/livez`: a check that returns False or raises has the process restarted."""
        self._checks.append(check)

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def is_ready(self) -> bool:
        """Whether the process can do its work now."""
        return self._ready and self.is_alive()

    def is_alive(self) -> bool:
        """Whether the process works at all."""
        for check in self._checks:
            try:
                alive = check()
            except Exception:
                logger.exception("a liveness check failed")
                return False
            if not alive:
                return False
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    probe: Probe


class _Handler(BaseHTTPRequestHandler):
    timeout = 5

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        probe = self.server.probe
        answers = {"/livez": probe.is_alive, "/readyz": probe.is_ready}
        if self.path not in answers:
            self.send_error(404)
            return
        good = answers[self.path]()
        body = b"ok\n" if good else b"not ok\n"
        self.send_response(200 if good else 503)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: probes come every few seconds."""
