"""Starting and stopping a process in one of its roles.

Imports the standard library only: the role `work` patches it (eventlet) before anything else is loaded.
"""

import gc
import importlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

EX_USAGE = 2
EX_CONFIG = 78
"""Exit code of a configuration error (sysexits.h)."""

logger = logging.getLogger(__name__)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_GARBAGE_THRESHOLDS = (20_000, 20, 20)
"""Of `gc.set_threshold`. Calls make few cycles; Python's own 700 looks for them more than once a call."""


class Stopping:
    """Set once, when the process shall end; every loop of a role waits on it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def is_set(self) -> bool:
        """Whether the process shall end."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the process shall end, or `timeout` seconds; says whether it shall."""
        if timeout is not None:
            return self._event.wait(timeout)
        # In slices: Python runs signal handlers in the main thread only, and one that another thread received does
        # not wake a wait without end. A service was seen to sleep through its SIGTERM.
        while not self._event.wait(1.0):
            pass
        return True

    def set(self) -> None:
        """Tells everybody that the process shall end."""
        self._event.set()

    def stop_on_signals(self) -> None:
        """Sets this on SIGTERM and SIGINT. Call in the main thread."""
        # A signal handler interrupts code that may hold the very lock Event.set() takes. So the handler only
        # writes to a socket (which is safe, and green in a patched process), and a thread sets the event.
        receiver, sender = socket.socketpair()
        sender.setblocking(False)

        def watch() -> None:
            while receiver.recv(64):  # For good: signals after the first must find an open socket.
                self.set()

        def on_signal(_number: int, _frame: object) -> None:
            try:
                sender.send(b"x")
            except BlockingIOError:
                return  # Thousands of signals are waiting already.

        threading.Thread(target=watch, name="signals", daemon=True).start()
        for number in _STOP_SIGNALS:
            signal.signal(number, on_signal)


def run_role(service: str, settings: str, roles: Mapping[str, str]) -> None:
    """Runs the role named in `sys.argv[1]` and ends the process.

    `settings` is "module:Class"; `roles` maps a role to "module:function", called with (settings, stopping).
    Exit codes: 0 when the function returns, 1 when it raises, 2 for an unknown role, 78 for wrong configuration
    (one line on standard error names each environment variable).
    """
    role = _chosen_role(service, roles)
    # What is imported stays: looking for garbage in it took a fifth of a start, and goes on with every full collection.
    gc.disable()
    if role == "work":
        importlib.import_module("eventing.patched")
    configured = _configure(service, role, settings)
    stopping = Stopping()
    stopping.stop_on_signals()
    sys.exit(_run(configured, stopping, roles[role]))


def _chosen_role(service: str, roles: Mapping[str, str]) -> str:
    listing = f"usage: python -m {service} ROLE\n\nroles: {', '.join(roles)}\n"
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(listing)
        sys.exit(0)
    if len(arguments) != 1 or arguments[0] not in roles:
        sys.stderr.write(f"{service}: no such role: {' '.join(arguments) or '(none)'}\n{listing}")
        sys.exit(EX_USAGE)
    return arguments[0]


def _configure(service: str, role: str, settings: str) -> Any:
    """The checked settings, with logging, telemetry, clock, keys and tenancy set up from them."""
    from chassis import clock, keys, logs, telemetry, tenancy
    from chassis.settings import ConfigurationError, load

    try:
        configured = load(_resolve(settings), service=service, role=role)
        logs.configure(configured)
        keys.configure(configured)
    except ConfigurationError as error:
        _exit_misconfigured(service, error)
    clock.configure(configured)
    tenancy.configure(configured)
    telemetry.setup(configured)
    return configured


def _run(settings: Any, stopping: Stopping, function: str) -> int:
    from chassis import telemetry
    from chassis.settings import ConfigurationError

    code = 0
    try:
        run = _resolve(function)
        gc.freeze()
        gc.set_threshold(*_GARBAGE_THRESHOLDS)
        gc.enable()
        logger.info("role starts")
        run(settings, stopping)
        logger.info("role ends")
    except ConfigurationError as error:
        _exit_misconfigured(settings.service, error)
    except Exception:
        logger.exception("role failed")
        code = 1
    finally:
        stopping.set()
        telemetry.shutdown()
        logging.shutdown()
        # The interpreter's last steps put the default actions back: a late repeat would look like a crash.
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return code


def _resolve(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _exit_misconfigured(service: str, error: Exception) -> None:
    sys.stderr.write(f"{service}: configuration: {error}\n")
    sys.exit(EX_CONFIG)
