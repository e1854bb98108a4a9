"""Jobs on a Ray of two nodes: equal results, and going on after a submitter, a worker or the head is killed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from scoring.domain.buckets import BUCKETS, bucket_of
from scoring.jobs import churn, features, segments
from scoring.jobs.executor import ONE_THREAD
from scoring.jobs.files import Folder
from scoring.jobs.launch import LOG, launch
from scoring.jobs.program import SUCCESS
from scoring.jobs.progress import Reporter, State
from scoring.jobs.spec import ChurnJobSpec, FeatureJobSpec, JobSpec, LeadJobSpec
from scoring.jobs.tasks import WORK
from testkit import eventually
from testkit.failpoints import Failpoint

from ...unit import test_segment_job
from . import test_churn_job, test_train_leads
from .conftest import AS_OF, Shop, model_of, progress_of, scores_of

Arm = Callable[..., AbstractContextManager[Failpoint]]

HEAD, SECOND = "127.0.0.2", "127.0.0.3"
TOKEN = "two-nodes-of-a-test-and-nobody-else"
PARTITIONS = 8
pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Cluster:
    """Addresses of its head."""

    gcs: str
    dashboard: str
    head: subprocess.Popen[bytes]

    def jobs(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self._read("/api/jobs/")
        return found

    def nodes(self) -> int:
        """How many have joined and live."""
        with suppress(requests.RequestException):
            summary = self._read("/nodes?view=summary")["data"]["summary"]
            return sum(node["raylet"].get("state") == "ALIVE" for node in summary)
        return 0

    def _read(self, path: str) -> Any:
        answer = requests.get(self.dashboard + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
        answer.raise_for_status()
        return answer.json()


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def start(address: str, scratch: Path, *options: str) -> subprocess.Popen[bytes]:
    ports = [
        f"--{name}={free_port(address)}"
        for name in (
            "dashboard-agent-listen-port",
            "dashboard-agent-grpc-port",
            "metrics-export-port",
            "runtime-env-agent-port",
        )
    ]
    with open(scratch / f"{address}.log", "wb") as log:
        return subprocess.Popen(
            [
                str(Path(sys.executable).parent / "ray"),
                "start",
                "--block",
                f"--node-ip-address={address}",
                "--num-cpus=1",
                "--object-store-memory=100000000",
                "--disable-usage-stats",
                # Nobody reads there what workers print.
                "--include-log-monitor=false",
                *ports,
                *options,
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def listens(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def kill_all(started: subprocess.Popen[bytes]) -> None:
    """The node with all its processes, as when its machine loses power."""
    for process in [*psutil.Process(started.pid).children(recursive=True), psutil.Process(started.pid)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    started.wait(20)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    scratch = Path(tempfile.mkdtemp(prefix="ray2-"))
    gcs, dashboard = free_port(HEAD), free_port(HEAD)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            **ONE_THREAD,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_enable_metrics_collection": "0",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
        }.items():
            environment.setenv(name, value)
        head = start(
            HEAD,
            scratch,
            "--head",
            f"--port={gcs}",
            f"--dashboard-host={HEAD}",
            f"--dashboard-port={dashboard}",
            "--include-dashboard=true",
            f"--ray-client-server-port={free_port(HEAD)}",
            f"--temp-dir={scratch}",
        )
        nodes = [head]
        try:
            eventually(lambda: listens(HEAD, gcs), timeout=60)
            nodes.append(start(SECOND, scratch, f"--address={HEAD}:{gcs}"))
            cluster = Cluster(f"{HEAD}:{gcs}", f"http://{HEAD}:{dashboard}", head)
            eventually(lambda: cluster.nodes() == len(nodes), timeout=60)
            yield cluster
        finally:
            for node in nodes:
                if node.poll() is None:
                    kill_all(node)
            shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture
def abroad(shop: Shop) -> dict[str, Any]:
    """A third of the purchases in dollars, and a table of rates for some of their days."""
    rates = shop.folder / "rates.csv"
    days = (AS_OF - timedelta(days=days) for days in range(0, 560, 9))
    rates.write_text("Date,USD\n" + "".join(f"{day:%Y-%m-%d},{1 + day.day / 77}\n" for day in days))
    currencies = ["USD" if place % 3 == 0 else "EUR" for place in range(len(shop.table))]
    place = shop.table.schema.get_field_index("currency")
    table = shop.table.set_column(place, "currency", pa.array(currencies))
    return {"inputs": shop.files("abroad", 3, table), "rates": str(rates)}


@pytest.fixture
def here(shop: Shop, abroad: dict[str, Any]) -> JobSpec:
    """The same job, done in this process."""
    spec = shop.spec("here", partitions=3, **abroad)
    shop.run(spec)
    return spec


def driver(spec: JobSpec, cluster: Cluster, folder: Path, workers: dict[str, str]) -> subprocess.Popen[bytes]:
    """The job's program itself, connected to the cluster; `workers`: variables of its worker processes."""
    spec_file = folder / "driver.json"
    spec_file.write_text(spec.model_dump_json())
    with open(folder / "driver.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "scoring.jobs.score", "--spec", str(spec_file)],
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "RAY_ADDRESS": cluster.gcs,
                "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {"env_vars": workers}}),
            },
        )


