"""The program of responses: what it holds of the customers it scores."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from scoring.jobs import response_tasks
from scoring.jobs.feature_tasks import Bucket, Plan
from scoring.jobs.files import Folder
from scoring.jobs.response_tasks import Part
from scoring.jobs.tasks import write_batches


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
