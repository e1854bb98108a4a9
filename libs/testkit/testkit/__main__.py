"""Runs the tests of the workspace: `python -m testkit [PACKAGE ...]`, such as `python -m testkit libs/docstore`.

MongoDB and RabbitMQ are started once (unless MONGODB_URI and AMQP_URI name running ones); each package is then
tested in a process of its own, because services must not share a process, and several at a time, because tests of
processes mostly wait. Prints each result as it ends, the output of those that failed, and a closing line
`N passed, N failed`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from testkit.servers import running_broker, running_mongodb

TOGETHER = (
    "e2e",
    "services/scoring",
    "libs/eventing",
    "services/campaigns",
    "services/gateway",
    "libs/localrun",
    "services/consent",
    "services/ticketing",
    "services/sales",
    "libs/docstore",
    "services/identity",
    "services/access",
    "charts",
    "libs/chassis",
    "libs/scaffold",
    "libs/testkit",
    "libs/textmodel",
    "libs/sentiment",
    "libs/contracts",
)
"""All packages, those that take longest first."""
APART = (
    "e2e/searches",
    "libs/eventing/tests/test_outages.py",
    "services/scoring/tests/integration/jobs",
    "services/scoring/tests/unit",
    "libs/eventing/tests/test_erasing.py",
)
"""Parts of packages that are tested beside the rest of their package, which would be the last to end otherwise."""
PER_CORE = 2
_PLATFORM = "e2e"
_ERROR = re.compile(r'"level": ?"(ERROR|CRITICAL)"', re.IGNORECASE)
_ERRORS_TOLD = 50
_LANES_OF_A_PLATFORM = 2
"""Tests of e2e start a platform each: as much work as two other packages."""
_IN_MEMORY = Path("/dev/shm")
"""Files there (tmpfs) outlive their processes, so killed servers find what they wrote; only the machine loses them."""
_ROOM = 6 * 2**30
"""Bytes that the files of all packages at a time stay well below."""


@dataclass(frozen=True)
class Result:
    """How the tests of a package, or of a part of it, went; `code` is pytest's exit code."""

    package: str
    code: int
    passed: int
    failed: int
    seconds: float
    output: str


def with_parts(packages: Sequence[str]) -> list[str]:
    """The packages, and behind each its parts that are tested apart."""
    return [each for package in packages for each in (package, *_parts_of(package))]


def _parts_of(package: str) -> list[str]:
    return [part for part in APART if part.startswith(f"{package.rstrip('/')}/")]


def _starts_platform(package: str) -> bool:
    return package.partition("/")[0] == _PLATFORM


def lanes_of(package: str, lanes: int) -> int:
    """How many of the lanes its tests take."""
    return min(lanes, _LANES_OF_A_PLATFORM if _starts_platform(package) else 1)


def side_by_side(packages: Sequence[str], lanes: int, test: Callable[[str], Result]) -> Iterator[Result]:
    """Tests packages in their order, each as soon as it finds its lanes free, and yields results as they come."""
    waiting, running = list(packages), dict[Future[Result], int]()
    with ThreadPoolExecutor(lanes) as pool:
        while waiting or running:
            for package in list(waiting):
                if sum(running.values()) + lanes_of(package, lanes) <= lanes:
                    waiting.remove(package)
                    running[pool.submit(test, package)] = lanes_of(package, lanes)
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                del running[done]
                yield done.result()


def scratch_folder(in_memory: Path = _IN_MEMORY, room: int = _ROOM) -> Path | None:
    """Where the files of tests go: to memory if it has twice the room, else to the usual place (None).

    Half of what MongoDB does for a short-lived database is to wait for the disk: each index is a file of its own.
    """
    if not in_memory.is_dir():
        return None
    free = min(shutil.disk_usage(in_memory).free, psutil.virtual_memory().available)
    return in_memory if free >= 2 * room else None


