"""How far a job is: `progress.json` in its output folder, and a line on stderr for each step forward."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from scoring.jobs.files import Folder

FILE = "progress.json"
_LEAST_INTERVAL_S = 0.5
_ETA_FROM = 5.0


class State(StrEnum):
    """Of a job."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    state: State
    step: str = ""
    percent: float = 0.0
    rows: int = 0
    """Customers scored."""
    eta_s: float | None = None
    """Seconds until it is expected to end, when known."""
    message: str = ""

    @classmethod
    def read(cls, output: Folder) -> "Progress | None":
        """What the job last told; None if nothing yet."""
        try:
            found = output.read_json(FILE)
        except json.JSONDecodeError:
            # It is not synced to disk while the job runs: after a crash of the machine it may be empty.
            return None
        return cls(**{**found, "state": State(found["state"])}) if found else None

    def show(self) -> None:
        """Tell it in the terminal."""
        eta = "" if self.eta_s is None else f" eta={self.eta_s:.0f}s"
        text = f" {self.message}" if self.message else ""
        print(  # noqa: T201 - stderr is where a job tells how far it is
            f"{self.state} {self.step} {self.percent:.0f}% rows={self.rows}{eta}{text}", file=sys.stderr, flush=True
        )

    def write(self, output: Folder) -> None:
        """Tell it, atomically."""
        output.write_json(FILE, asdict(self), durable=self.state is not State.RUNNING)


STEPS = (("inspect", 5.0), ("divide", 45.0), ("summarise", 15.0), ("fit", 10.0), ("score", 25.0))
"""Of a job that scores."""


class Reporter:
    """Turns finished tasks into progress."""

    def __init__(self, output: Folder) -> None:
        self._output = output
        self._begun = time.monotonic()
        self._written = 0.0
        self._rows = 0
        self.place = ""
        """Where it computes, in words; the message while it runs."""
        self.steps: tuple[tuple[str, float], ...] = STEPS
        """Steps of the job and their shares of its time, in percent."""

    def done(self, step: str, finished: int, total: int, rows: int = 0) -> None:
        """So many of a step's tasks are finished, with `rows` customers scored by the last one."""
        self._rows += rows
        before = 0.0
        for name, share in self.steps:
            if name == step:
                percent = before + share * (finished / total if total else 1.0)
                break
            before += share
        now = time.monotonic()
        if finished < total and now - self._written < _LEAST_INTERVAL_S:
            return
        self._written = now
        eta = (now - self._begun) * (100 - percent) / percent if percent >= _ETA_FROM else None
        eta = None if eta is None else round(eta, 1)
        self._tell(Progress(State.RUNNING, step, round(percent, 1), self._rows, eta, self.place))

    def counter(self, step: str, total: int, rows: Callable[[Any], int] = lambda _: 0) -> Callable[[Any], None]:
        """What hears of a step's results as they come. rows: how many customers a result has scored."""
        finished = 0

        def count(result: Any) -> None:
            nonlocal finished
            finished += 1
            self.done(step, finished, total, rows(result))

        return count

    def end(self, state: State, message: str = "") -> None:
        """The job ended."""
        last = Progress.read(self._output)
        percent = 100.0 if state is State.SUCCEEDED else last.percent if last else 0.0
        step = "done" if state is State.SUCCEEDED else last.step if last else ""
        rows = self._rows if state is State.SUCCEEDED else last.rows if last else 0
        self._tell(Progress(state, step, percent, rows, 0.0 if state is State.SUCCEEDED else None, message))

    def _tell(self, progress: Progress) -> None:
        progress.write(self._output)
        progress.show()
