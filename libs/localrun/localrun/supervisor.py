"""Runs a whole platform on this machine: servers, sinks, hook jobs, workloads; ends them in the reverse order."""

import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from localrun import localvalues, render
from localrun.childprocess import ChildProcess, last_lines
from localrun.control import Message
from localrun.jobs import StartError, run_jobs
from localrun.keeper import Keeper, Phase, kept_workload
from localrun.layout import Layout
from localrun.loopback import Loopback
from localrun.platform_servers import PlatformServers
from localrun.ports import listening
from localrun.priority import nice_value
from localrun.render import Workload
from localrun.sinks import SINKS, sink_workloads

READY_TIMEOUT_S = 240.0
_SERVER_STARTS_MAX = 3
LOG_LIMIT_BYTES = 10 * 1024 * 1024
_ROUND_S = 5.0

logger = logging.getLogger(__name__)


class Supervisor:
    """One platform in one state folder. `run` returns when it was told to stop and everything has ended.

    chart, values: what `helm template` gets; values of this machine (secrets, addresses) are added last.
    """

    def __init__(self, layout: Layout, chart: Path, values: Iterable[Path]) -> None:
        self._layout = layout
        self._chart = chart
        self._values = list(values)
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._most_cores = 0.0
        self._changed = threading.Condition()
        self._events: list[Message] = []
        self._services = localvalues.services(chart)
        self._loopback = Loopback.claim() if self._services else Loopback()
        self._servers = PlatformServers(layout, self._services, self._loopback)
        self._keepers: list[Keeper] = []
        self._gateway: str | None = None
        self._failure = ""

    def request_stop(self, *_: object) -> None:
        """Makes `run` end everything and return; also a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Starts everything, keeps it, ends it. Progress is told to whoever asks `answer`."""
        try:
            self._start()
            while not self._stop.wait(_ROUND_S):
                bound_logs(self._layout.logs)
                for keeper in self._keepers:
                    keeper.measure()
        except Exception as error:
            logger.exception("the platform cannot be started")
            self._tell("failed", f"{self._failure or error}\nEverything is being stopped.")
        finally:
            self._end()

    def answer(self, request: Message) -> Iterator[Message]:
        """Answers a control request: watch (progress until ready or failed), status, stop."""
        match request.get("command"):
            case "watch":
                yield from self._progress(until=("ready", "failed", "stopped"))
            case "status":
                yield self._status()
            case "stop":
                with self._changed:
                    begin = len(self._events)
                self.request_stop()
                yield from self._progress(until=("stopped",), begin=begin)
            case unknown:
                yield {"event": "failed", "text": f"unknown command {unknown}"}

    def _start(self) -> None:
        self._servers.prepare()
        file = self._layout.run / "values.json"
        render.write_values(file, self._servers.values(self._values))
        manifests = render.render(self._chart, [*self._values, file])
        workloads = render.workloads(manifests, self._layout.run / "workloads")
        self._most_cores = max((workload.cores for workload in workloads), default=0.0)
        sinks = sink_workloads(self._layout, self._loopback) if self._services else []
        self._refuse_taken_addresses([*sinks, *workloads])
        doors = [item.listens[0] for item in workloads if item.name.endswith("-gateway-serve")]
        self._gateway = next((f"http://{host}:{port}" for host, port in doors), None)
        self._tell("step", f"chart rendered: {len(workloads)} workloads")

        for name, kept in self._servers.kept.items():
            self._keep(Keeper(kept, self._on_change, lambda: not self._stop.is_set()))
            self._tell("step", f"{name} is starting")
        for sink in sinks:
            self._keep_workload(sink)
        if "mongod" in self._servers.kept:
            self._wait_for_server("mongod", 120)
            self._servers.create_users()
            self._tell("step", "mongod ready")
            self._servers.usable["mongod"].set()
        if "rabbitmq" in self._servers.kept:
            threading.Thread(target=self._admit_rabbitmq, name="rabbitmq ready", daemon=True).start()

        jobs = [workload for workload in workloads if workload.hook_weight is not None]
        for weight in sorted({job.hook_weight for job in jobs if job.hook_weight is not None}):
            same = [job for job in jobs if job.hook_weight == weight]
            run_jobs(same, self._process, self._admitted, self._stop, lambda text: self._tell("step", text))
        for workload in workloads:
            if workload.hook_weight is None:
                self._keep_workload(workload)
        self._wait_for_readiness()

    def _admit_rabbitmq(self) -> None:
        """Runs beside the jobs that need MongoDB alone: RabbitMQ takes its time to start."""
        try:
            self._wait_for_server("rabbitmq", 180)
        except StartError as error:
            self._failure = str(error)
            self._stop.set()
            return
        self._tell("step", "RabbitMQ ready")
        self._servers.usable["rabbitmq"].set()

    def _wait_for_server(self, name: str, timeout: float) -> None:
        keeper = next(keeper for keeper in self._keepers if keeper.name == name)

        def ready() -> bool:
            if keeper.restarts >= _SERVER_STARTS_MAX:
                raise StartError(f"{name} cannot be started: {keeper.last_problem}")
            return keeper.phase is Phase.READY

        self._wait_for(ready, name, timeout)

    def _admitted(self, workload: Workload) -> bool:
        """Waits until the servers the workload uses may be used; False when everything stops."""
        return self._servers.wait_for(workload.env, self._stop)

    def _process(self, workload: Workload) -> ChildProcess:
        # Nothing else of this process's environment reaches a workload: its configuration is the chart's.
        binaries = str(Path(sys.executable).parent)
        base = {"PATH": f"{binaries}:{os.environ.get('PATH', '/usr/bin:/bin')}", "HOME": os.environ.get("HOME", "/")}
        return ChildProcess(
            workload.command,
            env=base | workload.env,
            log=self._layout.logs / f"{workload.name}.log",
            pid_file=self._layout.pid_files / f"{workload.name}.pid",
            cwd=workload.directory,
            nice=nice_value(workload.cores, self._most_cores),
        )

    def _keep_workload(self, workload: Workload) -> None:
        self._keep(
            Keeper(
                kept_workload(workload, self._process(workload)),
                self._on_change,
                lambda: self._admitted(workload),
            )
        )

    def _keep(self, keeper: Keeper) -> None:
        with self._changed:
            self._keepers.append(keeper)
        keeper.start()

    def _on_change(self, keeper: Keeper) -> None:
        logger.info("%s: %s (pid %s, %d restarts)", keeper.name, keeper.phase, keeper.pid, keeper.restarts)
        if keeper.phase is Phase.BACKING_OFF:
            logger.warning("%s: %s", keeper.name, keeper.last_problem)
        with self._changed:
            first_time = not any(event.get("ready") == keeper.name for event in self._events)
            self._changed.notify_all()
        if keeper.phase is Phase.READY and first_time and keeper.name not in self._servers.kept:
            self._tell("step", f"{keeper.name} ready", ready=keeper.name)

    def _wait_for(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        with self._changed:
            deadline = time.monotonic() + timeout
            while not condition():
                if self._stop.is_set():
                    raise StartError("stopped while starting")
                if time.monotonic() > deadline:
                    raise StartError(f"{what} is not ready after {timeout:.0f} s\n{self._complaints()}")
                self._changed.wait(0.2)

    def _wait_for_readiness(self) -> None:
        """Tells `ready`, or what is missing: then everything is left running to be looked at."""
        try:
            self._wait_for(
                lambda: all(keeper.phase is Phase.READY for keeper in self._keepers), "the platform", READY_TIMEOUT_S
            )
        except StartError as error:
            if self._stop.is_set():
                raise
            self._tell("failed", f"{error}\nIt is left running: status, logs WORKLOAD and down tell more and end it.")
            return
        self._tell("ready", "the platform is ready")

    def _complaints(self) -> str:
        lines = []
        for keeper in self._keepers:
            if keeper.phase is not Phase.READY:
                problem = keeper.last_problem.partition("\n")[0]
                lines.append(f"{keeper.name}: {keeper.phase}, {keeper.restarts} restarts {problem}".rstrip())
                lines.append(f"    {keeper.kept.log} ends with:")
                lines += ["    " + line for line in last_lines(keeper.kept.log, 15).splitlines()]
        return "\n".join(lines)

    def _refuse_taken_addresses(self, workloads: Iterable[Workload]) -> None:
        for workload in workloads:
            for host, port in workload.listens:
                if listening(host, port):
                    raise StartError(
                        f"{workload.name} wants {host}:{port}, where something listens already: another platform?"
                    )

    def _end(self) -> None:
        servers = [keeper for keeper in self._keepers if keeper.name in self._servers.kept]
        sinks = [keeper for keeper in self._keepers if keeper.name in SINKS]
        workloads = [keeper for keeper in self._keepers if keeper not in servers and keeper not in sinks]
        # Sinks take the last mails and spans of what ends before them; servers outlive everybody who writes.
        for group in (workloads, sinks, servers):
            for keeper in reversed(group):
                keeper.request_stop()
            for keeper in reversed(group):
                keeper.join()
                self._tell("step", f"{keeper.name} stopped")
        self._tell("stopped", "the platform is stopped")

    def _tell(self, event: str, text: str, **more: str) -> None:
        message = {"event": event, "text": text, "seconds": round(time.monotonic() - self._began, 1), **more}
        logger.info("%s: %s", event, text)
        with self._changed:
            self._events.append(message)
            self._changed.notify_all()

    def _progress(self, until: tuple[str, ...], begin: int = 0) -> Iterator[Message]:
        position = begin
        while True:
            with self._changed:
                while position >= len(self._events):
                    self._changed.wait()
                message = self._events[position]
            position += 1
            yield message
            if message["event"] in until:
                return

    def _status(self) -> Message:
        with self._changed:
            keepers = list(self._keepers)
            ready = bool(keepers) and all(keeper.phase is Phase.READY for keeper in keepers)
        for keeper in keepers:
            keeper.measure()
        rows = [
            {
                "name": keeper.name,
                "pid": keeper.pid,
                "phase": keeper.phase.value,
                "restarts": keeper.restarts,
                "problem": keeper.last_problem,
                "rss_bytes": keeper.rss_bytes,
                "cpu_percent": keeper.cpu_percent,
            }
            for keeper in keepers
        ]
        addresses = {"RAPPORT_GATEWAY_URL": self._gateway} if self._gateway else {}
        addresses |= self._servers.addresses()
        return {"event": "status", "ready": ready, "workloads": rows, "addresses": addresses}


def bound_logs(logs: Path) -> None:
    """Moves what is in an over-long log to `<log>.1` and empties it; its writer appends and never notices."""
    for log in logs.glob("*.log"):
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def stop_on_signals(supervisor: Supervisor) -> None:
    """SIGTERM and Ctrl-C end the platform in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.request_stop)
