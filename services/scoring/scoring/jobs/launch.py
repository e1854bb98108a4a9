"""Launches scoring jobs from role `run`: each is a child process, which outlives its launcher and is found again.

This module loads neither numpy nor Ray; the child does.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from scoring.jobs.executor import ONE_THREAD
from scoring.jobs.files import Folder
from scoring.jobs.progress import Progress, State
from scoring.jobs.spec import JobSpec, ProgramSpec

_SPEC, _PROCESS, LOG = "spec.json", "process.json", "job.log"
_SUCCESS = "_SUCCESS"
_STOP_S = 20.0
_CLOCK_S = 60.0
"""How far the time of a process's creation may move while it runs: it is told from a clock that is set."""


class Handle:
    """A launched job."""

    def __init__(self, output: Folder, workdir: Path, process: psutil.Process | None) -> None:
        self._output = output
        self._workdir = workdir
        self._process = process

    @property
    def pid(self) -> int | None:
        """The job's process while it runs."""
        return self._process.pid if self._process and _alive(self._process) else None

    def poll(self) -> Progress:
        """How far it is. A process that is gone without having told its end has FAILED: launch it again to go on."""
        running = self._process is not None and _alive(self._process)
        told = Progress.read(self._output) or Progress(State.RUNNING)
        if running:
            # Until the process is gone its work is not settled.
            return replace(told, state=State.RUNNING)
        if told.state is State.RUNNING:
            return replace(
                told,
                state=State.FAILED,
                eta_s=None,
                message="the job's process is gone; launch it again to go on from what is finished"
                + _last_line(self._workdir / LOG),
            )
        return told

    def cancel(self) -> Progress:
        """Stops the job with all its processes; returns how it ended. What is finished is kept for another launch."""
        if self._process is not None and _alive(self._process):
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)
            _wait_gone(self._process, _STOP_S)
            _end_group(self._workdir)
            _wait_gone(self._process, _STOP_S)
        told = self.poll()
        if told.state is State.FAILED:
            told = replace(told, state=State.CANCELLED, message="cancelled")
            told.write(self._output)
        return told


def launch(
    given: ProgramSpec | Mapping[str, Any],
    workdir: Path,
    ray_address: str | None = None,
    program: str = "scoring.jobs.score",
) -> Handle:
    """Starts the job, or finds it running or finished. `workdir` is a local folder of this job's own.

    `given` is the program's spec, or the values of a JobSpec.

    With `ray_address` it (see `programs`) is submitted to that cluster (spec, inputs and output must be
    reachable from there); without, it computes on this machine. Raises pydantic's ValidationError when the spec is
    unusable, ValueError when another job runs in `workdir`.

    After its launcher was killed, and after its own death, launching it again goes on with what there is.
    """
    spec = given if isinstance(given, ProgramSpec) else JobSpec.model_validate(given)
    workdir.mkdir(parents=True, exist_ok=True)
    output = Folder(spec.output)
    spec_file = workdir / _SPEC
    body = spec.model_dump_json()
    if spec_file.exists() and spec_file.read_text() == body:
        process = _remembered(workdir)
        if process is not None:
            return Handle(output, workdir, process)
        last = Progress.read(output)
        if last and last.state is State.SUCCEEDED and output.read_json(_SUCCESS):
            return Handle(output, workdir, None)
    elif (running := _remembered(workdir)) is not None:
        raise ValueError(f"another job runs in {workdir} as process {running.pid}: cancel it first")
    _end_group(workdir)
    _replace(spec_file, body)
    Progress(State.RUNNING, "start").write(output)
    address = str(spec_file)
    if ray_address:
        # The cluster reads it from where it writes.
        output.write_json(_SPEC, json.loads(body))
        address = f"{spec.output}/{_SPEC}"
    command = ["scoring.jobs.submit", "--program", program] if ray_address else [program]
    process = _start([*command, "--spec", address], workdir / LOG, _environment(ray_address))
    _replace(workdir / _PROCESS, json.dumps({"pid": process.pid, "create_time": process.create_time()}))
    return Handle(output, workdir, process)


def stop(output: str, workdir: Path) -> None:
    """Stops what was launched in `workdir` with that output folder and still runs, if anything: its launcher may be
    dead.
    """
    process = _remembered(workdir)
    if process is not None:
        Handle(Folder(output), workdir, process).cancel()


def _start(program: list[str], log: Path, environment: dict[str, str]) -> psutil.Process:
    """Starts a module, in a session of its own: it outlives its launcher, and is stopped as a whole."""
    with open(log, "wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", *program],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment,
            start_new_session=True,
        )
    return psutil.Process(child.pid)


def _environment(ray_address: str | None) -> dict[str, str]:
    """The launcher's, without the platform's secrets: a job needs its files only."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_") and name != "RAY_ADDRESS"
    }
    return {**kept, **ONE_THREAD, **({"RAY_ADDRESS": ray_address} if ray_address else {})}


def _remembered(workdir: Path) -> psutil.Process | None:
    """The process of an earlier launch, if it still runs; pids are used again, times of creation tell them apart."""
    try:
        noted = json.loads((workdir / _PROCESS).read_text())
        process = psutil.Process(noted["pid"])
        same = abs(process.create_time() - noted["create_time"]) < 0.01
    except (FileNotFoundError, json.JSONDecodeError, psutil.NoSuchProcess):
        # Nothing of it is synced to disk: after a crash of the machine it may be empty, and no process is left.
        return None
    return process if same and _alive(process) else None


def _alive(process: psutil.Process) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            try:
                # Our own child, unless its launcher was another one. 0: some of its threads are still ending.
                return os.waitpid(process.pid, os.WNOHANG)[0] == 0
            except ChildProcessError:
                return False
    except psutil.NoSuchProcess:
        return False
    return bool(process.is_running())


def _wait_gone(process: psutil.Process, seconds: float) -> None:
    end = time.monotonic() + seconds
    while _alive(process) and time.monotonic() < end:
        time.sleep(0.02)


def _end_group(workdir: Path) -> None:
    """Kills what is left of the noted process's group, such as agents of a Ray whose job was killed."""
    try:
        noted = json.loads((workdir / _PROCESS).read_text())
        leader = psutil.Process(noted["pid"]).create_time()
    except (FileNotFoundError, json.JSONDecodeError):
        return
    except psutil.NoSuchProcess:
        leader = noted["create_time"]
    if abs(leader - noted["create_time"]) > _CLOCK_S:
        # The pid is another process's by now, and so is the group.
        return
    for process in psutil.process_iter(["create_time"]):
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if process.info["create_time"] >= noted["create_time"] - 0.01 and os.getpgid(process.pid) == noted["pid"]:
                process.kill()


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}~")
    partial.write_text(text)
    os.replace(partial, path)


def _last_line(log: Path) -> str:
    """The end of what it printed, which names the kind of failure; jobs print no personal data."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return f" ({lines[-1][:200]})" if lines else ""
