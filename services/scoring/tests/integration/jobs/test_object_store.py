"""A job whose inputs, spec and results lie in an object store that speaks S3, run as its own process."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from chassis.folder import located
from scoring import parquet
from scoring.jobs import launch, program, send_times
from scoring.jobs.files import Folder
from scoring.jobs.progress import Progress, Reporter, State
from scoring.jobs.send_time_spec import SendTimeJobSpec
from testkit import eventually

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
CUSTOMERS, WEEKS = 40, 20
RESULTS = ("send-times-0.parquet", "model.json")


def activity() -> bytes:
    return parquet.activity(
        {
            "customer": f"customers/{who:02}",
            "event_time": AS_OF - timedelta(weeks=WEEKS - week, hours=who % 12),
            "event": "Page Viewed",
            "order_id": "",
            "id": week * CUSTOMERS + who,
            "amount_minor": None,
            "currency": None,
        }
        for week in range(WEEKS)
        for who in range(CUSTOMERS)
    )


def prepare(folder: Folder) -> SendTimeJobSpec:
    files = {
        "activity": activity(),
        "zones": parquet.strings({"customer": ["customers/05"], "time_zone": ["Europe/Berlin"]}),
        "aliases": parquet.strings({"customer": ["customers/01"], "canonical": ["customers/02"]}),
        "exclude": parquet.strings({"customer": ["customers/04"]}),
    }
    for name, content in files.items():
        folder.write(name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    return SendTimeJobSpec.model_validate(
        {
            "tenant": "acme",
            "as_of": AS_OF,
            "consenting": 1.0,
            "files": [{"url": f"{folder.url}/activity", "kind": "activity", "bucket": 0}],
            **{name: f"{folder.url}/{name}" for name in ("zones", "aliases", "exclude")},
            "output": f"{folder.url}/out",
        }
    )


def test_a_job_reads_and_writes_an_object_store(bucket: str, tmp_path: Path) -> None:
    spec = prepare(Folder(f"{bucket}/job"))
    output = Folder(spec.output)
    job = launch.launch(spec, tmp_path / "work", program="scoring.jobs.send_times")
    told = eventually(lambda: (found := job.poll()).state is not State.RUNNING and found, timeout=60)
    assert told.state is State.SUCCEEDED, (tmp_path / "work" / launch.LOG).read_text()
    first = {name: output.read(name) for name in RESULTS}
    assert {*RESULTS, "progress.json", program.SUCCESS} <= output.names()

    # In a folder it finds the same.
    local = prepare(Folder(f"file://{tmp_path}/files"))
    send_times.run(local, Folder(local.output), Reporter(Folder(local.output)))
    assert Folder(local.output).read(RESULTS[0]) == first[RESULTS[0]]
    files, path = located(f"{spec.output}/{RESULTS[0]}")
    # What pyarrow reads part by part.
    with files.open(path, "rb") as file:
        assert pq.read_table(file, columns=["customer"]).num_rows == json.loads(first["model.json"])["customers"]

    # Killed before its end it goes on from what there is, and what it had told is not taken for its end.
    output.delete(program.SUCCESS)
    Progress(State.RUNNING, "score", 90.0).write(output)
    send_times.run(spec, output, Reporter(output))
    assert {name: output.read(name) for name in RESULTS} == first
    assert job.poll().state is State.SUCCEEDED
