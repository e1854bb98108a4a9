"""gunicorn's own messages in the process's JSON log."""

import logging
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]


class ServingLog(Logger):
    """Sends gunicorn's messages to the root logger; access lines come from `gateway.observation`."""

    def setup(self, _cfg: Any) -> None:
        """Takes no handlers of its own."""
        self.loglevel = logging.INFO
        self.error_log.propagate = True
        # Starting and stopping of workers at INFO says nothing that the role's own lines do not.
        self.error_log.setLevel(logging.WARNING)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Says nothing: gunicorn's line would hold the query string."""
