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

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """As gunicorn tells it, but a malformed request: of that it would quote the text and the client's address."""
        if str(msg).startswith("Invalid request"):
            msg, args = "a request that is no valid HTTP was refused", ()
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """As gunicorn tells it, but without the request's address, which may hold a token."""
        if str(msg).startswith("Error handling request"):
            msg, args = "a request failed in the server", ()
        super().exception(msg, *args, **kwargs)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Says nothing: gunicorn's line would hold the query string."""
