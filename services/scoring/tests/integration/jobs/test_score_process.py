"""Jobs as processes: killed, resumed, cancelled, found again; and on a Ray of their own."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from scoring.jobs.launch import LOG, Handle, launch
from scoring.jobs.progress import Progress, State
from scoring.jobs.spec import JobSpec
from testkit import eventually
from testkit.failpoints import Failpoint

from .conftest import Shop, model_of, progress_of, scores_of

Arm = Callable[..., AbstractContextManager[Failpoint]]


def hashes(spec: JobSpec) -> dict[str, str]:
    folder = Path(spec.output.removeprefix("file://"))
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*[tln]") if path.is_file()
    }


def ended(handle: Handle) -> Progress | None:
    told = handle.poll()
    return told if told.state is not State.RUNNING else None


@pytest.fixture
def large(shop: Shop) -> JobSpec:
    """Enough partitions that there is a middle to be killed in."""
    return shop.spec("out", partitions=12)


DONE = "scoring.jobs.progress:Reporter.done"
"""Called once for each of 3 files, 1 group, 12 partitions summed up, 1 fit, and 12 partitions scored."""


@pytest.mark.usefixtures("warm")
def test_killed_anywhere_and_run_again_it_ends_with_equal_bytes(
    shop: Shop, large: JobSpec, tmp_path: Path, failpoint: Arm
):
    whole = large.model_copy(update={"output": f"file://{tmp_path / 'whole'}"})
    shop.run(whole)
    expected = {name: digest for name, digest in hashes(whole).items() if name != "progress.json"}
    assert len(expected) == 13
    touched: dict[str, int] = {}
    for place, call, finished in (
        (DONE, 2, 0),
        (DONE, 10, 0),
        ("scoring.jobs.fit:fit", 1, 0),
        ("pyarrow.parquet:write_table", 5, 4),  # with a file open
        (DONE, 26, 9),
        ("scoring.jobs.files:Folder.delete", 2, 12),  # only the mark of success is missing
    ):
        with failpoint(place, call=call) as there:
            handle = launch(large, tmp_path / "job")
        there.wait()
        told = eventually(lambda handle=handle: ended(handle), timeout=20)
        assert told.state is State.FAILED
        assert "launch it again" in told.message
        assert not (tmp_path / "out" / "_SUCCESS").exists()
        touched = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("scores-*.parquet")}
        assert len(touched) == finished
    handle = launch(large, tmp_path / "job")
    assert eventually(lambda: ended(handle), timeout=60).state is State.SUCCEEDED
    assert {name: digest for name, digest in hashes(large).items() if name != "progress.json"} == expected
    for name, written in touched.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == written, "a finished partition was made again"


def test_a_changed_input_is_noticed(shop: Shop):
    spec = shop.spec("out")
    shop.run(spec)
    before = hashes(spec)
    shop.run(spec)
    assert progress_of(spec).message == "was done already"
    fewer = shop.table.slice(0, shop.table.num_rows - 5)
    assert shop.files("out", 3, fewer) == spec.inputs
    shop.run(spec)
    after = hashes(spec)
    assert all(after[name] != before[name] for name in before if name.startswith(("scores", "model")))


@pytest.mark.usefixtures("warm")
def test_cancelled_it_stops_and_can_go_on(shop: Shop, large: JobSpec, tmp_path: Path, failpoint: Arm):
    with failpoint(DONE, call=10, action="pause") as there:
        handle = launch(large, tmp_path / "job")
    there.wait()
    process = psutil.Process(handle.pid)
    told = handle.cancel()
    assert told.state is State.CANCELLED
    assert not process.is_running()
    assert progress_of(large).state is State.CANCELLED
    again = launch(large, tmp_path / "job")
    assert eventually(lambda: ended(again), timeout=60).state is State.SUCCEEDED
    assert scores_of(large).num_rows == 1_500


def test_a_launcher_that_died_finds_its_job_again(shop: Shop, large: JobSpec, tmp_path: Path, failpoint: Arm):
    spec_file = tmp_path / "given.json"
    spec_file.write_text(large.model_dump_json())
    launcher = (
        "import json, pathlib, sys; from scoring.jobs.launch import launch;"
        "handle = launch(json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2]));"
        "print(handle.pid); loaded = {'ray', 'numpy', 'scipy', 'pyarrow'} & set(sys.modules); assert not loaded, loaded"
    )
    with failpoint(DONE, action="pause") as there:
        done = subprocess.run(
            [sys.executable, "-c", launcher, spec_file, tmp_path / "job"], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 0, done.stderr
    handle = launch(large, tmp_path / "job")
    assert handle.pid == int(done.stdout), "the same process, not another one"
    with pytest.raises(ValueError, match="cancel it first"):
        launch(large.model_copy(update={"horizon_weeks": 2}), tmp_path / "job")
    there.wait()
    there.release()
    assert eventually(lambda: ended(handle), timeout=60).state is State.SUCCEEDED
    finished = launch(large, tmp_path / "job")
    assert finished.pid is None
    assert finished.poll().state is State.SUCCEEDED


@pytest.mark.usefixtures("warm")
def test_a_foreign_process_with_the_noted_pid_is_not_taken_for_the_job(shop: Shop, tmp_path: Path):
    spec = shop.spec("out")
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "spec.json").write_text(spec.model_dump_json())
    foreign = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        noted = {"pid": foreign.pid, "create_time": psutil.Process(foreign.pid).create_time() - 600}
        (tmp_path / "job" / "process.json").write_text(json.dumps(noted))
        handle = launch(spec, tmp_path / "job")
        assert handle.pid != foreign.pid
        assert eventually(lambda: ended(handle), timeout=60).state is State.SUCCEEDED
        assert foreign.poll() is None, "it goes on"
    finally:
        foreign.kill()
        foreign.wait()


@pytest.mark.usefixtures("warm")
def test_what_a_crash_of_the_machine_left_empty_does_not_stay_in_the_way(shop: Shop, tmp_path: Path):
    spec = shop.spec("out", inputs=("file:///nowhere/p.parquet",))
    (tmp_path / "job").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "job" / "spec.json").write_text(spec.model_dump_json())
    for name in ("job/process.json", "out/progress.json"):
        (tmp_path / name).touch()
    handle = launch(spec, tmp_path / "job")
    assert eventually(lambda: ended(handle), timeout=60).state is State.FAILED


@pytest.mark.usefixtures("warm")
def test_an_unusable_input_ends_the_job_with_the_reason(shop: Shop, tmp_path: Path):
    spec = shop.spec("out", inputs=("file:///nowhere/p.parquet",))
    handle = launch(spec, tmp_path / "job")
    told = eventually(lambda: ended(handle), timeout=60)
    assert told.state is State.FAILED
    assert "/nowhere/p.parquet cannot be read" in told.message
    assert "FAILED" in (tmp_path / "job" / LOG).read_text()


def test_secrets_of_the_service_stay_with_it(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failpoint: Arm
):
    monkeypatch.setenv("RAPPORT_KEYS", "the-keyring")
    with failpoint(DONE, action="pause") as there:
        handle = launch(shop.spec("out"), tmp_path / "job")
    there.wait()
    assert not [name for name in psutil.Process(handle.pid).environ() if name.startswith("RAPPORT_")]
    there.release()
    assert eventually(lambda: ended(handle), timeout=60).state is State.SUCCEEDED


@pytest.mark.timeout(300)
def test_a_ray_of_its_own_gives_equal_scores_and_is_gone_after(shop: Shop, tmp_path: Path):
    here = shop.run(shop.spec("here", partitions=2))
    spec = shop.spec("ray", partitions=4, executor="ray")
    handle = launch(spec, tmp_path / "job")
    assert handle.pid is not None
    job = psutil.Process(handle.pid)
    seen: dict[int, psutil.Process] = {}

    def watch() -> Progress | None:
        if job.is_running() and job.status() != psutil.STATUS_ZOMBIE:
            for process in job.children(recursive=True):
                seen.setdefault(process.pid, process)
        return ended(handle)

    told = eventually(watch, timeout=280)
    assert told.state is State.SUCCEEDED, (tmp_path / "job" / LOG).read_text()
    assert scores_of(spec).equals(here)
    assert model_of(spec)["parameters"] == model_of(shop.spec("here", partitions=2))["parameters"]
    assert len(seen) > 2, "Ray's own processes and its workers"
    eventually(lambda: not [process for process in seen.values() if process.is_running()], timeout=20)


@pytest.mark.usefixtures("warm")
def test_broken_work_files_do_not_stay_in_the_way(shop: Shop, large: JobSpec, tmp_path: Path, failpoint: Arm):
    with failpoint("pyarrow.parquet:write_table", call=7) as there:
        handle = launch(large, tmp_path / "job")
    there.wait()
    eventually(lambda: ended(handle), timeout=20)
    for path in (tmp_path / "out" / "work").glob("summary-*.arrow"):
        path.write_bytes(bytes(path.stat().st_size))
    broken = launch(large, tmp_path / "job")
    assert "ArrowInvalid" in eventually(lambda: ended(broken), timeout=60).message
    again = launch(large, tmp_path / "job")
    assert eventually(lambda: ended(again), timeout=60).state is State.SUCCEEDED
    assert scores_of(large).num_rows == 1_500
