"""Recomputes the memberships of all segments in full, mends what differs, and counts it: it should be nothing.

Members are kept up to date by `evaluating`; this is the proof that they are right, and the way back if they are not.
Its program (`jobs.segments`) tells of whom something else is stored than it finds. These are looked at again here, by
what is known of them now, some hundred at a time, each time as the tenant's keeper: what has changed since the files
were written, or is on its way, is no difference. It goes on after the last ones when it is killed.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from chassis import clock, metric_names, telemetry
from chassis.lifecycle import Stopping
from docstore import Conflict, Row, aliases, leases
from docstore.blobs import BlobStore
from docstore.leases import LeaseLost
from scoring import parquet
from scoring.settings import ScoringSettings
from scoring.store import Profile, ScoringJob, Segment, SegmentKeeper, SegmentSignal
from scoring.usecases import evaluating
from scoring.usecases.leased_jobs import Patience, RunnerStops, note, prove
from scoring.usecases.settling import Asked, Cause, News, settle

CHUNK = 500
_NEWS_MOST = 1_000
"""Signals that are looked through for customers whose memberships are about to change by themselves."""
_COUNT_S = 1.0
"""How long members are counted in one transaction: those who keep segments wait for it, and only so long."""
_POLL_S = 0.1
_STORED_PERCENT = (80, 99)

logger = logging.getLogger(__name__)


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Looks again at those of whom the program says so, and counts members; tells what was found, in words, in the
    metric and in the log.

    Raises Unavailable when the process stops or news keep it from going on, and Conflict when somebody else holds the
    job.
    """
    if not job.told.get("ended"):
        low, high = _STORED_PERCENT
        for place, names in _differing(job, blobs):
            _step(job, settings.instance, stopping, place, names)
            percent = low + (high - low) * place[0] // len(job.spec["parts"])
            note(job, percent=percent, message="Looks again at those of whom something else is stored.")
        note(job, percent=high, message="Counts the members of segments.")
        while not job.told.get("ended"):
            _step(job, settings.instance, stopping, None, ())
    told = job.told
    looked = f"{told['customers']} customers were looked at for {told['segments']} segments"
    if not told["differences"] and not told["miscounted"]:
        return f"{looked}: all memberships were right."
    telemetry.counter(metric_names.SCORING_SEGMENT_DIFFERENCES).add(told["differences"])
    logger.error("%d memberships and %d counts of members were wrong", told["differences"], told["miscounted"])
    return f"{looked}: {told['differences']} memberships and {told['miscounted']} counts were wrong, and are mended."


def _differing(job: ScoringJob, blobs: BlobStore) -> Iterator[tuple[list[int], list[str]]]:
    """Who is to be looked at again, some hundred at a time, each with the place (file, row) to go on from."""
    files = [name for name in blobs.list(job.result_subject) if name.startswith("memberships-")]
    begin, done = job.told.get("place", (0, 0))
    for number in range(begin, len(files)):
        with blobs.open(job.result_subject, files[number]) as opened:
            found = parquet.values(opened, ["customer", "differs"])
        # Rows of people who were erased since have no name.
        rows = enumerate(zip(found["customer"], found["differs"], strict=True))
        left = [(row, name) for row, (name, differs) in rows if name and differs and row >= done]
        for start in range(0, len(left), CHUNK):
            part = left[start : start + CHUNK]
            yield [number, part[-1][0] + 1], [name for _, name in part]
        done = 0


def _step(job: ScoringJob, owner: str, stopping: Stopping, place: list[int] | None, customers: Collection[str]) -> None:
    """Looks at these customers, or with no place to go on from counts members, once that can be done."""
    patience = Patience()
    while True:
        if stopping.is_set():
            raise RunnerStops
        # Only what is not on its way by itself is a difference: news are taken in first.
        evaluating.keep(owner)
        if _done(job, owner, place, customers):
            return
        note(job, message="Waits for the segments' news to be taken in.")
        patience.check("the segments' news are not taken in yet.")
        if stopping.wait(_POLL_S):
            raise RunnerStops


