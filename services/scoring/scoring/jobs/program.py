"""What every job program is: told by a spec, stoppable, and leaving word of how it ended.

Exit codes: 0 done, 2 the spec or an input is unusable or too large (the message says how to mend it), 143 cancelled.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import ValidationError

from scoring.features.rates import RatesUnusableError
from scoring.jobs.executor import ONE_THREAD
from scoring.jobs.files import Folder, opened
from scoring.jobs.memory import TooLargeError
from scoring.jobs.progress import Reporter, State
from scoring.jobs.spec import ProgramSpec
from scoring.jobs.tasks import WORK, UnusableInputError

_UNUSABLE, _CANCELLED = 2, 143


SpecT = TypeVar("SpecT", bound=ProgramSpec)


class CancelledError(BaseException):
    """The job was asked to stop. No Exception: nothing on the way may take it for a failure."""


class UnusableError(Exception):
    """The job cannot succeed as it is; the text says why and how to mend it, without personal data."""


SUCCESS, MODEL = "_SUCCESS", "model.json"
"""Files of a job's output: what says that it is whole, and what the registry is told (`jobs.description`)."""


@contextmanager
def usable(what: str) -> Iterator[None]:
    """Makes an UnusableError of inputs that cannot be read or do not fit into the memory. what: they are, in words."""
    try:
        yield
    except (UnusableInputError, FileNotFoundError) as error:
        raise UnusableError(f"{what} cannot be used: {error}") from error
    except TooLargeError as error:
        raise UnusableError(str(error)) from error


@contextmanager
def tidied(output: Folder, *unusable: type[Exception]) -> Iterator[None]:
    """Makes an UnusableError of inputs that cannot be used or do not fit into the memory, and of `unusable`; when
    anything else fails, what passes between steps is taken away.
    """
    told: tuple[type[Exception], ...] = (UnusableInputError, TooLargeError, RatesUnusableError, *unusable)
    try:
        yield
    except told as error:
        raise UnusableError(str(error)) from error
    except Exception:
        # It is not synced to disk: after a crash of the machine it may be what is broken.
        output.delete(WORK)
        raise


def done(output: Folder, key: str, reporter: Reporter) -> bool:
    """Whether the output is that of the same job, which has then ended; if not, what says that it is whole goes.

    key: fingerprint of all the output is made of.
    """
    if (output.read_json(SUCCESS) or {}).get("fingerprint") == key:
        reporter.end(State.SUCCEEDED, "was done already")
        return True
    output.delete(SUCCESS)
    return False


def finish(output: Folder, key: str, described: dict[str, Any], reporter: Reporter) -> None:
    """Writes what the registry is told and, last, that the output is whole."""
    output.write_json(MODEL, described)
    output.write_json(SUCCESS, {"fingerprint": key, "place": reporter.place})
    reporter.end(State.SUCCEEDED, described["message"])


def main(name: str, about: str | None, told: type[SpecT], run: Callable[[SpecT, Folder, Reporter], None]) -> int:
    """Reads `--spec` (JSON) and runs the job; returns the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=about)
    parser.add_argument("--spec", required=True, help="the job's spec (JSON), a path or an fsspec address")
    address = parser.parse_args().spec
    os.environ.update(ONE_THREAD)
    try:
        with opened(address) as file:
            spec = told.model_validate_json(file.read())
    except (OSError, ValidationError) as error:
        print(f"the spec {address} cannot be used: {error}", file=sys.stderr)  # noqa: T201 - a program's message
        return _UNUSABLE
    output = Folder(spec.output)
    reporter = Reporter(output)
    try:
        with _stoppable():
            run(spec, output, reporter)
    except CancelledError:
        reporter.end(State.CANCELLED, "cancelled; what is finished is kept and used when it is run again")
        return _CANCELLED
    except UnusableError as error:
        reporter.end(State.FAILED, str(error))
        return _UNUSABLE
    except Exception as error:
        # Values stay out of it: they may be personal. The traceback on stderr names places in the code only.
        reporter.end(State.FAILED, f"failed with {type(error).__name__}; run it again to go on from what is finished")
        raise
    return 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT raise CancelledError within."""

    def cancel(_number: int, _frame: object) -> None:
        # Once: tidying up must not be interrupted.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise CancelledError

    before = {number: signal.signal(number, cancel) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
