"""Job programs as processes that need not load libraries first: forked from one that has.

Loading takes longer than the jobs of tests do. A program starts cold where starting is what is tested: unless a test
asks for warm ones, in `jobs/`, and always from the role `run` as a process.
"""

import importlib
import importlib.util
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from scoring.jobs.executor import ONE_THREAD
from testkit import failpoints

FAILPOINT = Path(failpoints.__file__).with_name("sitecustomize.py")


class Starter:
    """Starts programs; takes the place of `scoring.jobs.launch._start`."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        self._asks, self._answers = server.stdin, server.stdout
        self._lock = threading.Lock()

    def __call__(self, program: list[str], log: Path, environment: dict[str, str]) -> psutil.Process:
        with self._lock:
            print(json.dumps([program, str(log), environment]), file=self._asks, flush=True)
            process = psutil.Process(int(self._answers.readline()))
            print("go", file=self._asks, flush=True)
        return process


@contextmanager
def running() -> Iterator[Starter]:
    """What they are forked from, and ends with the block."""
    command = [sys.executable, "-P", __file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}
    ) as server:
        yield Starter(server)


def _serve() -> None:
    loaded: set[str] = set()
    signal.signal(signal.SIGCHLD, _forget)
    while line := sys.stdin.readline():
        program, log, environment = json.loads(line)
        if program[0] not in loaded:
            importlib.import_module(program[0])
            # As `python -m` finds it: not loaded yet.
            del sys.modules[program[0]]
            loaded.add(program[0])
        held, release = os.pipe()
        if (child := os.fork()) == 0:
            os.close(release)
            os.read(held, 1)
            _become(program, log, environment)
        print(child, flush=True)  # noqa: T201 - the answer
        # Until it is known as a process it must not end.
        sys.stdin.readline()
        os.close(held)
        os.close(release)


def _forget(_number: int, _frame: object) -> None:
    """Who has ended is asked for, as a launcher does."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        pass


def _become(program: list[str], log: str, environment: dict[str, str]) -> None:
    """What `launch._start` sees to of a process: session, streams, environment. Does not return."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        with open(os.devnull, "rb") as nothing, open(log, "wb") as file:
            for stream, opened in ((0, nothing), (1, file), (2, file)):
                os.dup2(opened.fileno(), stream)
        os.environ.clear()
        os.environ.update(environment)
        if "FAILPOINT" in environment:
            spec = importlib.util.spec_from_file_location("failpoint", FAILPOINT)
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        sys.argv = program
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    except SystemExit as ends:
        code = ends.code if isinstance(ends.code, int) else 1
    except BaseException:  # noqa: BLE001 - told as Python would as it ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
