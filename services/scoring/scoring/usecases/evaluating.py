"""Finds the members of segments that were created, changed or deleted."""

import logging

import docstore
from chassis import tenancy
from chassis.errors import RapportError
from docstore import Conflict
from scoring.store import Score, Segment
from scoring.usecases import memberships
from scoring.usecases.memberships import Cause

_CHUNK = 500

logger = logging.getLogger(__name__)


def evaluate_due() -> int:
    """Evaluates every segment of any tenant that asks for it; returns how many. One that fails is tried again."""
    with docstore.platform_scope():
        rows = docstore.platform_collection(Segment).find({"evaluation_due": True}, {"tenant": 1, "uid": 1}, limit=100)
        due = [(row["tenant"], row["uid"]) for row in rows]
    for tenant, uid in due:
        with tenancy.service_context(tenant, method="evaluate"):
            try:
                evaluate(uid)
            except Conflict:
                logger.info("a segment was changed while it was evaluated; it is evaluated again")
            except RapportError:
                # The other segments must not wait for this one.
                logger.exception("evaluate failed for one segment")
    return len(due)


def evaluate_all() -> None:
    """Compares all of the current tenant's segments with all scores."""
    for row in list(Segment.rows().find({}, {"uid": 1})):
        evaluate(row["uid"])


def evaluate(uid: str) -> None:
    """Lets every customer whose scores match into a segment, and every other one out; a deleted segment is then gone.

    Raises Conflict when the segment is changed meanwhile.
    """
    found = Segment.get_many([uid], deleted=True).get(uid)
    if found is None:
        return
    segment: Segment = found
    wanted = memberships.wanted(segment)
    astray = {
        "$or": [
            {"$and": [wanted, {"segments": {"$ne": uid}}]},
            {"segments": uid, "$nor": [wanted]},
        ]
    }
    after = ""
    while True:
        place = {"_id": {"$gt": Score.key(after), "$lt": f"{segment.tenant}0"}}
        rows = Score.rows().find({**place, **astray}, {"uid": 1}, sort=[("_id", 1)], limit=_CHUNK)
        uids = [row["uid"] for row in rows]
        if not uids:
            break
        docstore.in_transaction(lambda uids=uids: _move(segment, uids))  # type: ignore[misc]
        after = uids[-1]
    if segment.delete_time:
        segment.purge()
        return
    as_read = {"uid": uid, "version": segment.version, "evaluation_due": True}
    Segment.rows().update_one(as_read, {"$unset": {"evaluation_due": ""}})


def _move(segment: Segment, uids: list[str]) -> None:
    # Touching the segment makes a change of it meanwhile conflict with this transaction.
    as_read = {"uid": segment.uid, "version": segment.version}
    if Segment.rows().update_one(as_read, {"$inc": {"evaluations": 1}}).matched_count != 1:
        raise Conflict(segment.name)
    cause = Cause.CAUSE_SEGMENT_DELETED if segment.delete_time else Cause.CAUSE_SEGMENT_CHANGED
    memberships.move(segment, uids, cause)
