"""The supervisor as a background process, and what `up`, `down` and `status` do with it."""

import fcntl
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from localrun import control
from localrun.childprocess import end_leftover, last_lines, recorded_process, write_pid_file
from localrun.control import ControlServer, Message, NotRunningError
from localrun.layout import Layout

# A new supervisor first ends what a killed one left behind.
_DAEMON_APPEARS_S = 60.0


class AlreadyRunningError(Exception):
    """Another supervisor holds this state folder."""


def supervise(layout: Layout, chart: Path, values: Sequence[Path]) -> None:
    """Is the supervisor, in this process, until told to stop. Raises AlreadyRunningError."""
    # Only the supervisor needs the database and gRPC libraries; `status` and `down` start faster without.
    from localrun.supervisor import Supervisor, stop_on_signals

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with _only_one(layout):
        for path in _left_behind(layout):
            end_leftover(path)
        write_pid_file(layout.supervisor_pid, os.getpid())
        supervisor = Supervisor(layout, chart, values)
        stop_on_signals(supervisor)
        server = ControlServer(layout.socket, supervisor.answer)
        try:
            supervisor.run()
        finally:
            server.close()
            layout.supervisor_pid.unlink(missing_ok=True)


def is_running(layout: Layout) -> bool:
    """Whether a supervisor runs in this state folder."""
    return recorded_process(layout.supervisor_pid) is not None


def up(layout: Layout, chart: Path, values: Sequence[Path], show: Callable[[Message], None]) -> bool:
    """Starts a supervisor in the background, or joins the running one; True once everything is ready.

    show: gets each progress message.
    """
    layout.create()
    log = layout.logs / "supervisor.log"
    daemon: subprocess.Popen[bytes] | None = None
    if is_running(layout):
        show({"event": "step", "text": "the platform is running already"})
    else:
        command = [sys.executable, "-m", "localrun", "supervise", "--chart", str(chart)]
        for file in values:
            command += ["--values", str(file)]
        with log.open("ab") as output:
            daemon = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
            )
    for message in _watch(layout, daemon):
        show(message)
        if message["event"] == "ready":
            return _still_ready(layout, show)
        if message["event"] in ("failed", "stopped"):
            return False
    show({"event": "failed", "text": f"the supervisor ended; {log} ends with:\n{last_lines(log, 15)}"})
    return False


def _still_ready(layout: Layout, show: Callable[[Message], None]) -> bool:
    """The platform was ready once; says what is not now."""
    missing = [row for row in status(layout)["workloads"] if row["phase"] != "ready"]
    for row in missing:
        show({"event": "failed", "text": f"{row['name']}: {row['phase']}, {row['restarts']} restarts {row['problem']}"})
    return not missing


def _watch(layout: Layout, daemon: "subprocess.Popen[bytes] | None") -> Iterator[Message]:
    deadline = time.monotonic() + _DAEMON_APPEARS_S
    while time.monotonic() < deadline:
        try:
            yield from control.ask(layout.socket, {"command": "watch"})
            return
        except NotRunningError:
            if daemon is not None and daemon.poll() is not None:
                return
            time.sleep(0.05)


def down(layout: Layout, show: Callable[[Message], None]) -> bool:
    """Ends the platform, also what a supervisor that was killed left behind; False if nothing ran."""
    layout.create()
    supervisor = recorded_process(layout.supervisor_pid)
    try:
        for message in control.ask(layout.socket, {"command": "stop"}):
            show(message)
    except NotRunningError:
        pass
    if supervisor is not None:
        supervisor.wait(timeout=60)
    left = _left_behind(layout)
    for path in left:
        show({"event": "step", "text": f"ending {path.stem}, left behind by a supervisor that was killed"})
        end_leftover(path)
    return supervisor is not None or bool(left)


def status(layout: Layout) -> Message:
    """The supervisor's status message. Raises NotRunningError."""
    return next(control.ask(layout.socket, {"command": "status"}))


def _left_behind(layout: Layout) -> list[Path]:
    """Pid files of what still runs though its supervisor is gone: workloads before servers."""
    paths = [*sorted(layout.pid_files.glob("*.pid"), reverse=True), *sorted(layout.data.glob("*/*.pid"))]
    return [path for path in paths if recorded_process(path)]


@contextmanager
def _only_one(layout: Layout) -> Iterator[None]:
    layout.create()
    with layout.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(f"a supervisor is running in {layout.state} already") from None
        yield