def test_two_nodes_give_equal_scores_also_if_the_submitter_is_killed(
    shop: Shop, abroad: dict[str, Any], here: JobSpec, cluster: Cluster, tmp_path: Path
):
    spec = shop.spec("out", partitions=PARTITIONS, executor="auto", **abroad)
    handle = launch(spec, tmp_path / "job", cluster.dashboard)
    assert handle.pid is not None
    eventually(lambda: cluster.jobs() or handle.pid is None, timeout=60)
    os.kill(handle.pid, signal.SIGKILL)
    eventually(lambda: handle.pid is None, timeout=10)
    again = launch(spec, tmp_path / "job", cluster.dashboard)
    told = eventually(lambda: again.pid is None and again.poll(), timeout=90)
    assert told.state is State.SUCCEEDED, (tmp_path / "job" / LOG).read_text()
    assert len(cluster.jobs()) == 1, "it stayed with the job that was submitted before"
    assert scores_of(spec).equals(scores_of(here))
    told, ours = model_of(spec), model_of(here)
    assert told["parameters"] == ours["parameters"]
    assert told["converted"] == ours["converted"] > 0 < ours["left_out"]["no_rate"] == told["left_out"]["no_rate"]
    assert (Folder(spec.output).read_json(SUCCESS) or {})["place"] == "on Ray, 2 nodes, 2 CPUs"


def test_two_nodes_write_the_features_that_one_process_writes(shop: Shop, cluster: Cluster, tmp_path: Path):
    files = []
    names = shop.table.column("customer").to_pylist()
    for bucket in range(BUCKETS):
        mine = shop.table.filter(pa.array([bucket_of(name) == bucket for name in names]))
        path = tmp_path / f"bucket-{bucket}.parquet"
        pq.write_table(mine, path)
        files.append({"url": f"file://{path}", "kind": "purchases", "bucket": bucket})
    given = {"tenant": "t1", "as_of": AS_OF, "currency": "EUR", "files": files}
    here = FeatureJobSpec(**given, output=f"file://{tmp_path / 'here'}", executor="in_process")
    output = Folder(here.output)
    features.run(here, [AS_OF], output, Reporter(output))
    there = FeatureJobSpec(**given, output=f"file://{tmp_path / 'there'}")
    handle = launch(there, tmp_path / "job", cluster.dashboard, "scoring.jobs.features")
    told = eventually(lambda: handle.pid is None and handle.poll(), timeout=90)
    assert told.state is State.SUCCEEDED, (tmp_path / "job" / LOG).read_text()
    assert (Folder(there.output).read_json(SUCCESS) or {})["place"] == "on Ray, 2 nodes, 2 CPUs"
    folders = (tmp_path / "here", tmp_path / "there")
    written = [{path.name: path.read_bytes() for path in folder.glob("features-*")} for folder in folders]
    assert len(written[0]) == BUCKETS
    assert written[0] == written[1]
    shown = (tmp_path / "job" / LOG).read_text().splitlines()[-1]
    assert shown == f"SUCCEEDED done 100% rows={told.rows} eta=0s", "who submits sees it in the terminal"


def test_a_cluster_that_does_not_answer_is_named(shop: Shop, tmp_path: Path) -> None:
    handle = launch(shop.spec("out", partitions=1), tmp_path / "job", f"http://{HEAD}:1")
    told = eventually(lambda: handle.pid is None and handle.poll(), timeout=60)
    assert (told.state, told.message.partition("(")[2]) == (
        State.FAILED,
        f"no Ray answers at RAY_ADDRESS http://{HEAD}:1)",
    )


