"""Measures the models: `python -m scoring.benchmarks [--data DIR] [TASK ...]`; one JSON object a line.

Each task is a module of this package with `measure(data) -> Iterator[Line]`. Data that are not there are named on
standard error and leave their lines out; everything else that goes wrong ends the command with an error.
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from scoring.benchmarks.datasets import DataFolder, MissingData

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
    """Returns 0 when every task ran whose data are there, 1 when there were none at all."""
    parser = argparse.ArgumentParser(prog="python -m scoring.benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"some of {', '.join(TASKS)}; all if not given")
    arguments = parser.parse_args()
    for unknown in set(arguments.tasks) - set(TASKS):
        parser.error(f"there is no task {unknown!r}: the tasks are {', '.join(TASKS)}")
    measured = sum([_measured(task, DataFolder(arguments.data)) for task in arguments.tasks or TASKS])
    return 0 if measured else 1


def _measured(task: str, data: DataFolder) -> int:
    """Prints the task's lines as they come; how many there were."""
    print(f"{task} ...", file=sys.stderr, flush=True)
    began, count = time.monotonic(), 0
    try:
        for line in import_module(f"scoring.benchmarks.{task}").measure(data):
            print(line.json(), flush=True)
            count += 1
    except MissingData as missing:
        print(f"{task}: {missing}", file=sys.stderr, flush=True)
    print(f"{task}: {count} lines in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return count


if __name__ == "__main__":
    sys.exit(main())
