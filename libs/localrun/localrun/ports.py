"""Free loopback ports."""

import random
import socket
import threading

# Below the kernel's ephemeral range (32768 and up), so that no outgoing connection takes the port in between.
_FIRST, _LAST = 18000, 31999
_given: set[int] = set()
_lock = threading.Lock()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on now; never the same one twice in this process.

    Raises OSError if none was found.
    """
    chooser = random.SystemRandom()
    with _lock:
        for _ in range(200):
            port = chooser.randint(_FIRST, _LAST)
            if port not in _given and not listening(host, port):
                _given.add(port)
                return port
    raise OSError(f"no free port between {_FIRST} and {_LAST} on {host}")


def listening(host: str, port: int) -> bool:
    """True if binding (host, port) is refused because somebody listens there."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return True
        return False
