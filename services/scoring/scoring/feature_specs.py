"""Tells a program that writes features what there is of a tenant: which files, under which names, and who is not in it.

    python -m scoring.feature_specs --tenant shop --output s3://exports/2026-03 --as-of 2026-03-01T00:00Z
    python -m scoring.jobs.backfill --spec s3://exports/2026-03/spec.json

Run it with the environment of role `run`. What waits is written into files first; whom consent refuses is left
out. The folder then holds `spec.json` and the names of merged and refused customers: it is its caller's to delete.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from docstore.blobs import BlobStore
from scoring import parquet, tenant_command
from scoring.jobs.files import Folder
from scoring.settings import ScoringSettings
from scoring.usecases import feature_tables

SPEC = "spec.json"


def write(settings: ScoringSettings, store: BlobStore, output: str, instants: Sequence[datetime]) -> dict[str, Any]:
    """Writes the spec (`jobs.spec.BackfillSpec`) of the current tenant into the output folder, and returns it.

    Raises JobFailed without events, Unavailable while files or decisions cannot be had.
    """
    given, columns, _ = feature_tables.known(settings, store, max(instants), lambda *_: None, purchases_needed=False)
    folder = Folder(output)
    for name, content in columns.items():
        body = parquet.strings(content)
        folder.write(f"{name}.parquet", lambda file, body=body: file.write(body))  # type: ignore[misc]
    spec = {
        **given,
        "whole_from": feature_tables.whole_from(settings),
        "instants": [instant.isoformat() for instant in instants],
        **{name: f"{output}/{name}.parquet" for name in columns},
        "output": output,
    }
    folder.write_json(SPEC, spec)
    return spec


def _main(arguments: list[str]) -> int:
    parser = tenant_command.parser("scoring.feature_specs", __doc__)
    parser.add_argument("--output", required=True, help="an empty folder, a path or an fsspec address")
    parser.add_argument("--as-of", required=True, action="append", type=datetime.fromisoformat, help="RFC 3339 instant")
    given = parser.parse_args(arguments)
    if any(instant.tzinfo is None for instant in given.as_of):
        parser.error("--as-of needs an offset, such as Z")
    output = given.output.rstrip("/")

    def tell(settings: ScoringSettings, store: BlobStore) -> int:
        write(settings, store, output, given.as_of)
        sys.stdout.write(f"{output}/{SPEC}\n")
        return 0

    return tenant_command.run(given.tenant, "feature_specs", tell)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
