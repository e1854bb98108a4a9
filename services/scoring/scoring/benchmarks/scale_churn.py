"""The stage of `scale` that trains a model of churn and tells risks by it: the job's own program, files to files."""

from pathlib import Path

from scoring.benchmarks.purchases import AS_OF
from scoring.jobs import churn
from scoring.jobs.files import Folder
from scoring.jobs.program import SUCCESS
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import ChurnJobSpec

_WEEKS = 13


def ours(folder: str, target: str, threads: str) -> int:
    """Writes the risks of a generated shop's customers as of its last instant; returns of how many."""
    spec = ChurnJobSpec(
        output=f"file://{target}",
        tenant="benchmark",
        as_of=AS_OF,
        horizon_weeks=_WEEKS,
        currency="EUR",
        digits=2,
        inputs=tuple(f"file://{path}" for path in sorted(Path(folder).glob("*.parquet"))),
        consenting=1.0,
        executor="in_process",
        threads=int(threads),
    )
    output = Folder(spec.output)
    churn.run(spec, output, Reporter(output))
    return int((output.read_json(SUCCESS) or {})["customers"])
