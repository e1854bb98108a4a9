"""A long-running child process: started in its own session, with a pid file, stopped by pid and never by name."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from localrun.priority import set_nice


class ChildProcess:
    """One process at a time that can be started again after it ended.

    `pid_file` lets a later run find and end what an earlier, killed run left behind. `nice`: 0 to 19, how much it
    yields to others where processors are short.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], log: Path, pid_file: Path, cwd: Path, nice: int = 0
    ) -> None:
        self.command = list(command)
        self.env = dict(env)
        self.log = log
        self.pid_file = pid_file
        self.cwd = cwd
        self.nice = nice
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Starts the process, after ending one that an earlier run left behind. Already running: does nothing."""
        if self.pid is not None:
            return
        self._end_group()
        end_leftover(self.pid_file)
        self.cwd.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.env,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        write_pid_file(self.pid_file, self._process.pid)
        if self.nice:
            set_nice(self._process.pid, self.nice)

    def stop(self, grace_s: float = 30.0) -> int | None:
        """SIGTERM, then SIGKILL after `grace_s`; the exit code (None if it never ran)."""
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._end_group()
        self.pid_file.unlink(missing_ok=True)
        return process.returncode

    def kill(self) -> None:
        """SIGKILL to the process and everything in its session's process group; returns when it is gone."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._end_group()
        process.wait()
        self.pid_file.unlink(missing_ok=True)

    def _end_group(self) -> None:
        """SIGKILL to what is left of the process's group: a master that died may leave workers on its port."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def exit_code(self) -> int | None:
        """Exit code (negative signal number) once it ended, else None."""
        return None if self._process is None else self._process.poll()

    def last_lines(self, count: int = 20) -> str:
        """The end of the log."""
        return last_lines(self.log, count)


def last_lines(log: Path, count: int) -> str:
    """The last `count` lines of a log file, reading at most 64 KiB; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""


def write_pid_file(path: Path, pid: int) -> None:
    """Writes `pid` and the process's start time, which tells it from a later process with the same number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    path.write_text(f"{pid} {started}\n")


def recorded_process(path: Path) -> psutil.Process | None:
    """The process a pid file names, if that very process still runs."""
    try:
        pid, started = path.read_text().split()
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(started)) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return None


def end_leftover(path: Path, grace_s: float = 20.0) -> None:
    """Ends the process a pid file names, if it still runs, and removes the file."""
    if process := recorded_process(path):
        process.terminate()
        try:
            process.wait(grace_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(grace_s)
    path.unlink(missing_ok=True)
