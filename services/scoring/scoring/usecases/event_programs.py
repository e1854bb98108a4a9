"""What programs are told that read what customers did, and no amounts."""

from collections.abc import Iterable, Mapping
from typing import Any

from chassis import tenancy
from docstore.blobs import BlobStore
from scoring import parquet
from scoring.settings import ScoringSettings
from scoring.store import ScoringJob
from scoring.store.features import ACTIVITY, PURCHASES
from scoring.usecases import feature_tables, preparing
from scoring.usecases.leased_jobs import JobFailed, note

Columns = Mapping[str, list[str]]


def told_of(
    job: ScoringJob,
    settings: ScoringSettings,
    blobs: BlobStore,
    asks: str,
    kinds: Iterable[str] = (PURCHASES, ACTIVITY),
    nothing: str = "Nothing that customers did is known: send events first.",
    **others: Columns,
) -> dict[str, Any]:
    """Fields that the specs of such programs share; what waits is written into files first.

    asks: what consent is asked, in words. kinds: of the files that are read; nothing: what is said without any.
    others: columns of further files, by the fields that name these.

    Raises JobFailed without events, Unavailable while files or decisions cannot be had.
    """
    note(job, message="Writes the events into files.", files=True)

    def told(buckets: int, count: int) -> None:
        note(job, percent=preparing.percent_asked(buckets), refused=count, message=asks)

    files = feature_tables.event_files(settings, blobs, kinds)
    if not any(files.values()):
        raise JobFailed(nothing)
    excluded, consenting = preparing.refused(settings, blobs, files, job.as_of, told)
    columns: dict[str, Columns] = {
        "aliases": preparing.alias_columns(),
        "exclude": {"customer": sorted(excluded)},
        **others,
    }
    for name, content in columns.items():
        blobs.put(job.subject, f"{name}.parquet", parquet.strings(content))
    return {
        "tenant": tenancy.tenant(),
        "as_of": job.as_of.isoformat(),
        "files": feature_tables.told_files(settings, files),
        "consenting": consenting,
        **{name: preparing.url(settings, job.subject, f"{name}.parquet") for name in columns},
    }
