"""Erasing people (GDPR article 17), out of the files too.

Files are immutable: one that holds the person is written anew without them, the manifest names the new one (from then
on nobody reads the old one), and the old one is deleted. A job that has begun to read before that is waited for: its
program must find its files. What it computed is stored without the person, whose rows are emptied.
"""

from collections import Counter
from collections.abc import Collection
from pathlib import PurePosixPath

import docstore
from chassis import ids
from chassis.errors import Unavailable
from chassis.inputs import uid
from docstore import Row, aliases
from docstore.blobs import BlobStore
from docstore.leases import LeaseLost
from eventing.erasing import Items
from scoring import rewritten_parquet
from scoring.domain.buckets import bucket_of
from scoring.settings import ScoringSettings
from scoring.store import Objection, ScoringJob, StagedPurchase, activity, histories
from scoring.store.features import (
    ACTIVITY,
    FILE_KINDS,
    ORDER_LINES,
    PURCHASES,
    SUBSCRIPTIONS,
    named_files,
    subject_of,
)
from scoring.store.jobs import ACTIVE, COMPUTING, FEATURE_TABLES, PREPARING
from scoring.usecases import (
    customer_offers,
    customer_send_times,
    flushing,
    journey_entrants,
    kept_results,
    leads,
    memberships,
    payments,
    running,
    signals,
)


def erase(customers: list[str], settings: ScoringSettings, blobs: BlobStore) -> Items:
    """Erases everything of these customers (resource names); for `eventing.erasing`.

    Raises Unavailable FILES_BUSY while another process writes the tenant's files, and JOB_READS while a scoring job
    still reads what it began with: the person is in no file that a later job reads then, and it is done again.
    """
    uids = [uid(customer) for customer in customers]
    forgotten = docstore.in_transaction(lambda: _forget(uids, customers))
    objections = Objection.rows().delete_many({"uid": {"$in": uids}}).deleted_count
    known = aliases.forget(customers)
    told_leads = leads.erase(customers)
    entrants = journey_entrants.forget(customers)
    removed = _erase_from_files(customers, settings, blobs)
    return {
        **{kind: (number, 0) for kind, number in forgotten.items()},
        "objections": (objections, 0),
        "leads": (told_leads, 0),
        "journeyEntrants": (entrants, 0),
        "customerAliases": (known, 0),
        "purchases": (removed[PURCHASES], 0),
        "orderLines": (removed[ORDER_LINES], 0),
        "events": (removed[ACTIVITY], 0),
        "subscriptionEvents": (removed[SUBSCRIPTIONS], 0),
    }


def _forget(uids: list[str], customers: list[str]) -> dict[str, int]:
    memberships.forestall()
    # What is taken in meanwhile conflicts about the signal or the profile, and then sees the tombstone.
    signals.forget(customers)
    told = {
        "purchaseHistories": histories.forget(customers),
        "customerOffers": customer_offers.forget(customers),
        "customerSendTimes": customer_send_times.forget(customers),
        **payments.forget(customers),
    }
    return {**memberships.forget(uids), **told}


def _erase_from_files(customers: Collection[str], settings: ScoringSettings, blobs: BlobStore) -> Counter[str]:
    """Erases purchases, their lines and other events, on the stage and in files; returns how many of each kind."""
    with flushing.writing(settings) as leased:
        if leased is None:
            raise Unavailable("FILES_BUSY", "Another process writes the purchases; this is tried again.")
        try:
            return _erase_while_leased(leased, customers, blobs)
        except LeaseLost as error:
            raise Unavailable("FILES_BUSY", "Another process took over the files; this is tried again.") from error


def _erase_while_leased(leased: Row, customers: Collection[str], blobs: BlobStore) -> Counter[str]:
    buckets = {bucket_of(customer) for customer in customers}
    # Here nobody has staged rows in hand: a flush that lost its lease cannot name its files.
    staged = {"staged": True, "customer": {"$in": list(customers)}}
    removed = _write_anew(leased, buckets, customers, blobs)
    lines = StagedPurchase.rows().find(staged, {"lines.quantity": 1}, hint="staged")
    removed[ORDER_LINES] += sum(len(row.get("lines") or ()) for row in lines)
    removed[ACTIVITY] += activity.forget(customers)
    removed[PURCHASES] += StagedPurchase.rows().delete_many(staged, hint="staged").deleted_count
    _settle_jobs(customers, leased, blobs)
    for bucket in buckets:
        _delete_unnamed(bucket, leased, blobs)
    return removed


