"""One seam: the same task functions run in this process or on Ray."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil

from scoring.jobs.memory import check_nodes

OWN_ADDRESS = "127.0.0.2"
"""Ray turns 127.0.0.1 into the machine's outer address; any other loopback address it keeps."""
OBJECT_STORE_BYTES = 200_000_000
TASK_CPUS = 0.9
"""Less than one: tasks that take every CPU leave nothing for Ray's own work and hang for good (ray#44687)."""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""Parallelism is over tasks; libraries that start threads of their own would fight over the same CPUs, and threads with
memory of their own keep it. Columns of some megabytes come and go: to get each from the system anew costs a tenth of a
task's time."""

ONE_OF_RAY = "SCORING_ONE_TASK_OF_RAY"
"""Variable of a program that is one task of a cluster as a whole, computing in one thread."""

_SCRATCH = "rapport-ray-"
_LONGEST_ROOT = 12
_ATTEMPTS = 3

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


class Executor(Protocol):
    """Runs a function on each of many arguments."""

    @property
    def width(self) -> int:
        """How many tasks run at a time on one machine."""

    @property
    def place(self) -> str:
        """Where tasks run, in words."""

    def run(
        self, task: Callable[[ArgumentT], ResultT], arguments: Sequence[ArgumentT], finished: Callable[[ResultT], None]
    ) -> list[ResultT]:
        """Results in the order of `arguments`; `finished` hears of each as it comes, in any order.

        The first failure is raised and the tasks not begun are dropped.
        """


class InProcess:
    """Tasks in threads of this process: what they do is done by libraries that let other threads run meanwhile."""

    def __init__(self, width: int = 1) -> None:
        self.width = width

    @property
    def place(self) -> str:
        """See `Executor`."""
        where = "on Ray" if os.environ.get(ONE_OF_RAY) else "in this process"
        return f"{where}, {_counted(self.width, 'thread')}"

    def run(
        self, task: Callable[[ArgumentT], ResultT], arguments: Sequence[ArgumentT], finished: Callable[[ResultT], None]
    ) -> list[ResultT]:
        """See `Executor`."""
        if self.width == 1:
            results = []
            for argument in arguments:
                results.append(task(argument))
                finished(results[-1])
            return results
        with ThreadPoolExecutor(self.width) as threads:
            futures = [threads.submit(task, argument) for argument in arguments]
            try:
                for future in as_completed(futures):
                    finished(future.result())
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
        return [future.result() for future in futures]


def cpus() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class OnRay:
    """Tasks on the Ray this process is connected to."""

    def __init__(self, nodes: Sequence[float], task_bytes: int = 0) -> None:
        """nodes: CPUs of each. task_bytes: a node runs no more tasks at a time than have so much memory each."""
        self.width = max(1, int(max(nodes) / TASK_CPUS))
        self._nodes, self._task_bytes = nodes, task_bytes

    @property
    def place(self) -> str:
        """See `Executor`."""
        on = "" if len(self._nodes) == 1 else f"{len(self._nodes)} nodes, "
        return f"on Ray, {on}{_counted(int(sum(self._nodes)), 'CPU')}"

    def run(
        self, task: Callable[[ArgumentT], ResultT], arguments: Sequence[ArgumentT], finished: Callable[[ResultT], None]
    ) -> list[ResultT]:
        """See `Executor`. A task whose worker died is tried again by Ray: tasks write whole files or nothing."""
        import ray

        remote: Any = ray.remote(num_cpus=TASK_CPUS, memory=self._task_bytes, max_retries=3)(task)
        places: dict[Any, int] = {remote.remote(argument): place for place, argument in enumerate(arguments)}
        results: dict[int, ResultT] = {}
        pending = list(places)
        try:
            while pending:
                ready, pending = ray.wait(pending, num_returns=1)
                result = ray.get(ready[0])
                results[places[ready[0]]] = result
                finished(result)
        except ray.exceptions.RayTaskError as error:
            # The task's own exception, which names what is wrong with the data, rather than Ray's wrapping.
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)
        return [results[place] for place in range(len(arguments))]


def chosen(
    wanted: str, rows: int, ray_from: int, width: Callable[[], int], task_bytes: int = 0
) -> AbstractContextManager[Executor]:
    """The executor a job is told: `in_process`, `ray`, or `auto`, which is Ray where there is a cluster (RAY_ADDRESS)
    or from so many rows on. width: how many tasks at a time in this process. task_bytes: what the largest task needs.

    Entering it raises TooLargeError where no node of a Ray has so much memory for tasks.
    """
    if wanted == "auto":
        wanted = "ray" if os.environ.get("RAY_ADDRESS") or rows >= ray_from else "in_process"
    return on_ray(task_bytes) if wanted == "ray" else nullcontext[Executor](InProcess(width()))


@contextmanager
def on_ray(task_bytes: int = 0) -> Iterator[OnRay]:
    """The cluster named by RAY_ADDRESS, or a Ray of this process's own on loopback, gone when the block ends."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if os.environ.get("RAY_ADDRESS"):
        with _connected({}, task_bytes) as executor:
            yield executor
        return
    # A token of its own: Ray would take any that lies in the home folder, and refuse everybody without one.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = _token()
    _remove_left_behind()
    prefix = f"{_SCRATCH}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=_scratch_root(), ignore_cleanup_errors=True) as scratch:
        options = {
            "address": "local",
            "_node_ip_address": OWN_ADDRESS,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": scratch,
        }
        with _connected(options, task_bytes) as executor:
            yield executor


@cache
def _token() -> str:
    """The same for all that this process starts, one after the other: Ray keeps the first it reads."""
    return secrets.token_hex(32)


def _scratch_root() -> Path:
    """Where Ray's own files go: the folder for temporary files, unless its name leaves too little of the 107 bytes that
    a path of a socket may have.
    """
    wanted = Path(tempfile.gettempdir())
    return wanted if len(str(wanted)) <= _LONGEST_ROOT else Path("/tmp")


def _remove_left_behind() -> None:
    """Deletes what Rays of killed jobs left in the folder for temporary files."""
    for folder in _scratch_root().glob(f"{_SCRATCH}*"):
        owner = folder.name.removeprefix(_SCRATCH).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _connected(options: dict[str, Any], task_bytes: int) -> Iterator[OnRay]:
    # Here, not above: Ray reads its environment when it is imported, and only jobs may load it.
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            ray.init(log_to_driver=False, configure_logging=False, **options)
            break
        except Exception:
            # Ray gives a node 30 seconds to start, which a busy machine may miss.
            ray.shutdown()
            if not attempts_left:
                raise
    # Ray puts a handler of its own there, which leaves without a word.
    signal.signal(signal.SIGTERM, handler)
    try:
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        # A head may have no CPUs for tasks.
        able = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
        check_nodes(task_bytes, [resources.get("memory", 0.0) for resources in able])
        yield OnRay([resources["CPU"] for resources in able] or [1.0], task_bytes)
    finally:
        ray.shutdown()
