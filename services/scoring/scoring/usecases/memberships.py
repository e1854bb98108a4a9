"""Who is in which segment: moved together with the scores it rests on, and told once for each move.

Everything here is part of a transaction its caller opened. A membership is part of the score row, so whoever changes
a row meanwhile conflicts, and one of the two starts again on what then is.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from google.protobuf.message import Message
from rapport.scoring.v1 import events_pb2

from docstore import Row
from scoring import expressions, snapshots
from scoring.store import Score, ScoringJob, Segment
from scoring.store.jobs import ACTIVE
from scoring.store.scores import tell
from scoring.store.segments import SEGMENTS_MAX, count_members

Cause = events_pb2.SegmentLeft
Event = tuple[Message, list[str]]


def wanted(segment: Segment) -> dict[str, Any]:
    """The filter on scores that a segment stands for; a deleted one matches nobody."""
    if segment.delete_time:
        return expressions.MATCHES_NOTHING
    return expressions.matching(segment.expression, "segment.expression")


def settle(uids: Collection[str]) -> None:
    """Brings the memberships of these customers in line with their scores, in all segments."""
    for segment in Segment.find({}, limit=SEGMENTS_MAX):
        move(segment, uids, Cause.CAUSE_SCORES_CHANGED)


def move(segment: Segment, uids: Collection[str], cause: events_pb2.SegmentLeft.Cause) -> int:
    """Lets those of the customers that now match into a segment and those that do not out; returns how many moved."""
    asked = {"uid": {"$in": list(uids)}}
    matching = {row["uid"]: row for row in Score.rows().find({**asked, "$and": [wanted(segment)]})}
    members = {row["uid"]: row for row in Score.rows().find({**asked, "segments": segment.uid})}
    entering = [row for uid, row in matching.items() if uid not in members]
    leaving = [row for uid, row in members.items() if uid not in matching]
    events: list[Event] = []
    if entering:
        _update(entering, {"$addToSet": {"segments": segment.uid}})
        events.append((snapshots.entered(segment.uid, entering), _names(entering)))
    if leaving:
        _update(leaving, {"$pull": {"segments": segment.uid}})
        events.append((snapshots.left(segment.uid, leaving, cause), _names(leaving)))
    count_members({segment.uid: len(entering) - len(leaving)})
    tell(events)
    return len(entering) + len(leaving)


def remove(uids: Collection[str], cause: events_pb2.SegmentLeft.Cause) -> int:
    """Deletes the scores of these customers, and so their memberships; returns how many had any."""
    rows, by_segment = _delete(uids)
    if not rows:
        return 0
    tell((snapshots.left(segment, members, cause), _names(members)) for segment, members in by_segment.items())
    tell([(events_pb2.ScoresUpdated(removed_customers=_names(rows)), _names(rows))])
    return len(rows)


def forget(uids: Collection[str]) -> int:
    """Deletes the scores of erased customers, about whom nothing is told any more; returns how many had any."""
    return len(_delete(uids)[0])


def forestall() -> None:
    """Makes a chunk of scores that is being stored meanwhile conflict with this transaction, so that it looks again.

    For whoever takes scores away: the chunk may hold a customer that has no row yet to conflict about.
    """
    ScoringJob.rows().update_one(ACTIVE, {"$inc": {"changes": 1}})


def _delete(uids: Collection[str]) -> tuple[list[Row], dict[str, list[Row]]]:
    """The deleted rows (uid, customer, segments), all and by segment."""
    rows = list(Score.rows().find({"uid": {"$in": list(uids)}}, {"uid": 1, "customer": 1, "segments": 1}))
    Score.rows().delete_many({"uid": {"$in": [row["uid"] for row in rows]}})
    by_segment: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for segment in row.get("segments") or ():
            by_segment[segment].append(row)
    count_members({segment: -len(members) for segment, members in by_segment.items()})
    return rows, by_segment


def _update(rows: Iterable[Mapping[str, Any]], change: dict[str, Any]) -> None:
    Score.rows().update_many({"uid": {"$in": [row["uid"] for row in rows]}}, change)


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [row["customer"] for row in rows]