def _write_anew(leased: Row, buckets: Collection[int], customers: Collection[str], blobs: BlobStore) -> Counter[str]:
    """Puts files without the customers in the place of those with them; returns how many rows of each kind went."""
    changed = flushing.heads(leased)
    removed: Counter[str] = Counter()
    for kind, head in changed.items():
        files: list[Row] = []
        for file in head.files:
            subject, rest = subject_of(file["bucket"], kind), None
            if file["bucket"] in buckets:
                flushing.prolong(leased)
                with blobs.open(subject, file["name"]) as opened:
                    rest = rewritten_parquet.without(opened, customers)
            if rest is None:
                files.append(file)
                continue
            removed[kind] += rest.removed
            if rest.rows:
                name = f"{ids.uuid7()}.parquet"
                blobs.put(subject, name, rest.content)
                totals = {"currencies": rest.currencies} if kind == PURCHASES else {}
                files.append({**file, "name": name, "rows": rest.rows, **totals})
        head.files = files
    if removed:
        docstore.in_transaction(lambda: flushing.switch(leased, changed))
    return removed


def _delete_unnamed(bucket: int, leased: Row, blobs: BlobStore) -> None:
    """Deletes the bucket's files that no manifest names, and what killed writers left. Raises LeaseLost.

    Not those made since the lease was claimed: whoever took it over meanwhile is about to name them. An unfinished
    file of theirs may go; they fail then before they name it, and write it again.
    """
    flushing.prolong(leased)
    named, begun = named_files(), ids.time_of(leased["lease"]["token"])
    for subject in (subject_of(bucket, kind) for kind in FILE_KINDS):
        for name in blobs.list(subject):
            if name not in named and ids.time_of(name.removesuffix(".parquet")) < begun:
                blobs.delete(subject, name)
        blobs.delete_unfinished(subject)


def _settle_jobs(customers: Collection[str], leased: Row, blobs: BlobStore) -> None:
    """Removes the people from the files of jobs, and from the results that are kept.

    Raises Unavailable JOB_READS, and LeaseLost.
    """
    while running.remove_files(blobs):
        flushing.prolong(leased)
    kept_results.begin_parked_anew(blobs)
    for job in ScoringJob.find({"result_until": {"$exists": True}}):
        kept_results.take_out(job, customers, leased, blobs)
    for job in ScoringJob.find(ACTIVE | {"files": True}):
        if job.phase == PREPARING or (job.phase == COMPUTING and _reads(job, customers, blobs)):
            raise Unavailable("JOB_READS", f"{job.name} still reads what it began with; this is tried again.")
        if job.phase == COMPUTING:
            blobs.delete_unfinished(job.subject)  # of who wrote what it reads, and was killed
            continue
        flushing.prolong(leased)
        for name in _parquet_files(blobs, job.subject):
            blobs.delete(job.subject, name)  # who is left out, and aliases: computing is over
        if job.kind == FEATURE_TABLES:
            kept_results.take_out(job, customers, leased, blobs)
        else:
            kept_results.empty(job, customers, leased, blobs)


def _reads(job: ScoringJob, customers: Collection[str], blobs: BlobStore) -> bool:
    """Whether a job that computes has the people in what it reads; else they are in nothing it makes either."""
    named = named_files()
    urls = [*job.spec.get("inputs", ()), *(file["url"] for file in job.spec.get("files", ()))]
    if any(PurePosixPath(url).name not in named for url in urls):
        return True
    for name in _parquet_files(blobs, job.subject):
        with blobs.open(job.subject, name) as opened:
            if rewritten_parquet.names_any(opened, customers):
                return True
    return False


def _parquet_files(blobs: BlobStore, subject: str) -> list[str]:
    return [name for name in blobs.list(subject) if name.endswith(".parquet")]
