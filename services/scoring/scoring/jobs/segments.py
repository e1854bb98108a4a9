"""Recomputes the memberships of all customers in all segments: `python -m scoring.jobs.segments --spec spec.json`.

Each customer is judged as of the instant at which it was read, by the segments that lived when the job began. The
output folder then holds for each file of customers a `memberships-<n>.parquet`, in the same order (where each belongs,
and whether what is stored says something else), `progress.json` and last `_SUCCESS`; run again with equal files it ends
with equal ones. Killed, it goes on after the last finished file. Exit codes: see `jobs.program`.
"""

import sys

from scoring.jobs import program, segment_tasks
from scoring.jobs.executor import chosen
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.memory import BYTES_PER_TASK, widest_of
from scoring.jobs.program import SUCCESS
from scoring.jobs.progress import Reporter, State
from scoring.jobs.segment_spec import SegmentJobSpec
from scoring.jobs.segment_tasks import Judged, Piece

_COPIES = 2
"""Of what is read at once, at the peak of a task, as measured."""
_STEPS = (("judge", 100.0),)


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.segments", __doc__, SegmentJobSpec, run)


def run(spec: SegmentJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError, telling how to mend it."""
    reporter.steps = _STEPS
    with program.usable("What is known of customers"):
        _run(spec, output, reporter)


def _run(spec: SegmentJobSpec, output: Folder, reporter: Reporter) -> None:
    output.delete(SUCCESS)
    asked = tuple((segment.uid, segment.expression) for segment in spec.segments)
    following = frozenset(spec.following)
    pieces = [
        Piece(spec.output, spec.people, part.name, number, asked, following) for number, part in enumerate(spec.parts)
    ]
    customers = sum(part.rows for part in spec.parts)
    largest = _COPIES * max((part.chunk_bytes for part in spec.parts), default=0)

    def width() -> int:
        # Rules are Python, which runs in one thread of a process at a time: only Ray's workers are faster together.
        return widest_of(largest, 1, spec.memory_mb, "A file of customers")

    needed = BYTES_PER_TASK + largest
    with chosen(spec.executor, customers, spec.ray_from_customers, width, needed) as executor:
        reporter.place = executor.place
        counter = reporter.counter("judge", len(pieces), rows=lambda judged: judged.rows)
        found: list[Judged] = executor.run(segment_tasks.judge, pieces, counter)
    differing = sum(each.differing for each in found)
    key = fingerprint(segment_tasks.VERSION, sorted(asked), sorted(following), [each.sha256 for each in found])
    told = {"customers": customers, "differing": differing, "place": reporter.place}
    output.write_json(SUCCESS, {"fingerprint": key, **told})
    reporter.end(State.SUCCEEDED, f"{customers} customers are judged, {differing} are to be looked at again")


if __name__ == "__main__":
    sys.exit(main())
