"""Hook jobs of a local platform: migrations and the topology, before anything else starts."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from localrun.childprocess import ChildProcess, last_lines
from localrun.render import Workload

_RETRY_MAX_S = 10.0

logger = logging.getLogger(__name__)


class StartError(Exception):
    """The platform cannot be started; everything is stopped again."""


def run_jobs(
    jobs: Sequence[Workload],
    process: Callable[[Workload], ChildProcess],
    admitted: Callable[[Workload], bool],
    stop: threading.Event,
    done: Callable[[str], None],
) -> None:
    """Runs jobs of one weight side by side, each again up to its limit of attempts.

    process: makes a job's process. admitted: waits for what a job needs, False when everything stops. done: is told
    of each success. Raises StartError when one fails for good or everything stops.
    """
    failures: list[str] = []

    def run(job: Workload) -> None:
        try:
            if not admitted(job):
                raise StartError(f"{job.name} was not run: the platform is stopping")
            _run(job, process(job), stop)
            done(f"{job.name} done")
        except StartError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=run, args=(job,), name=f"job {job.name}") for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise StartError("\n".join(failures))


def _run(job: Workload, process: ChildProcess, stop: threading.Event) -> None:
    give_up = time.monotonic() + job.deadline_s
    for attempt in range(job.attempts):
        if attempt and stop.wait(min(_RETRY_MAX_S, 2.0**attempt)):
            break
        process.start()
        while process.exit_code() is None and not stop.wait(0.05):
            if time.monotonic() > give_up:
                process.stop(job.grace_s)
                raise StartError(f"{job.name} took longer than {job.deadline_s:.0f} s; see {process.log}")
        code = process.stop(job.grace_s)
        if code == 0:
            return
        logger.warning("%s ended with exit code %s", job.name, code)
        if stop.is_set():
            break
    raise StartError(f"{job.name} failed; {process.log} ends with:\n{last_lines(process.log, 20)}")
