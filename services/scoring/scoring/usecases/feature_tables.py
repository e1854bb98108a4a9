"""The steps of a job that writes features: what its program is told, what is kept of its result, and who leaves it."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis import clock, tenancy
from chassis.errors import Unavailable
from chassis.lifecycle import Stopping
from docstore import Row
from docstore.blobs import BlobStore
from scoring import parquet
from scoring.settings import ScoringSettings
from scoring.store import ScoringJob
from scoring.store.features import ACTIVITY, PURCHASES, manifest_files, subject_of
from scoring.store.jobs import BACKFILL, COMPUTING
from scoring.usecases import activity, flushing, preparing, retention
from scoring.usecases.leased_jobs import note

NO_CURRENCY = "XXX"
"""Of ISO 4217, where nothing was bought."""
_EVENTS_PER_PURCHASE = 10
"""So many more events than purchases make starting a Ray worth while: of an event less is computed."""


def known(
    settings: ScoringSettings,
    blobs: BlobStore,
    until: datetime,
    told: Callable[[int, int], None],
    *,
    purchases_needed: bool = True,
) -> tuple[dict[str, Any], dict[str, dict[str, list[str]]], float]:
    """What there is of the tenant: fields of `jobs.spec.FeaturesSpec`, the columns of its files `aliases` (who was
    merged into whom) and `exclude` (whom consent refuses), and the share of customers whom it does not.

    What waits is written into files first. told: as in `preparing.refused`. Raises JobFailed without purchases, where
    they are needed, Unavailable while files or decisions cannot be had.
    """
    files = event_files(settings, blobs)
    needed = purchases_needed or files[PURCHASES]
    currency = preparing.currency_of(files[PURCHASES]) if needed else NO_CURRENCY
    excluded, consenting = preparing.refused(settings, blobs, files, until, told)
    spec = {
        "tenant": tenancy.tenant(),
        "currency": currency,
        "files": told_files(settings, files),
        "rates": settings.day_rates_url,
    }
    return spec, {"aliases": preparing.alias_columns(), "exclude": {"customer": sorted(excluded)}}, consenting


def event_files(
    settings: ScoringSettings, blobs: BlobStore, kinds: Iterable[str] = (PURCHASES, ACTIVITY)
) -> dict[str, list[Row]]:
    """The tenant's files of events, of each of these kinds; what waits is written into files first.

    Raises Unavailable while another process writes them.
    """
    if flushing.flush(settings, blobs) is None or activity.flush(settings, blobs) is None:
        raise Unavailable("FILES_BUSY", "Another process writes the files; try again.", retry_after_s=1.0)
    return {kind: manifest_files(kind) for kind in kinds}


def told_files(settings: ScoringSettings, files: Mapping[str, list[Row]]) -> list[dict[str, Any]]:
    """Files of events as programs are told of them (`jobs.spec.EventFile`)."""
    return [
        {
            "url": preparing.url(settings, subject_of(file["bucket"], kind), file["name"]),
            "kind": kind,
            "bucket": file["bucket"],
        }
        for kind, of_kind in files.items()
        for file in of_kind
    ]


def whole_from(settings: ScoringSettings) -> dict[str, str]:
    """Since when files hold all events, by their kind; the same all day."""
    days = {kind: retention.kept_from(kind, settings).astimezone(UTC).date() for kind in (PURCHASES, ACTIVITY)}
    return {kind: f"{day + timedelta(days=1)}T00:00:00+00:00" for kind, day in days.items()}


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase; who sells nothing has features, too.

    Raises as `known` does.
    """
    given, _ = told_of(job, settings, blobs, purchases_needed=False)
    several = job.task == BACKFILL
    spec = {
        **given,
        "whole_from": whole_from(settings),
        **({"instants": [at.isoformat() for at in job.instants]} if several else {"as_of": job.as_of.isoformat()}),
    }
    note(
        job,
        phase=COMPUTING,
        spec=spec,
        percent=preparing.PREPARED_PERCENT,
        compute_begin_time=clock.real_now(),
        message="Starts the computation.",
    )


def told_of(
    job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, *, purchases_needed: bool = True
) -> tuple[dict[str, Any], float]:
    """What a job's program is told that computes features (`jobs.spec.FeaturesSpec`), and the share of customers whom
    consent does not refuse. Raises as `known` does.
    """
    note(job, message="Writes the events into files.", files=True)

    def told(buckets: int, count: int) -> None:
        percent = preparing.percent_asked(buckets)
        note(job, percent=percent, refused=count, message="Asks consent whose features may be written.")

    given, columns, consenting = known(settings, blobs, job.as_of, told, purchases_needed=purchases_needed)
    for name, content in columns.items():
        blobs.put(job.subject, f"{name}.parquet", parquet.strings(content))
    spec = {
        **given,
        **{name: preparing.url(settings, job.subject, f"{name}.parquet") for name in columns},
        "ray_from_events": _EVENTS_PER_PURCHASE * settings.ray_from_purchases,
    }
    return spec, consenting


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, _stopping: Stopping) -> str:
    """Notes what was written and where; returns it in words."""
    done = json.loads(blobs.get(job.result_subject, "_SUCCESS"))
    declared = json.loads(blobs.get(job.result_subject, "features.json"))
    job.told = {
        "location": preparing.url(settings, job.result_subject),
        "rows": done["rows"],
        "seconds": (clock.real_now() - job.compute_begin_time).total_seconds(),
    }
    count = len(declared["instants"])
    instants = "one instant" if count == 1 else f"{count} instants"
    left_out = f"; {declared['message']}" if declared["message"] else ""
    return f"{done['rows']} rows of {len(declared['features'])} features as of {instants}{left_out}."
