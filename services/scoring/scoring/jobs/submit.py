"""Runs a job on a Ray cluster: `python -m scoring.jobs.submit --spec spec.json`, with the cluster in RAY_ADDRESS.

Submits `scoring.jobs.score`, or another `--program`, through Ray's Jobs API and tells how far it is until it ends;
SIGTERM cancels it. Run again with the same spec while the job is at work, it stays with that job. Spec, inputs and
output must be addresses that the cluster can reach, an object store with credentials of its own. RAY_AUTH_TOKEN is the
cluster's token; RAY_JOB_PYTHON the Python there, this one's path unless set.
"""

import argparse
import json
import os
import signal
import sys
import threading
from typing import Any

from scoring.jobs.executor import ONE_OF_RAY, ONE_THREAD, TASK_CPUS
from scoring.jobs.files import Folder, fingerprint, opened
from scoring.jobs.programs import PROGRAMS
from scoring.jobs.progress import Progress, State

_POLL_S = 1.0
_CANCEL_S = 30.0
_OBJECT_STORE = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")
"""What an s3:// address means here it means there, too. Keys are not passed on: Ray shows a job's variables."""


def main() -> int:
    """Returns 0 when the job succeeded, 143 when it was cancelled, else 1."""
    parser = argparse.ArgumentParser(prog="python -m scoring.jobs.submit", description=__doc__)
    parser.add_argument("--spec", required=True, help="the job's spec (JSON)")
    parser.add_argument("--program", choices=PROGRAMS, default="scoring.jobs.score", help="what computes it")
    given = parser.parse_args()
    with opened(given.spec) as file:
        spec = json.load(file)
    if not os.environ.get("RAY_ADDRESS"):
        parser.error(f"RAY_ADDRESS names no cluster: set it, or run python -m {given.program} on this machine")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return follow(given.program, given.spec, spec, stop)


def follow(program: str, address: str, spec: dict[str, Any], stop: threading.Event) -> int:
    """Submits, or finds, the job and waits for its end or for `stop`, which cancels it."""
    # Only here: what merely launches jobs must not load Ray.
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        client = JobSubmissionClient(os.environ["RAY_ADDRESS"])
    except ConnectionError:
        print(f"no Ray answers at RAY_ADDRESS {os.environ['RAY_ADDRESS']}", file=sys.stderr)  # noqa: T201 - as below
        return 1
    job = _submitted(client, program, address, spec)
    output = Folder(spec["output"])
    shown = None
    while not stop.wait(_POLL_S):
        status = client.get_job_status(job)
        told = _told(output)
        if told and told != shown:
            # What an earlier run left there is not told of this one.
            ended = status.is_terminal() and (told.state is State.SUCCEEDED) == (status == JobStatus.SUCCEEDED)
            if told.state is State.RUNNING or ended:
                told.show()
                shown = told
        if status.is_terminal():
            if status == JobStatus.SUCCEEDED:
                return 0
            # Of a program that told nothing it stays RUNNING, as of one that died here: who launched it tries again.
            print(f"the Ray job ended as {status}", file=sys.stderr)  # noqa: T201 - a program's message
            return 1
    client.stop_job(job)
    waited = 0.0
    pause = threading.Event()
    while not client.get_job_status(job).is_terminal() and waited < _CANCEL_S:
        pause.wait(_POLL_S)
        waited += _POLL_S
    last = Progress.read(output)
    if last is None or last.state is State.RUNNING:
        Progress(State.CANCELLED, message="cancelled; what is finished is kept and used again").write(output)
    return 143


def _told(output: Folder) -> Progress | None:
    """How far the job is; None while its folder cannot be read, which is no reason to leave it."""
    try:
        return Progress.read(output)
    except Exception:  # noqa: BLE001 - each kind of store fails in its own way
        return None


def _submitted(client: Any, program: str, address: str, spec: dict[str, Any]) -> str:
    """The id of the running job of this spec; it is submitted when there is none."""
    key = f"rapport-{program.rpartition('.')[2]}-{fingerprint(spec)[:24]}"
    earlier = [job for job in client.list_jobs() if (job.submission_id or "").startswith(key)]
    for job in earlier:
        if not job.status.is_terminal():
            return str(job.submission_id)
    python = os.environ.get("RAY_JOB_PYTHON", sys.executable)
    where = {name: os.environ[name] for name in _OBJECT_STORE if name in os.environ}
    variables = {**where, **ONE_THREAD, "RAY_USAGE_STATS_ENABLED": "0"}
    divided = PROGRAMS[program].divided
    submitted: str = client.submit_job(
        entrypoint=f"{python} -m {program} --spec {address}",
        submission_id=f"{key}-{len(earlier)}",
        runtime_env={"env_vars": variables if divided else {**variables, ONE_OF_RAY: "1"}},
        # What divides its work only waits for its tasks; what does not is a task, of any node.
        entrypoint_num_cpus=0 if divided else TASK_CPUS,
    )
    return submitted


if __name__ == "__main__":
    sys.exit(main())
