"""The program of responses: what it holds of the customers it scores."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from scoring.jobs import memory, response, response_tasks
from scoring.jobs.feature_tasks import Bucket, Plan
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.response_tasks import Part
from scoring.jobs.spec import ResponseJobSpec
from scoring.jobs.tasks import write_batches


class AskedError(Exception):
    """For what tasks are to run."""


def test_a_ray_is_told_that_tasks_have_the_library_of_trees_loaded(tmp_path: Path, monkeypatch) -> None:
    def chosen(*asked: object) -> None:
        raise AskedError(asked[-1])

    monkeypatch.setattr(response, "chosen", chosen)
    given = {"tenant": "acme", "currency": "EUR", "digits": 2, "consenting": 1.0, "files": ()}
    spec = ResponseJobSpec(**given, as_of=datetime(2026, 6, 1, tzinfo=UTC), output=str(tmp_path))
    output = Folder(spec.output)
    with pytest.raises(AskedError) as asked:
        response.run(spec, output, Reporter(output))
    assert asked.value.args == (memory.CHURN.task,)


def test_of_who_is_scored_each_so_manyth_is_held_whatever_the_buckets(tmp_path: Path) -> None:
    plan = Plan(str(tmp_path), "f", (), "EUR", None, aliases=False, excluded=False)
    parts, place = [], 0
    for number, size in enumerate((5, 0, 1, 4)):
        part = Part(Bucket(plan, number, ()), "f" * 64, 2, 0, ())
        rows = [
            {"customer": f"customers/{of}", "name": of, **{each.name: float(of) for each in response_tasks.COLUMNS}}
            for of in range(place, place + size)
        ]
        batch = pa.RecordBatch.from_pylist(rows, schema=response_tasks._CURRENT)
        write_batches(Folder(str(tmp_path)), part.current, response_tasks._CURRENT, [(batch, {})])
        parts.append(part)
        place += size
    for step in (1, 3, 4):
        found = response_tasks.current(parts, step)
        assert found.ids.tolist() == list(range(0, place, step))
        assert np.asarray(found.values[response_tasks.COLUMNS[-1].name]).tolist() == found.ids.tolist()
