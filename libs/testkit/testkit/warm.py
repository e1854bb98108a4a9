"""Processes that need not import first: forked from one that has, as `python -m` would start them.

Importing is most of a role's start, and tests start many. Each service has a `Template` of its own, which imports what
is asked for once; one more for its role `work`, which must be patched before anything else is imported. Programs start
cold where the platform is started as a whole (localrun), and wherever a test starts them itself.
"""

import atexit
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import wrapt

from chassis import lifecycle
from testkit import failpoints

STARTER = "WARM_STARTER"
"""Variable of processes started here, "module:function#address": they start programs by that `Starter` instead."""
_PATCHED = "work"
_FAILPOINT = Path(failpoints.__file__).with_name("sitecustomize.py")


class Forked:
    """As much of `subprocess.Popen` as tests need, of a process that is a child of its template."""

    def __init__(self, process: psutil.Process, address: str) -> None:
        self._process = process
        self._address = address

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        with _asking(self._address) as ask:
            code: int | None = ask({"code": self.pid})
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises psutil.TimeoutExpired."""
        self._process.wait(timeout)
        # It is gone when its template has noted how it ended.
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Nothing if it has ended."""
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True)
class Starter:
    """Has the template at `address` start programs; may be used in any process."""

    address: str

    def __call__(self, program: list[str], log: Path, environment: dict[str, str]) -> psutil.Process:
        """Starts `python -m *program` in a session of its own with just this environment; output is added to `log`."""
        log.touch()
        with _asking(self.address) as ask:
            process = psutil.Process(ask({"program": program, "log": str(log), "environment": environment}))
            # Until it was known as a process it could not end.
            ask("go")
        return process


def start(program: list[str], log: Path, environment: dict[str, str]) -> Forked:
    """Starts a program of a service by a template of this process."""
    address = template(program[0].partition(".")[0], patched=program[1:2] == [_PATCHED])
    return Forked(Starter(address)(program, log, environment), address)


_templates: dict[tuple[str, bool], str] = {}


def template(service: str, *, patched: bool = False) -> str:
    """Address of the template of a service, which is started when it is first asked for and ends with this process.

    patched: for its role `work`.
    """
    if (service, patched) not in _templates:
        folder = tempfile.mkdtemp(prefix="warm-")
        address = f"{folder}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(64)
            process = subprocess.Popen(
                [sys.executable, "-m", "testkit.warm", str(listener.fileno()), *(["patched"] if patched else [])],
                stdin=subprocess.PIPE,
                env=_without_failpoint(),
                pass_fds=[listener.fileno()],
            )
        atexit.register(_end, process, folder)
        _templates[service, patched] = address
    return _templates[service, patched]


def _without_failpoint() -> dict[str, str]:
    """This process's environment; a failpoint that is armed is for what is forked."""
    environment = {name: value for name, value in os.environ.items() if name not in ("FAILPOINT", STARTER)}
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    return environment | {"PYTHONPATH": os.pathsep.join(path for path in paths if path != str(_FAILPOINT.parent))}


def _end(process: "subprocess.Popen[bytes]", folder: str) -> None:
    process.communicate()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _asking(address: str) -> Iterator[Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        with connection.makefile("rw") as stream:

            def ask(what: object) -> Any:
                stream.write(json.dumps(what) + "\n")
                stream.flush()
                return json.loads(stream.readline())

            yield ask


def _serve(listening: int, *, patched: bool) -> None:
    """Forks what is asked for until the process that started this one has ended."""
    sockets: Any = socket
    waiting: Any = select
    if patched:
        importlib.import_module("eventing.patched")
        from eventlet import patcher

        sockets, waiting = patcher.original("socket"), patcher.original("select")
    codes: dict[int | None, int] = {}

    def reap(_number: int, _frame: object) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                codes[ended[0]] = os.waitstatus_to_exitcode(ended[1])

    signal.signal(signal.SIGCHLD, reap)
    # Ctrl-C is for who started this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    loaded: set[str] = set()
    listener = sockets.socket(fileno=listening)
    while sys.stdin.fileno() not in waiting.select([listener, sys.stdin.fileno()], [], [])[0]:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as stream:
            if not (line := stream.readline()):
                continue
            asked = json.loads(line)
            if "code" in asked:
                answer = codes.get(asked["code"])
            else:
                if asked["program"][0] not in loaded:
                    _load(asked["program"][0], patched=patched)
                    loaded.add(asked["program"][0])
                held, release = os.pipe()
                if (answer := os.fork()) == 0:
                    os.close(release)
                    os.read(held, 1)
                    os.close(held)
                    connection.close()
                    listener.close()
                    _become(asked["program"], asked["log"], asked["environment"], patched=patched)
                os.close(held)
            stream.write(json.dumps(answer) + "\n")
            stream.flush()
            if "program" in asked:
                codes.pop(answer, None)
                stream.readline()
                os.close(release)
                stream.write("null\n")


def _load(name: str, *, patched: bool) -> None:
    """Imports what a service's roles, or a program of it, need. What cannot be imported fails when it is started."""
    with suppress(Exception):
        if (spec := importlib.util.find_spec(name)) and spec.submodule_search_locations is not None:
            _load_roles(name, patched=patched)
        else:
            importlib.import_module(name)
            # As `python -m` finds it: not loaded yet.
            del sys.modules[name]
    gc.freeze()


def _load_roles(service: str, *, patched: bool) -> None:
    references: list[str] = []

    def note(_service: str, settings: str, roles: dict[str, str]) -> None:
        references.extend([settings, *(each for role, each in roles.items() if (role == _PATCHED) is patched)])

    run_role, lifecycle.run_role = lifecycle.run_role, note  # type: ignore[assignment]
    try:
        runpy.run_module(service, run_name="__main__")
    finally:
        lifecycle.run_role = run_role
    for reference in [*references, "chassis.telemetry:", *([f"{service}.handlers:"] if patched else [])]:
        importlib.import_module(reference.partition(":")[0])


def _become(program: list[str], log: str, environment: dict[str, str], *, patched: bool) -> None:
    """What a start sees to of a process: session, streams, environment. Does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    with open(os.devnull, "rb") as nothing, open(log, "ab") as file:
        for stream, opened in ((0, nothing), (1, file), (2, file)):
            os.dup2(opened.fileno(), stream)
    if patched:
        from eventlet import hubs

        hubs.use_hub()  # the template's waits on files it would share
    starter = environment.pop(STARTER, "")
    os.environ.clear()
    os.environ.update(environment)
    if "FAILPOINT" in environment:
        spec = importlib.util.spec_from_file_location("failpoint", _FAILPOINT)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    if starter:
        function, _, address = starter.partition("#")
        module, _, name = function.partition(":")
        # As soon as it is there: most roles start nothing.
        wrapt.register_post_import_hook(lambda there: setattr(there, name, Starter(address)), module)
    gc.enable()
    sys.argv = program
    runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), patched=sys.argv[2:] == ["patched"])