def test_two_nodes_tell_the_risks_that_one_process_tells(
    churn_models: tuple[Path, Any], cluster: Cluster, tmp_path: Path
) -> None:
    folder, _ = churn_models
    # Too few for a model of their own, which is trained all the same: the champion scores.
    bought = pq.read_table(folder / "dearer.parquet")
    few = set(bought.column("customer").unique().to_pylist()[:40])
    paths = [tmp_path / f"few-{place}.parquet" for place in range(2)]
    some = bought.filter(pa.array([name in few for name in bought.column("customer").to_pylist()]))
    for place, path in enumerate(paths):
        pq.write_table(some.take(pa.array(range(place, len(some), 2))), path)
    given = {**test_churn_job.again(folder), "inputs": [f"file://{path}" for path in paths], "consenting": 1.0}
    given |= {"tenant": "t1", "horizon_weeks": test_churn_job.WEEKS, "currency": "EUR", "digits": 2}
    here = ChurnJobSpec(**given, output=f"file://{tmp_path / 'here'}", executor="in_process", partitions=1)
    churn.run(here, Folder(here.output), Reporter(Folder(here.output)))
    there = ChurnJobSpec(**given, output=f"file://{tmp_path / 'there'}", partitions=3)
    handle = launch(there, tmp_path / "job", cluster.dashboard, "scoring.jobs.churn")
    told = eventually(lambda: handle.pid is None and handle.poll(), timeout=90)
    assert told.state is State.SUCCEEDED, (tmp_path / "job" / LOG).read_text()
    models, done, risks = [], [], []
    for spec in (here, there):
        output = Folder(spec.output)
        models.append(output.read_json("model.json"))
        done.append(output.read_json(SUCCESS) or {})
        risks.append(scores_of(spec).replace_schema_metadata().to_pylist())
    assert done[1]["place"] == "on Ray, 2 nodes, 2 CPUs"
    assert done[0]["customers"] == done[1]["customers"] == len(risks[0]) > 30
    assert repr(risks[0]) == repr(risks[1]), "to the last bit"
    assert models[0] == models[1]
    assert models[0]["judgement"]["candidate"]["state"] != "CHAMPION"


def test_two_nodes_find_the_members_that_one_process_finds(cluster: Cluster, tmp_path: Path) -> None:
    rows = [test_segment_job.row(number, "pros", page=number % 4) for number in range(40)]
    here = test_segment_job.told(tmp_path, *(rows[place : place + 10] for place in range(0, 40, 10)))
    segments.run(here, Folder(here.output), Reporter(Folder(here.output)))
    there = here.model_copy(update={"output": f"file://{tmp_path / 'there'}", "executor": "auto"})
    handle = launch(there, tmp_path / "job", cluster.dashboard, "scoring.jobs.segments")
    told = eventually(lambda: handle.pid is None and handle.poll(), timeout=90)
    assert (told.state, told.rows) == (State.SUCCEEDED, 40), (tmp_path / "job" / LOG).read_text()
    done = [Folder(spec.output).read_json(SUCCESS) or {} for spec in (here, there)]
    assert [each.pop("place") for each in done] == ["in this process, 1 thread", "on Ray, 2 nodes, 2 CPUs"]
    assert done[0] == done[1]
    folders = (Path(here.output), tmp_path / "there")
    written = [{path.name: path.read_bytes() for path in folder.glob("memberships-*")} for folder in folders]
    assert len(written[0]) == 4
    assert written[0] == written[1]


