"""Failpoints: a process under test dies, or waits, at a known call of a function instead of at a lucky moment.

    with failpoint("scoring.usecases.storing:_store_chunk", call=2) as there:      # the fixture
        process = runner().start()              # has it, and whatever it starts in turn
    there.wait()                                # killed; or, with action="pause", waiting until `there.release()`

The code under test knows nothing of it: while a failpoint is armed, processes load this folder's `sitecustomize.py`
as they start, which wraps the function. Processes of `testkit.warm` have imported by then: name a function that is
called by its module or class, none that others took the name of.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from testkit.waiting import eventually

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Failpoint:
    """One that was armed. `reached` exists from when a process comes to the call until it is released."""

    description: str
    reached: Path

    def wait(self, timeout: float = 60.0) -> None:
        """Returns once a process is there."""
        eventually(self.reached.exists, timeout, f"a process comes to {self.description}")

    def release(self) -> None:
        """Lets the paused process go on."""
        self.reached.unlink()


@contextmanager
def armed(
    function: str, reached: Path, *, call: int = 1, action: Literal["kill", "pause"] = "kill"
) -> Iterator[Failpoint]:
    """Processes started within die by SIGKILL, or wait, instead of making the `call`th call of a function.

    function: "module:name" or "module:Class.method". call: counted from 1 in each process.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(_FOLDER), prepend=os.pathsep)
        environment.setenv("FAILPOINT", f"{action}#{call}#{function}#{reached}")
        yield Failpoint(f"call {call} of {function}", reached)
