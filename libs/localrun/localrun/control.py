"""Talking to the supervisor: one JSON object per line over a Unix socket in the state folder."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Message = dict[str, Any]
Answer = Callable[[Message], Iterator[Message]]


class NotRunningError(Exception):
    """No supervisor answers in this state folder."""


class ControlServer:
    """Answers each connection's one request with the messages `answer` yields, in a thread per connection."""

    def __init__(self, path: Path, answer: Answer) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _reachable(path) as address:
            self._socket.bind(address)
        path.chmod(0o600)
        self._socket.listen(8)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        """Stops answering."""
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(connection,), name="control request", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # The other side may go at any time (Ctrl-C in `up`): that ends the talk and nothing else.
        with suppress(BrokenPipeError, ConnectionResetError), connection, connection.makefile("rw") as stream:
            for message in self._answer(json.loads(stream.readline() or "{}")):
                stream.write(json.dumps(message) + "\n")
                stream.flush()


def ask(path: Path, request: Message) -> Iterator[Message]:
    """Sends one request and yields the answers. Raises NotRunningError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with _reachable(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError("no platform is running here") from None
        with connection.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            for line in stream:
                yield json.loads(line)


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """An address for `path` of less than 108 bytes, the kernel's limit for socket paths, however deep it lies."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
