"""Files of a job: whole or not there."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from scoring.jobs.files import Folder
from scoring.jobs.tasks import read_columns, write_batches

_SCHEMA = pa.schema([("number", pa.int64())])


class KilledError(BaseException):
    """As the one that cancels a job: no Exception."""


@pytest.fixture(params=["a folder", "an object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    if request.param == "a folder":
        yield Folder(f"file://{tmp_path}")
        return
    files = fsspec.filesystem("memory")
    yield Folder("memory://job-files/out")
    files.rm("/job-files", recursive=True)


def test_a_file_whose_writer_is_stopped_is_not_taken_for_whole(folder: Folder) -> None:
    def some(*, stopped: bool) -> Iterator[tuple[pa.RecordBatch, dict[str, str]]]:
        yield pa.RecordBatch.from_pydict({"number": [1, 2]}, schema=_SCHEMA), {}
        if stopped:
            raise KilledError
        yield pa.RecordBatch.from_pydict({"number": [3]}, schema=_SCHEMA), {}

    with pytest.raises(KilledError):
        write_batches(folder, "numbers.arrow", _SCHEMA, some(stopped=True))
    assert folder.names() == set()
    write_batches(folder, "numbers.arrow", _SCHEMA, some(stopped=False))
    with pytest.raises(KilledError):
        write_batches(folder, "numbers.arrow", _SCHEMA, some(stopped=True))
    assert folder.names() == {"numbers.arrow"}
    assert read_columns(folder, "numbers.arrow").column("number").to_pylist() == [1, 2, 3]
