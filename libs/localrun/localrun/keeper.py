"""Keeps one process running: starts it, watches it, restarts it when it dies or stops answering."""

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import psutil

from localrun import probes
from localrun.childprocess import ChildProcess, last_lines
from localrun.mongod import Mongod
from localrun.rabbitmq import RabbitMQ
from localrun.render import Probe, Workload

BACK_OFF_MAX_S = 30.0
# After this long without dying a process is healthy again and its next restart is immediate.
STABLE_AFTER_S = 60.0
_STARTING_PERIOD_S = 0.25


class Phase(StrEnum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    BACKING_OFF = "backing off"
    STOPPED = "stopped"


class Process(Protocol):
    """What a Keeper can start again and again: a ChildProcess, a Mongod, a RabbitMQ."""

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""

    def start(self) -> None:
        """Starts the process."""

    def stop(self, grace_s: float) -> object:
        """SIGTERM, then SIGKILL after `grace_s`."""

    def kill(self) -> None:
        """SIGKILL."""


@dataclass(frozen=True)
class Check:
    """One question to a process, asked every `period_s`; `failure_threshold` refusals in a row count."""

    holds: Callable[[], bool]
    period_s: float
    failure_threshold: int


@dataclass(frozen=True)
class Kept:
    """A process and how to tell that it has started, lives and is ready."""

    name: str
    process: Process
    log: Path
    grace_s: float
    startup: Check
    liveness: Check
    readiness: Check


def kept_workload(workload: Workload, process: ChildProcess) -> Kept:
    """A workload with its own probes."""
    return Kept(
        workload.name,
        process,
        process.log,
        workload.grace_s,
        startup=_check(workload.startup),
        liveness=_check(workload.liveness),
        readiness=_check(workload.readiness),
    )


def _check(probe: Probe | None) -> Check:
    if probe is None:
        return Check(lambda: True, period_s=10, failure_threshold=3)
    return Check(lambda: probes.check(probe), probe.period_s, probe.failure_threshold)


def kept_server(name: str, server: Mongod | RabbitMQ, log: Path) -> Kept:
    """MongoDB or RabbitMQ: slow to start, seldom asked."""
    return Kept(
        name,
        server,
        log,
        grace_s=30.0,
        startup=Check(server.is_ready, period_s=1, failure_threshold=120),
        liveness=Check(server.is_ready, period_s=15, failure_threshold=4),
        readiness=Check(server.is_ready, period_s=15, failure_threshold=2),
    )


class Keeper:
    """Runs one Kept in a thread of its own until told to stop.

    changed: called (from that thread) whenever the phase changed.
    wait_for: returns once what the process needs is there; False to give up because everything stops.
    """

    def __init__(self, kept: Kept, changed: Callable[["Keeper"], None], wait_for: Callable[[], bool]) -> None:
        self.kept = kept
        self.name = kept.name
        self.phase = Phase.WAITING
        self.restarts = 0
        self.cpu_percent = 0.0
        self.rss_bytes = 0
        self._reading: tuple[int | None, float, float] = (None, 0.0, 0.0)  # pid, time, processor seconds
        self.last_problem = ""
        self._changed = changed
        self._wait_for = wait_for
        self._stop_reader, self._stop_writer = os.pipe()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"keep {kept.name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self.kept.process.pid

    def start(self) -> None:
        """Begins keeping."""
        self._thread.start()

    def request_stop(self) -> None:
        """Tells the process to end; returns at once."""
        self._stopping.set()
        os.write(self._stop_writer, b"x")

    def join(self) -> None:
        """Returns when the process has ended after `request_stop`."""
        self._thread.join()

    def measure(self) -> None:
        """Takes a reading; `cpu_percent` is then the share of one core between the last two, `rss_bytes` the memory."""
        pid = self.pid
        processes = [] if pid is None else _with_children(pid)
        spent, memory = 0.0, 0
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system
                memory += process.memory_info().rss
        self.rss_bytes = memory
        now = time.monotonic()
        same, began, before = self._reading
        if pid != same:
            self._reading, self.cpu_percent = (pid, now, spent), 0.0
        elif now - began >= 1:
            self._reading = (pid, now, spent)
            # A child that ended takes its share along.
            self.cpu_percent = round(100 * max(0.0, spent - before) / (now - began), 1)

    def _run(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            if not self._wait_for():
                break
            began = time.monotonic()
            try:
                self.kept.process.start()
                self._set(Phase.STARTING)
                self._watch()
            except Exception as error:  # noqa: BLE001 - whatever it is, this process must be kept and the others too
                self.last_problem = str(error)
            if self._stopping.is_set():
                break
            deaths = 0 if time.monotonic() - began > STABLE_AFTER_S else deaths
            self.restarts += 1
            pause = min(BACK_OFF_MAX_S, 0.5 * 2 ** (deaths - 1)) if deaths else 0.0
            deaths += 1
            self._set(Phase.BACKING_OFF)
            self._stopping.wait(pause)
        self.kept.process.stop(self.kept.grace_s)
        self._set(Phase.STOPPED)

    def _watch(self) -> None:
        """Returns when the process has ended, was killed for not answering, or everything stops."""
        pid = self.pid
        if pid is None:
            self._note_end()
            return
        exited = os.pidfd_open(pid)
        try:
            self._probe_until_end(exited)
        finally:
            os.close(exited)

    def _probe_until_end(self, exited: int) -> None:
        startup = self.kept.startup
        give_up = time.monotonic() + startup.period_s * startup.failure_threshold
        while not startup.holds():
            if self._ended_within(exited, _STARTING_PERIOD_S):
                return
            if time.monotonic() > give_up:
                self._kill_for("did not start in time")
                return
        begin = time.monotonic()
        ready = _Series(self.kept.readiness, due=begin)
        alive = _Series(self.kept.liveness, due=begin + self.kept.liveness.period_s)
        while not self._ended_within(exited, max(0.0, min(ready.due, alive.due) - time.monotonic())):
            ready.ask()
            if not ready.failures:
                self._set(Phase.READY)
            elif ready.lost and self.phase is Phase.READY:
                self._set(Phase.NOT_READY)
            elif self.phase is Phase.STARTING:
                ready.due = time.monotonic() + _STARTING_PERIOD_S
            alive.ask()
            if alive.lost:
                self._kill_for("stopped answering its liveness probe")
                return

    def _ended_within(self, exited: int, seconds: float) -> bool:
        """Waits up to `seconds`; True if the process ended or everything stops."""
        readable, _, _ = select.select([exited, self._stop_reader], [], [], seconds)
        if exited in readable:
            self._note_end()
        return bool(readable)

    def _note_end(self) -> None:
        self.last_problem = f"ended by itself; its log ends with:\n{last_lines(self.kept.log, 15)}"

    def _kill_for(self, reason: str) -> None:
        self.last_problem = reason
        self.kept.process.kill()

    def _set(self, phase: Phase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self._changed(self)


def _with_children(pid: int) -> list[psutil.Process]:
    """The process and its children, such as a server's workers; those that are gone are left out."""
    found = []
    for each in (pid, *_children(pid)):
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(each))
    return found


def _children(pid: int) -> list[int]:
    # Asking the kernel about one process; psutil would read all processes of the machine each time.
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


class _Series:
    """The answers to one check over time."""

    def __init__(self, check: Check, due: float) -> None:
        self._check = check
        self.due = due
        self.failures = 0

    @property
    def lost(self) -> bool:
        return self.failures >= self._check.failure_threshold

    def ask(self) -> None:
        """Asks if it is time to."""
        if time.monotonic() >= self.due:
            self.failures = 0 if self._check.holds() else self.failures + 1
            self.due = time.monotonic() + self._check.period_s
