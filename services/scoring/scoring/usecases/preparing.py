"""The first step of a job: which files, which customers, under which names - and whom consent refuses."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from chassis import tenancy
from chassis.errors import Unavailable
from docstore import aliases
from docstore.aliases import CustomerAlias
from docstore.blobs import BlobStore
from scoring import decisions, parquet
from scoring.domain.buckets import BUCKETS
from scoring.domain.purchases import main_currency
from scoring.settings import ScoringSettings
from scoring.store import Model, ScoringJob
from scoring.store.features import PURCHASES, SUBSCRIPTIONS, manifest_files, subject_of
from scoring.store.jobs import COMPUTING
from scoring.usecases import flushing, models, released
from scoring.usecases.leased_jobs import JobFailed, note

PREPARED_PERCENT = 10
EXCLUDE = "exclude.parquet"
"""File of a job that names the customers whom consent refuses."""
_ALONE: Mapping[tuple[str, ...], str] = {(PURCHASES,): "purchases", (SUBSCRIPTIONS,): "events of subscriptions"}
"""What files hold, in words; of several kinds they hold events."""


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    Raises JobFailed without purchases, FailedPrecondition without a released model where the task takes one,
    Unavailable while files or decisions cannot be had.
    """
    given = purchases(job, settings, blobs)
    why = f"it is not in {given['currency']} or was not kept whole"
    known = released.told(job, models.known(given["currency"], job.as_of), why)
    spec = {
        **given,
        "task": program_task(job),
        "horizon_weeks": job.horizon_weeks,
        "discount": job.discount_basis_points / 10_000,
        "rates": settings.day_rates_url,
        "partitions": settings.job_partitions,
        "models": [known_model(settings, role, model) for role, model in known],
        "ray_from_purchases": settings.ray_from_purchases,
    }
    note(job, phase=COMPUTING, spec=spec, percent=PREPARED_PERCENT, message="Starts the computation.")


def program_task(job: ScoringJob) -> str:
    """What a job's program is to do (`jobs.spec.Task`)."""
    return str(job.task).lower() if job.task else "train_and_score"


def purchases(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> dict[str, Any]:
    """What every program is told that reads purchases: which files, under which names, and who is not in it.

    Raises JobFailed without purchases, Unavailable while files or decisions cannot be had.
    """
    note(job, message="Writes the purchases into files.", files=True)
    if flushing.flush(settings, blobs) is None:
        raise Unavailable("FILES_BUSY", "Another runner writes the purchases; this is tried again.", retry_after_s=1.0)
    files = manifest_files()
    currency = currency_of(files)
    excluded, consenting = _refused(job, settings, blobs, files)
    alias_file = "aliases.parquet"
    blobs.put(job.subject, EXCLUDE, parquet.strings({"customer": sorted(excluded)}))
    blobs.put(job.subject, alias_file, parquet.strings(alias_columns()))
    return {
        "tenant": tenancy.tenant(),
        "as_of": job.as_of.isoformat(),
        "currency": currency,
        "inputs": [url(settings, subject_of(file["bucket"]), file["name"]) for file in files],
        "aliases": url(settings, job.subject, alias_file),
        "exclude": url(settings, job.subject, EXCLUDE),
        "consenting": consenting,
    }


def known_model(settings: ScoringSettings, role: str, model: Model) -> dict[str, str]:
    """A model of an earlier job, as a program is told of it (`jobs.spec.KnownModel`)."""
    address = url(settings, model.subject, model.artefact)
    return {"name": model.name, "role": role, "url": address, "sha256": model.artefact_sha256}


def url(settings: ScoringSettings, subject: str, name: str = "") -> str:
    """Where the job program finds a file, or with no name the folder, of the current tenant's blob store."""
    parts = [str(settings.blob_url).rstrip("/"), tenancy.tenant(), subject, *([name] if name else [])]
    return "/".join(parts)


def currency_of(files: list[dict[str, Any]]) -> str:
    """The tenant's main currency, by its files of purchases. Raises JobFailed without any."""
    rows: Counter[str] = Counter()
    for file in files:
        rows.update({code: total["rows"] for code, total in file["currencies"].items()})
    if not rows:
        raise JobFailed("No purchases are known: send `Order Completed` events with an amount first.")
    return main_currency(rows)


def alias_columns() -> dict[str, list[str]]:
    """Who was merged into whom, as `parquet.strings` writes it."""
    customers, canonicals = [], []
    for row in CustomerAlias.rows().find({}, {"_id": 0, "customer": 1, "canonical": 1}):
        if row["customer"] != row["canonical"]:
            customers.append(row["customer"])
            canonicals.append(row["canonical"])
    return {"customer": customers, "canonical": canonicals}


def _refused(
    job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, files: list[dict[str, Any]]
) -> tuple[set[str], float]:
    def told(buckets: int, count: int) -> None:
        note(job, percent=percent_asked(buckets), refused=count, message="Asks consent who may be scored.")

    return refused(settings, blobs, {PURCHASES: files}, job.as_of, told)


def percent_asked(buckets: int) -> int:
    """How much of a job is done when consent has been asked about so many buckets of customers."""
    return PREPARED_PERCENT * buckets // BUCKETS


def refused(
    settings: ScoringSettings,
    blobs: BlobStore,
    files: Mapping[str, list[dict[str, Any]]],
    until: datetime,
    told: Callable[[int, int], None],
) -> tuple[set[str], float]:
    """All names of the customers whom consent refuses, asked once for each profile; and the share of the others.

    files: those of each kind, of which customers count who are in them up to an instant. told: hears after each bucket
    how many are done, and how many profiles are refused so far. Raises JobFailed when there are no customers.
    """
    names_refused: set[str] = set()
    asked: dict[str, bool] = {}
    refused_count = 0
    for bucket in range(BUCKETS):
        names: set[str] = set()
        for kind, file in ((kind, file) for kind, of_kind in files.items() for file in of_kind):
            if file["bucket"] == bucket:
                with blobs.open(subject_of(bucket, kind), file["name"]) as opened:
                    names |= parquet.distinct(opened, "customer", until=until)
        canonical = _resolved(sorted(names))
        waiting = sorted(set(canonical.values()) - asked.keys())
        for start in range(0, len(waiting), decisions.BATCH):
            decided = decisions.decide(settings, waiting[start : start + decisions.BATCH])
            asked |= {customer: decision.allowed for customer, decision in decided.items()}
            refused_count += sum(not decision.allowed for decision in decided.values())
        names_refused |= {name for pair in canonical.items() if not asked[pair[1]] for name in pair}
        told(bucket + 1, refused_count)
    if not asked:
        what = _ALONE.get(tuple(files), "events")
        raise JobFailed(f"No {what} are known up to that instant: choose a later as_of.")
    return names_refused, 1 - refused_count / len(asked)


def refused_by(job: ScoringJob, blobs: BlobStore) -> set[str] | None:
    """All names of the customers whom consent refused to a job; None when an erasure has deleted them meanwhile."""
    if EXCLUDE not in blobs.list(job.subject):
        return None
    with blobs.open(job.subject, EXCLUDE) as opened:
        return set(parquet.values(opened, ["customer"])["customer"])


def _resolved(names: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(names), decisions.BATCH):
        found |= aliases.resolve(names[start : start + decisions.BATCH])
    return found