def test_what_divides_nothing_is_one_task_there(cluster: Cluster, tmp_path: Path) -> None:
    rows = [test_train_leads.row(place) for place in range(300)]
    here = test_train_leads.trained(tmp_path / "here", rows)
    terms = {"tenant": "acme", "as_of": test_train_leads.NOON, "consenting": 1.0}
    there = LeadJobSpec(**terms, leads=str(tmp_path / "here" / "leads.parquet"), output=str(tmp_path / "there"))
    handle = launch(there, tmp_path / "job", cluster.dashboard, "scoring.jobs.train_leads")
    (program,) = eventually(lambda: programs(f"{there.output}/spec.json"), timeout=60)
    program.kill()
    died = eventually(lambda: handle.pid is None and handle.poll(), timeout=30)
    assert (died.state, progress_of(there).state) == (State.FAILED, State.RUNNING), "it is started again"
    assert "the Ray job ended as FAILED" in died.message
    handle = launch(there, tmp_path / "job", cluster.dashboard, "scoring.jobs.train_leads")
    told = eventually(lambda: handle.pid is None and handle.poll(), timeout=90)
    assert told.state is State.SUCCEEDED, (tmp_path / "job" / LOG).read_text()
    output = Folder(there.output)
    assert output.read_json("model.json") == here, "to the last bit"
    assert (output.read_json(SUCCESS) or {})["place"] == "on Ray, 1 thread"


def test_a_cancelled_job_leaves_the_cluster_and_keeps_what_is_finished(
    shop: Shop, abroad: dict[str, Any], cluster: Cluster, tmp_path: Path
):
    spec = shop.spec("out", partitions=PARTITIONS, executor="auto", **abroad)
    before = {job["submission_id"] for job in cluster.jobs()}
    handle = launch(spec, tmp_path / "job", cluster.dashboard)
    # As soon as something is divided; what it tells of its steps may be of later ones by the time it is read.
    eventually((tmp_path / "out" / WORK).is_dir, timeout=60)
    (program,) = programs(f"{spec.output}/spec.json")
    program.suspend()  # it will not be done before it is cancelled
    told = handle.cancel()
    assert (told.state, told.message) == (State.CANCELLED, "cancelled; what is finished is kept and used again")
    assert progress_of(spec).state is State.CANCELLED
    assert handle.pid is None
    (job,) = [job for job in cluster.jobs() if job["submission_id"] not in before]
    assert job["status"] == "STOPPED"
    eventually(lambda: not program.is_running(), timeout=10)
    names = Folder(spec.output).names()
    assert SUCCESS not in names
    assert not any(name.startswith("scores-") for name in names)
    assert (tmp_path / "out" / WORK).is_dir(), "what was divided"


def programs(spec: str) -> list[psutil.Process]:
    """The programs at work on a spec, on whatever node."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            command = process.cmdline()
            if command[1:2] == ["-m"] and command[-1] == spec and "scoring.jobs.submit" not in command:
                found.append(process)
    return found


def test_tasks_of_a_killed_worker_are_done_by_another(
    shop: Shop, abroad: dict[str, Any], here: JobSpec, cluster: Cluster, tmp_path: Path, failpoint: Arm
):
    spec = shop.spec("out", partitions=PARTITIONS, executor="auto", **abroad)
    # In each worker process, with a file open: one of the two that score eight partitions comes to its fourth.
    with failpoint("pyarrow.parquet:write_table", call=4) as there:
        workers = {name: os.environ[name] for name in ("FAILPOINT", "PYTHONPATH")}
    job = driver(spec, cluster, tmp_path, workers)
    there.wait()
    assert job.wait(90) == 0, (tmp_path / "driver.log").read_text()
    assert progress_of(spec).state is State.SUCCEEDED
    assert scores_of(spec).equals(scores_of(here))


@pytest.mark.usefixtures("warm")
def test_after_the_head_is_killed_the_job_goes_on_from_the_last_finished_partition(
    shop: Shop, abroad: dict[str, Any], here: JobSpec, cluster: Cluster, tmp_path: Path, failpoint: Arm
):
    spec = shop.spec("out", partitions=PARTITIONS, executor="auto", **abroad)
    # 3 files, 1 group, 8 sums, 1 fit: with the 16th call three partitions are scored.
    with failpoint("scoring.jobs.progress:Reporter.done", call=16, action="pause") as there:
        job = driver(spec, cluster, tmp_path, {})
    there.wait()
    kill_all(cluster.head)
    there.release()
    assert job.wait(60) != 0, "a job without its cluster says so"
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("scores-*.parquet")}
    assert len(done) >= 3
    finished = launch(spec, tmp_path / "job")
    told = eventually(lambda: finished.pid is None and finished.poll(), timeout=60)
    assert told.state is State.SUCCEEDED
    assert scores_of(spec).equals(scores_of(here))
    for name, written in done.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == written, "a finished partition was made again"
