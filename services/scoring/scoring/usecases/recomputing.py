"""Recomputes the memberships of all segments in full, mends what differs, and counts it: it should be nothing.

Members are kept up to date by `evaluating`; this is the proof that they are right, and the way back if they are not. It
looks at some hundred customers at a time, each time as the tenant's keeper, and goes on after the last ones when it is
killed.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta

from chassis import clock, metric_names, telemetry, tenancy
from chassis.lifecycle import Stopping
from docstore import Conflict, Row, leases
from docstore.blobs import BlobStore
from docstore.leases import LeaseLost
from scoring.settings import ScoringSettings
from scoring.store import Profile, ScoringJob, Segment, SegmentKeeper, SegmentSignal
from scoring.store.jobs import COMPUTING, STORING
from scoring.usecases import evaluating
from scoring.usecases.leased_jobs import Patience, RunnerStops, note, prove
from scoring.usecases.settling import Asked, Cause, News, settle

CHUNK = 500
_NEWS_MOST = 1_000
"""Signals that are looked through for customers whose memberships are about to change by themselves."""
_POLL_S = 0.1

logger = logging.getLogger(__name__)


def prepare(job: ScoringJob, _settings: ScoringSettings, _blobs: BlobStore) -> None:
    """Brings the job to its next phase."""
    told = {"after": "", "customers": 0, "segments": 0, "differences": 0, "miscounted": 0}
    note(job, phase=COMPUTING, told=told, percent=0, message="Looks at all customers.")


def recompute(job: ScoringJob, owner: str, stopping: Stopping) -> None:
    """Looks at everybody, then counts members, and brings the job to its next phase.

    Raises Cancelled, Unavailable when the process stops or news keep it from going on, and Conflict when somebody else
    holds the job.
    """
    patience = Patience()
    total, begun, before = Profile.rows().count({}), time.monotonic(), job.told["customers"]
    while not job.told.get("ended"):
        if stopping.is_set():
            raise RunnerStops
        # Only what is not on its way by itself is a difference: news are taken in first.
        evaluating.keep(owner)
        if not _part(job, owner):
            note(job, message="Waits for the segments' news to be taken in.")
            patience.check("the segments' news are not taken in yet.")
            if stopping.wait(_POLL_S):
                raise RunnerStops
            continue
        patience.renew()
        done = job.told["customers"]
        left_s = (time.monotonic() - begun) / max(1, done - before) * max(0, total - done)
        note(
            job,
            percent=min(99, 100 * done // max(1, total)),
            expected_end_time=clock.now() + timedelta(seconds=left_s),
            message=f"Looked at {done} customers for {job.told['segments']} segments.",
        )
    note(job, phase=STORING, percent=99, expected_end_time=None)


def store(job: ScoringJob, _settings: ScoringSettings, _blobs: BlobStore, _stopping: Stopping) -> str:
    """Tells what was found: in words, in the metric, and in the log."""
    told = job.told
    looked = f"{told['customers']} customers were looked at for {told['segments']} segments"
    if not told["differences"] and not told["miscounted"]:
        return f"{looked}: all memberships were right."
    telemetry.counter(metric_names.SCORING_SEGMENT_DIFFERENCES).add(told["differences"])
    logger.error("%d memberships and %d counts of members were wrong", told["differences"], told["miscounted"])
    return f"{looked}: {told['differences']} memberships and {told['miscounted']} counts were wrong, and are mended."


def _part(job: ScoringJob, owner: str) -> bool:
    """Looks at the next customers, or after the last ones counts members; False when that has to wait."""
    leased = evaluating.claim(owner)
    if leased is None:
        return False
    told: Row = {}

    def once() -> int:
        nonlocal told
        told = _look(job)
        return len(told)

    try:
        evaluating.as_keeper(leased, once)
    except LeaseLost:
        return False
    except Conflict:
        # A segment was changed meanwhile, unless the job is somebody else's now: then this says so.
        note(job)
        return False
    finally:
        leases.release(SegmentKeeper.rows(), leased)
    if told:
        job.told = told
    return bool(told)


def _look(job: ScoringJob) -> Row:
    """One step, in a transaction that fails unless this runner holds the job.

    Returns what is to be told of the job then, nothing when it has to wait.
    """
    signals = list(SegmentSignal.rows().find({"rank": {"$gte": 0}}, limit=_NEWS_MOST))
    if len(signals) == _NEWS_MOST:
        return {}
    place = {"_id": {"$gt": Profile.key(job.told["after"]), "$lt": f"{tenancy.tenant()}0"}}
    read = {"uid": 1, "customer": 1, "segments": 1, "due": 1}
    rows = list(Profile.rows().find(place, read, sort=[("_id", 1)], limit=CHUNK))
    asked = Asked.read()
    told = {**job.told, "segments": len(asked.versions) - len(asked.deleted)}
    if rows:
        told["after"] = rows[-1]["uid"]
        told["customers"] += len(rows)
        told["differences"] += _mend(rows, asked, _causes(signals))
    else:
        told["miscounted"] = _recount(asked)
        told["ended"] = True
    prove(job, {"$set": {"told": told}})
    return told


def _mend(rows: list[Row], asked: Asked, waiting: Mapping[str, set[int]]) -> int:
    """Looks at customers in full; returns how many of their memberships were wrong.

    waiting: those of whom news are there, and why; what these change was not wrong.
    """
    causes = defaultdict(set, waiting)
    now = clock.now()
    for row in rows:
        if row.get("due") and row["due"] <= now:
            causes[row["customer"]].add(Cause.CAUSE_TIME_PASSED)
    settle({row["customer"]: News(causes=causes[row["customer"]], keys=None) for row in rows}, asked, now)
    uids = [row["uid"] for row in rows]
    found = Profile.rows().find({"uid": {"$in": uids}}, {"uid": 1, "segments": 1})
    after = {row["uid"]: set(row.get("segments") or ()) for row in found}
    follow = asked.changed | asked.deleted
    return sum(
        len((set(row.get("segments") or ()) ^ after[row["uid"]]) - follow)
        for row in rows
        if not causes[row["customer"]]
    )


def _recount(asked: Asked) -> int:
    """Counts the members of each segment anew; returns of how many the number was wrong."""
    wrong = 0
    for uid in asked.versions.keys() - asked.deleted:
        members = Profile.rows().count({"segments": uid})
        other = {"uid": uid, "version": asked.versions[uid], "member_count": {"$ne": members}}
        wrong += Segment.rows().update_one(other, {"$set": {"member_count": members}}).modified_count
    return wrong


def _causes(signals: Iterable[Row]) -> dict[str, set[int]]:
    """Customers of whom news wait, and the causes of these."""
    found: dict[str, set[int]] = defaultdict(set)
    for signal in signals:
        named = [*(event["c"] for event in signal.get("events", ())), *signal.get("customers", ())]
        for name in [*named, *(state["customer"] for state in signal.get("states", ()))]:
            found[name].add(signal["cause"])
    return found
