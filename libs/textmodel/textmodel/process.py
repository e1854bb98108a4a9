"""Learning in a process of its own (`python -m textmodel`): it takes minutes of a processor and much memory.

The process gets the lessons on its standard input and answers on its standard output, so that no text lies in a file;
it is nice to others, and what it may say of a failure holds no text.
"""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

_LOOK_S = 1.0
_MOST_S = 3600.0
"""Longer than any learning takes, even beside much else."""
_WITHOUT = "RAPPORT_"
"""Variables of the parent that the process does not get: it needs no database, and no key."""


class LearningError(Exception):
    """The process did not answer; tells how it ended, and where it failed."""


@dataclass(frozen=True)
class Lesson:
    """A text, what it is about, who wrote it (equal for texts of one person), and its cues (`terms.CuedText`).

    baseline: its label without any model (`challenge.Lessons`), of all lessons or of none.
    """

    text: str
    label: str
    author: int
    cues: tuple[str, ...] = ()
    baseline: str | None = None


@dataclass(frozen=True)
class Learned:
    """What came of learning; see `challenge.Outcome`. reached_precision: None when nothing was answered."""

    artefact: bytes | None
    labels: dict[str, int]
    held_out_texts: int
    accuracy: float
    coverage: float
    reached_precision: float | None
    calibration_error: float
    threshold: float
    messages: tuple[str, ...]
    baseline_accuracy: float | None = None


def baseline_of(lessons: Sequence[Lesson]) -> list[str] | None:
    """The labels without any model; None where there is nothing that tells them."""
    told = [each.baseline for each in lessons if each.baseline is not None]
    return told if len(told) == len(lessons) else None


def learn_apart(
    lessons: Sequence[Lesson], in_place: bytes | None, *, precision: float, going_on: Callable[[], bool]
) -> Learned | None:
    """Learns from lessons, the oldest first, in a process of its own.

    in_place: the artefact of the model in use. going_on: asked every second; once it says no, the process is ended
    and None returned. Raises LearningError.
    """
    given = {
        "texts": [each.text for each in lessons],
        "cues": [each.cues for each in lessons],
        "labels": [each.label for each in lessons],
        "authors": [each.author for each in lessons],
        "baseline": baseline_of(lessons),
        "in_place": base64.b64encode(in_place).decode() if in_place is not None else None,
        "precision": precision,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_WITHOUT)}
    # One core at most, whatever the machine has.
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "textmodel"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        answer, problem = _answered(process, json.dumps(given).encode(), going_on)
    if answer is None:
        return None
    if process.returncode:
        raise LearningError(f"ended with {process.returncode}: {problem.decode(errors='replace').strip()[-500:]}")
    found: dict[str, Any] = json.loads(answer)
    artefact = found.pop("artefact")
    return Learned(
        artefact=base64.b64decode(artefact) if artefact is not None else None,
        messages=tuple(found.pop("messages")),
        **found,
    )


def _answered(
    process: "subprocess.Popen[bytes]", given: bytes, going_on: Callable[[], bool]
) -> tuple[bytes | None, bytes]:
    # In a thread: `communicate` does not go on writing where a call of it that timed out had to stop.
    stdin, process.stdin = process.stdin, None
    assert stdin is not None
    feeding = threading.Thread(target=_feed, args=(stdin, given), name="lessons")
    feeding.start()
    until = time.monotonic() + _MOST_S
    try:
        while True:
            try:
                return process.communicate(timeout=_LOOK_S)
            except subprocess.TimeoutExpired:
                if not going_on():
                    return None, b""
                if time.monotonic() > until:
                    raise LearningError(f"did not end within {_MOST_S:g} s") from None
    finally:
        process.kill()
        feeding.join()


def _feed(stdin: IO[bytes], given: bytes) -> None:
    # A process that has ended tells why by its code.
    with suppress(BrokenPipeError), stdin:
        stdin.write(given)
