"""The stage of `scale` that makes the declared features: the job's own program, files to files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.benchmarks.purchases import AS_OF
from scoring.domain.buckets import BUCKETS
from scoring.features.declared import NAMES
from scoring.jobs import features
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import EventFile, FeatureJobSpec


def ours(folder: str, target: str, threads: str) -> int:
    """Writes the features of a generated shop as of its last instant; returns the number of customers.

    Its blocks of customers are dealt out to the buckets, as those of a tenant are.
    """
    paths = sorted(Path(folder).glob("*.parquet"))
    spec = FeatureJobSpec(
        output=f"file://{target}",
        tenant="benchmark",
        currency="EUR",
        files=tuple(
            EventFile(url=f"file://{path}", kind="purchases", bucket=place % BUCKETS)
            for place, path in enumerate(paths)
        ),
        executor="in_process",
        threads=int(threads),
        as_of=AS_OF,
    )
    output = Folder(spec.output)
    features.run(spec, (spec.as_of,), output, Reporter(output))
    return int((output.read_json(features.SUCCESS) or {})["rows"])


def different(target: str, of_peer: str) -> int:
    """How many values of the two are not the same to the last bit, a customer that only one knows being all of its."""
    parts = [pq.read_table(path) for path in sorted(Path(target).glob("features-*.parquet"))]
    ours_, theirs = (table.sort_by("customer") for table in (pa.concat_tables(parts), pq.read_table(of_peer)))
    if not ours_.column("customer").equals(theirs.column("customer")):
        shared = pc.sum(pc.is_in(ours_.column("customer"), theirs.column("customer").combine_chunks())).as_py()
        return len(NAMES) * (len(ours_) + len(theirs) - 2 * int(shared or 0))
    return sum(_differing(ours_.column(name), theirs.column(name)) for name in NAMES)


def _differing(values: pa.ChunkedArray, others: pa.ChunkedArray) -> int:
    same = pc.fill_null(pc.equal(values, others), pc.and_(pc.is_null(values), pc.is_null(others)))
    return int(pc.sum(pc.invert(same)).as_py() or 0)