def remove_left_behind(root: Path) -> None:
    """Deletes the files of runs that were killed: in memory they would stay until the machine starts anew."""
    for folder in root.glob("rapport-*-*"):
        runner = folder.name.split("-")[1]
        if runner.isdigit() and not psutil.pid_exists(int(runner)):
            shutil.rmtree(folder, ignore_errors=True)


def run(package: str, scratch: Path, options: Sequence[str], servers: Mapping[str, str]) -> Result:
    """Tests one package, without its parts that are tested apart, in a process of its own.

    servers: variables that name running ones, for packages that start no platform.
    """
    report = scratch / f"{package.replace('/', '-')}.xml"
    ignored = [f"--ignore={part}" for part in _parts_of(package)]
    # A short path: programs make sockets below it, whose paths may have 107 characters.
    folder = tempfile.mkdtemp(prefix="", dir=scratch)
    start = time.monotonic()
    files = (f"--junitxml={report}", f"--basetemp={folder}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", package, *ignored, "-q", *files, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(os.environ) if _starts_platform(package) else os.environ | servers,
    )
    passed = failed = 0
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            bad = sum(int(suite.get(kind, 0)) for kind in ("failures", "errors", "skipped"))
            failed += bad
            passed += int(suite.get("tests", 0)) - bad
    output = done.stdout
    if done.returncode:
        output += "".join(f"logged: {line}\n" for line in errors_logged(Path(folder)))
    # None of a part's tests may be chosen by `-k`.
    code = 0 if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and package in APART else done.returncode
    # A package whose run broke, or that has no tests at all, counts as one failure.
    if code != 0 and failed == 0:
        failed = 1
    return Result(package, code, passed, failed, time.monotonic() - start, output)


def errors_logged(folder: Path) -> list[str]:
    """The last 50 lines at most of the logs below a folder that tell of errors: their files go with the run."""
    found: list[str] = []
    for log in sorted(folder.rglob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        found += [f"{log.name}: {line[:4000]}" for line in lines if _ERROR.search(line)]
    return found[-_ERRORS_TOLD:]


def main() -> int:
    """Returns 0 when every test passed."""
    parser = argparse.ArgumentParser(prog="python -m testkit", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("packages", nargs="*", help="folders to test; all of the workspace if none is named")
    jobs = PER_CORE * (os.cpu_count() or 1)
    parser.add_argument("-j", "--jobs", type=int, default=jobs, help=f"packages tested at a time ({PER_CORE} a core)")
    arguments, options = parser.parse_known_args()
    chosen = with_parts(arguments.packages or TOGETHER)
    start = time.monotonic()
    results: list[Result] = []

    def report(result: Result) -> None:
        results.append(result)
        state = "passed" if result.code == 0 and not result.failed else "FAILED"
        print(
            f"[{len(results)}/{len(chosen)}] {result.package}: {state}, {result.passed} passed, "
            f"{result.failed} failed, {result.seconds:.0f} s",
            flush=True,
        )
        if state == "FAILED":
            print(result.output, flush=True)

    with ExitStack() as stack:
        remove_left_behind(_IN_MEMORY)
        prefix = f"rapport-{os.getpid()}-"
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=scratch_folder())))
        servers: dict[str, str] = {}
        if not all(map(_starts_platform, chosen)):
            print("starting MongoDB and RabbitMQ ...", flush=True)
            servers["MONGODB_URI"] = stack.enter_context(running_mongodb(scratch / "mongodb"))
            broker = stack.enter_context(running_broker(scratch / "rabbitmq"))
            servers |= {"AMQP_URI": broker.uri, "RABBITMQ_MANAGEMENT_URI": broker.management_uri}
        for done in side_by_side(chosen, arguments.jobs, lambda package: run(package, scratch, options, servers)):
            report(done)
    passed, failed = sum(result.passed for result in results), sum(result.failed for result in results)
    print(f"took {time.monotonic() - start:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
