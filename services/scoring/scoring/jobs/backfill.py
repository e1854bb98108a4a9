"""Writes features as of several instants at once: `python -m scoring.jobs.backfill --spec spec.json`.

Events are read once for all instants; the files are those that `scoring.jobs.features` writes as of each. Instants may
be added later: what is finished stays, as long as the events are the same.
"""

import sys

from scoring.jobs import features, program
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import BackfillSpec


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.backfill", __doc__, BackfillSpec, _several)


def _several(spec: BackfillSpec, output: Folder, reporter: Reporter) -> None:
    features.run(spec, spec.instants, output, reporter)


if __name__ == "__main__":
    sys.exit(main())