def _done(job: ScoringJob, owner: str, place: list[int] | None, customers: Collection[str]) -> bool:
    """Does a step; False when that has to wait."""
    leased = evaluating.claim(owner)
    if leased is None:
        return False
    told: Row = {}

    def once() -> int:
        nonlocal told
        told = _look(job, place, customers)
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


def _look(job: ScoringJob, place: list[int] | None, customers: Collection[str]) -> Row:
    """One step, in a transaction that fails unless this runner holds the job.

    Returns what is to be told of the job then, nothing when it has to wait.
    """
    signals = list(SegmentSignal.rows().find({"rank": {"$gte": 0}}, limit=_NEWS_MOST))
    if len(signals) == _NEWS_MOST:
        return {}
    asked = Asked.read()
    told = {**job.told, "segments": len(asked.expressions)}
    if place is not None:
        told["place"] = place
        told["differences"] += _mend(customers, asked, _causes(signals))
    else:
        told.pop("place", None)
        wrong, told["counted"] = _recount(asked, told.get("counted", ""))
        told["miscounted"] += wrong
        if told["counted"] is None:
            del told["counted"]
            told["ended"] = True
    prove(job, {"$set": {"told": told}})
    return told


def _mend(customers: Collection[str], asked: Asked, waiting: Mapping[str, set[int]]) -> int:
    """Looks at customers in full, as they are now; returns how many of their memberships were wrong.

    waiting: those of whom news are there, and why; what these change was not wrong.
    """
    profiles = aliases.profiles(customers).values()
    # Who was merged is looked at with the one that stands for the profile; that mends all members.
    names = sorted({*customers, *(canonical for canonical, _ in profiles)})
    everybody = {*names, *(member for _, members in profiles for member in members)}
    before = _rows(everybody)
    causes = defaultdict(set, waiting)
    now = clock.now()
    for name, row in before.items():
        if row.get("due") and row["due"] <= now:
            causes[name].add(Cause.CAUSE_TIME_PASSED)
    settle({name: News(causes=causes[name], keys=None) for name in names}, asked, now)
    after, following = _rows(everybody), asked.following
    return sum(
        len((_segments(before, name) ^ _segments(after, name)) - following) for name in everybody if not causes[name]
    )


def _rows(customers: Iterable[str]) -> dict[str, Row]:
    uids = [name.rpartition("/")[2] for name in customers]
    found = Profile.rows().find({"uid": {"$in": uids}}, {"customer": 1, "segments": 1, "due": 1})
    return {row["customer"]: row for row in found}


def _segments(rows: Mapping[str, Row], customer: str) -> set[str]:
    return set(rows.get(customer, {}).get("segments") or ())


def _recount(asked: Asked, after: str) -> tuple[int, str | None]:
    """Counts the members of the segments after one (uid) anew, as many as there is time for; returns of how many the
    number was wrong, and the uid of the last, None at the end.
    """
    wrong, end = 0, time.monotonic() + _COUNT_S
    left = sorted(uid for uid in asked.expressions if uid > after)
    for uid in left:
        members = Profile.rows().count({"segments": uid})
        other = {"uid": uid, "version": asked.versions[uid], "member_count": {"$ne": members}}
        wrong += Segment.rows().update_one(other, {"$set": {"member_count": members}}).modified_count
        if time.monotonic() >= end and uid != left[-1]:
            return wrong, uid
    return wrong, None


def _causes(signals: Iterable[Row]) -> dict[str, set[int]]:
    """Customers of whom news wait, and the causes of these."""
    found: dict[str, set[int]] = defaultdict(set)
    for signal in signals:
        named = [*(event["c"] for event in signal.get("events", ())), *signal.get("customers", ())]
        for name in [*named, *(state["customer"] for state in signal.get("states", ()))]:
            found[name].add(signal["cause"])
    return found
