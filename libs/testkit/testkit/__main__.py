"""Runs the tests of the workspace: `python -m testkit [PACKAGE ...]`, such as `python -m testkit libs/docstore`.

MongoDB and RabbitMQ are started once (unless MONGODB_URI and AMQP_URI name running ones); each package is then
tested in a process of its own, two at a time, because services must not share a process. Prints each package's result
as it ends, the output of those that failed, and a closing line `N passed, N failed`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from testkit.servers import running_broker, running_mongodb

# Those that take longest go first; the last group runs alone, for it starts a whole platform.
TOGETHER = (
    "libs/eventing",
    "services/identity",
    "services/consent",
    "services/campaigns",
    "services/scoring",
    "services/ticketing",
    "services/sales",
    "libs/docstore",
    "services/gateway",
    "services/access",
    "libs/localrun",
    "charts",
    "libs/chassis",
    "libs/testkit",
    "libs/contracts",
)
ALONE = ("e2e",)


@dataclass(frozen=True)
class Result:
    """How the tests of one package went; `code` is pytest's exit code."""

    package: str
    code: int
    passed: int
    failed: int
    seconds: float
    output: str


def run(package: str, scratch: Path, options: Sequence[str]) -> Result:
    """Tests one package in a process of its own."""
    report = scratch / f"{package.replace('/', '-')}.xml"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", package, "-q", f"--junitxml={report}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    passed = failed = 0
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            bad = sum(int(suite.get(kind, 0)) for kind in ("failures", "errors", "skipped"))
            failed += bad
            passed += int(suite.get("tests", 0)) - bad
    # A package whose run broke, or that has no tests at all, counts as one failure.
    if done.returncode != 0 and failed == 0:
        failed = 1
    return Result(package, done.returncode, passed, failed, time.monotonic() - start, done.stdout)


def main() -> int:
    """Returns 0 when every test passed."""
    parser = argparse.ArgumentParser(prog="python -m testkit", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("packages", nargs="*", help="folders to test; all of the workspace if none is named")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="packages tested at a time (2)")
    arguments, options = parser.parse_known_args()
    chosen = arguments.packages or [*TOGETHER, *ALONE]
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
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rapport-test-")))
        together = [package for package in chosen if package not in ALONE]
        if together:
            print("starting MongoDB and RabbitMQ ...", flush=True)
            os.environ["MONGODB_URI"] = stack.enter_context(running_mongodb(scratch / "mongodb"))
            broker = stack.enter_context(running_broker(scratch / "rabbitmq"))
            os.environ["AMQP_URI"] = broker.uri
            os.environ["RABBITMQ_MANAGEMENT_URI"] = broker.management_uri
            with ThreadPoolExecutor(arguments.jobs) as pool:
                for done in as_completed([pool.submit(run, package, scratch, options) for package in together]):
                    report(done.result())
    with tempfile.TemporaryDirectory(prefix="rapport-test-") as folder:
        for name in ("MONGODB_URI", "AMQP_URI", "RABBITMQ_MANAGEMENT_URI"):
            if together:
                os.environ.pop(name, None)
        for package in chosen:
            if package in ALONE:
                report(run(package, Path(folder), options))
    passed, failed = sum(result.passed for result in results), sum(result.failed for result in results)
    print(f"took {time.monotonic() - start:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
