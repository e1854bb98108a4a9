"""Measures a function in a process of its own: time and memory of nothing but itself.

`python -m scoring.benchmarks.children MODULE FUNCTION ARGUMENT ...` is the child.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from scoring.jobs.executor import ONE_THREAD


@dataclass(frozen=True)
class Measured:
    """What a call took, without the loading of libraries at the top of its module."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    """Of the whole process, libraries and interpreter too."""
    result: Any
    """What the function returned, as JSON holds it."""


def measured(function: Callable[..., Any], *arguments: object, one_thread: bool = False) -> Measured:
    """Calls a module's function in a new process. Raises RuntimeError, with what it said, when it fails.

    arguments: what `str` turns into text that the function understands. one_thread: how the product's own processes
    are started; peers take the threads they want.
    """
    print(f"  {function.__module__.rpartition('.')[2]}.{function.__name__} ...", file=sys.stderr, flush=True)  # noqa: T201 - how far it is
    done = subprocess.run(
        [sys.executable, "-m", __name__, function.__module__, function.__name__, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(ONE_THREAD if one_thread else {})},
    )
    if done.returncode:
        raise RuntimeError(f"{function.__module__}.{function.__name__} failed with {done.returncode}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def fastest(*rounds: Measured) -> Measured:
    """The round of least CPU time: what the kernel still writes for whatever came before is in the first one."""
    return min(rounds, key=lambda one: one.cpu_seconds)


def main() -> None:
    """The child: prints one JSON object."""
    module, name, *arguments = sys.argv[1:]
    function = getattr(import_module(module), name)
    wall, cpu = time.perf_counter(), time.process_time()
    result = function(*arguments)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    told = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": _peak_mb(), "result": result}
    print(json.dumps(told), flush=True)  # noqa: T201 - a program's output


def _peak_mb() -> float:
    """Most memory this program ever held; `ru_maxrss` would tell its parent's if that held more as it started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
