"""What computes jobs."""

import sys
import threading
from enum import StrEnum
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from scoring.jobs import submit
from scoring.jobs.files import Folder
from scoring.jobs.programs import PROGRAMS
from scoring.jobs.progress import Progress, State


def test_each_program_is_there() -> None:
    assert all(map(find_spec, PROGRAMS))


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_can_be_submitted_to_a_cluster(program, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sys, "argv", ["submit", "--program", program, "--spec", str(tmp_path / "none.json")])
    with pytest.raises(FileNotFoundError):
        submit.main()


def test_without_a_cluster_it_is_said_how_to_run_a_program(monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "spec.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["submit", "--spec", str(tmp_path / "spec.json")])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(SystemExit, match="2"):
        submit.main()
    assert "run python -m scoring.jobs.score on this machine" in capsys.readouterr().err


class Status(StrEnum):
    """Of a job, as Ray's Jobs API tells it."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    def is_terminal(self) -> bool:
        return self is not Status.RUNNING


@pytest.fixture
def followed(monkeypatch, tmp_path, capsys):
    """What is followed of a job that tells these statuses: the exit code, and what is shown in the terminal."""

    def of(*statuses: Status) -> tuple[int, str]:
        told = iter(statuses)
        cluster = SimpleNamespace(list_jobs=list, submit_job=lambda **_: "a job", get_job_status=lambda _: next(told))
        ray = SimpleNamespace(JobStatus=Status, JobSubmissionClient=lambda _: cluster)
        monkeypatch.setitem(sys.modules, "ray.job_submission", ray)
        monkeypatch.setenv("RAY_ADDRESS", "http://ray-head:8265")
        monkeypatch.setattr(submit, "_POLL_S", 0.0)
        spec = {"output": str(tmp_path)}
        code = submit.follow("scoring.jobs.score", "spec.json", spec, threading.Event())
        return code, capsys.readouterr().err

    return of


def test_a_job_is_followed_to_its_end_though_its_folder_cannot_be_read_for_a_moment(
    followed, monkeypatch, tmp_path
) -> None:
    Progress(State.SUCCEEDED, "done", 100.0).write(Folder(str(tmp_path)))
    read, answers = Progress.read, iter([OSError("slow down"), RuntimeError("no route"), None, None])

    def sometimes(output: Folder) -> Progress | None:
        if (failure := next(answers)) is not None:
            raise failure
        return read(output)

    monkeypatch.setattr(Progress, "read", sometimes)
    assert followed(Status.RUNNING, Status.RUNNING, Status.RUNNING, Status.SUCCEEDED) == (
        0,
        "SUCCEEDED done 100% rows=0\n",
    )


def test_what_an_earlier_run_reached_is_not_told_of_one_that_died(followed, tmp_path) -> None:
    Progress(State.SUCCEEDED, "done", 100.0).write(Folder(str(tmp_path)))
    assert followed(Status.RUNNING, Status.FAILED) == (1, "the Ray job ended as FAILED\n")


def test_the_cluster_is_told_where_the_object_store_is_but_no_keys(monkeypatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, f"the {name}")
    told = []
    client = SimpleNamespace(list_jobs=list, submit_job=lambda **given: told.append(given) or "a job")
    submit._submitted(client, "scoring.jobs.score", "spec.json", {})
    variables = told[0]["runtime_env"]["env_vars"]
    assert variables["AWS_ENDPOINT_URL_S3"] == "the AWS_ENDPOINT_URL_S3"
    assert not [name for name in variables if "KEY" in name or "TOKEN" in name]
