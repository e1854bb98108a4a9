"""Scores come and go, people object or are merged: what that means for segments, told once for each move.

Everything here is part of a transaction its caller opened.
"""

from collections.abc import Collection, Iterable

from rapport.scoring.v1 import events_pb2

from docstore import Row
from scoring.store import Profile, Score, ScoringJob, SegmentChange, histories
from scoring.store.jobs import ACTIVE
from scoring.store.scores import PARTS, VALUE, VALUES, tell
from scoring.store.segments import count_members
from scoring.usecases import signals
from scoring.usecases.settling import Moves

Cause = events_pb2.SegmentLeft


def settle(uids: Collection[str]) -> None:
    """Has the memberships of these customers follow their new scores."""
    signals.look_again(map(_name, uids), Cause.CAUSE_SCORES_CHANGED)


def remove(uids: Collection[str], cause: events_pb2.SegmentLeft.Cause) -> int:
    """Deletes the scores of these customers and has their memberships follow; returns how many had any."""
    rows = _delete_scores(uids)
    if rows:
        names = [row["customer"] for row in rows]
        tell([(events_pb2.ScoresUpdated(removed_customers=names), names)])
        signals.look_again(names, cause)
    return len(rows)


def remove_part(part: str, rows: Iterable[Row]) -> list[str]:
    """Takes one of `store.scores.PARTS` of these rows of scores (uid) away, and whole rows that have no other one, and
    has memberships follow; returns the names of who keeps others, whom the caller has to tell.
    """
    uids = [row["uid"] for row in rows]
    others = {"$or": [{other: {"$exists": True}} for other in PARTS if other != part]}
    found = {
        row["uid"]: row["customer"]
        for row in Score.rows().find({"uid": {"$in": uids}, **others}, {"uid": 1, "customer": 1})
    }
    if found:
        gone = dict.fromkeys(VALUES if part == VALUE else (part,), "")
        Score.rows().update_many({"uid": {"$in": list(found)}}, {"$unset": gone})
        settle(list(found))
    remove([uid for uid in uids if uid not in found], Cause.CAUSE_SCORES_REMOVED)
    return list(found.values())


def expel(uids: Collection[str], cause: events_pb2.SegmentLeft.Cause) -> None:
    """Lets these customers out of all segments at once, whatever waits to be taken in."""
    moves = Moves()
    asked = {"uid": {"$in": list(uids)}}
    for row in Profile.rows().find(asked, {"customer": 1, "segments": 1}):
        for segment in row.get("segments") or ():
            moves.note(segment, row["customer"], entered=False, cause=cause)
    # Rows in no segment too: whoever lets one in meanwhile conflicts, and looks again.
    Profile.rows().update_many(asked, {"$set": {"segments": []}, "$unset": {"known": "", "due": ""}})
    moves.carry_out({})
    signals.look_again(map(_name, uids), cause, urgent=True)


def forget(uids: Collection[str]) -> dict[str, int]:
    """Deletes what segments know of erased customers, and their scores; nothing is told any more. Returns how many.

    The caller keeps the tenant's segments, or nobody would.
    """
    found = list(Profile.rows().find({"uid": {"$in": list(uids)}}, {"segments": 1}))
    counts: dict[str, int] = {}
    for row in found:
        for segment in row.get("segments") or ():
            counts[segment] = counts.get(segment, 0) - 1
    profiles = Profile.rows().delete_many({"uid": {"$in": list(uids)}}).deleted_count
    names = [_name(uid) for uid in uids]
    changes = SegmentChange.rows().delete_many({"customer": {"$in": names}}).deleted_count
    count_members(counts)
    return {"scores": len(_delete_scores(uids)), "profiles": profiles, "segmentChanges": changes}


def forestall() -> None:
    """Makes scores that are being stored meanwhile conflict with this transaction, so that they are looked at again.

    For whoever takes scores away: among them may be a customer that has no row yet to conflict about.
    """
    ScoringJob.rows().update_many(ACTIVE, {"$inc": {"changes": 1}})
    histories.forestall()


def _delete_scores(uids: Collection[str]) -> list[Row]:
    """The deleted rows (uid, customer)."""
    rows = list(Score.rows().find({"uid": {"$in": list(uids)}}, {"uid": 1, "customer": 1}))
    if rows:
        Score.rows().delete_many({"uid": {"$in": [row["uid"] for row in rows]}})
    return rows


def _name(uid: str) -> str:
    return f"customers/{uid}"
