"""Measures the models: `python -m scoring.benchmarks [--data DIR] [--check] [TASK ...]`; one JSON object a line.

Each task is a module of this package with `measure(data) -> Iterator[Line]` and `MARKS`, what its lines must reach.
Data that are not there are named on standard error and leave their lines out; everything else that goes wrong ends the
command with an error. `--check` ends with a table on standard error: which marks are met, which missed.
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scoring.benchmarks.datasets import DataFolder, MissingData
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Check
from scoring.benchmarks.waiting import telling

TASKS = (
    "clv",
    "churn",
    "response",
    "rfm",
    "clustering",
    "baskets",
    "offers",
    "uplift",
    "send_time",
    "anomaly",
    "text",
)


def main() -> int:
    """Returns 0 when every task ran whose data are there, 1 when there were none at all or a mark is missed."""
    parser = argparse.ArgumentParser(prog="python -m scoring.benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("--check", action="store_true", help="compare with the marks; 1 if one is missed")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"some of {', '.join(TASKS)}; all if not given")
    arguments = parser.parse_args()
    for unknown in set(arguments.tasks) - set(TASKS):
        parser.error(f"there is no task {unknown!r}: the tasks are {', '.join(TASKS)}")
    check = Check()
    measured = sum([_measured(task, DataFolder(arguments.data), check) for task in arguments.tasks or TASKS])
    if arguments.check:
        print(check.table(), file=sys.stderr, flush=True)
    return 1 if not measured or (arguments.check and check.missed) else 0


def _measured(task: str, data: DataFolder, check: Check) -> int:
    """Prints the task's lines as they come, and judges them; how many there were."""
    began, lines = time.monotonic(), list[Line]()
    missing_data = False
    module = import_module(f"scoring.benchmarks.{task}")
    # As the product computes; threads that wait for each other in a loop crawl on a machine that others keep busy.
    with telling(task), threadpool_limits(1):
        try:
            for line in module.measure(data):
                print(line.json(), flush=True)
                lines.append(line)
        except MissingData as missing:
            missing_data = True
            print(f"{task}: {missing}", file=sys.stderr, flush=True)
    check.task(task, module.MARKS, lines, missing_data=missing_data)
    print(f"{task}: {len(lines)} lines in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return len(lines)


if __name__ == "__main__":
    sys.exit(main())
