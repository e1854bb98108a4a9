"""Questions to models that only role `run` has in memory: their library is several times as large as all the rest of
the role that serves, which leaves a question in the database and waits a moment.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pymongo.errors

from chassis import clock, context, ids, tenancy
from chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    RapportError,
    ResourceExhausted,
    Unavailable,
)
from docstore import Row, due
from docstore.blobs import BlobStore
from scoring.settings import ScoringSettings
from scoring.store import Evaluation
from scoring.store.evaluations import KEPT

Answers = Callable[[ScoringSettings, BlobStore, Sequence[Row]], Sequence[Row | RapportError]]
"""What some questions are answered, each by a row or by its refusal (one of `_REFUSALS`)."""

WAITING_MOST = 8
"""Of one process, and of one tenant in all processes: each holds a thread of the role that serves."""
WAIT_S = 5.0
LEASE_S = 5.0
_LOOK_EVERY_S = 0.05
_AT_ONCE = 50
_FAILED_S = 1.0
_REFUSALS: dict[str, type[RapportError]] = {
    each.__name__: each for each in (FailedPrecondition, InvalidArgument, NotFound, Unavailable)
}

logger = logging.getLogger(__name__)
_waiting = threading.BoundedSemaphore(WAITING_MOST)


def ask(kind: str, question: Row) -> Row:
    """What role `run` answers by its models of a kind; the question is left nowhere.

    Raises ResourceExhausted TOO_MANY_EVALUATIONS, Unavailable NO_RUNNER, and what it is refused with.
    """
    if not _waiting.acquire(blocking=False):
        raise _too_many()
    try:
        return _asked(kind, question)
    finally:
        _waiting.release()


def answer_due(settings: ScoringSettings, blobs: BlobStore, answers: Mapping[str, Answers]) -> int:
    """Answers what is asked, of all tenants; for role `run`. Returns how many questions it looked at.

    answers: by kind.
    """

    def answer(rows: list[Row]) -> None:
        by_kind: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_kind[row["kind"]].append(row)
        for kind, asked in by_kind.items():
            try:
                found = answers[kind](settings, blobs, [row["question"] for row in asked])
                changes = map(_told, found)
                plans = [due.plan(row, change, None) for row, change in zip(asked, changes, strict=True)]
                Evaluation.rows().bulk_write(plans)
            except pymongo.errors.PyMongoError:
                raise
            except Exception:
                logger.exception("what was asked of a model of one tenant could not be answered")
                due.hand_back(Evaluation, asked, _FAILED_S)

    return due.work_by_tenant(Evaluation, _AT_ONCE, LEASE_S, settings.instance, "evaluate", answer)


def _told(answer: Row | RapportError) -> Row:
    if not isinstance(answer, RapportError):
        return {"answer": answer}
    violations = [list(violation) for violation in answer.violations]
    return {
        "refused": {
            "kind": type(answer).__name__,
            "reason": answer.reason,
            "message": answer.message,
            "violations": violations,
        }
    }


def _asked(kind: str, question: Row) -> Row:
    now = clock.real_now()
    # Older ones nobody waits for: whoever asked them died.
    young = {"expire_time": {"$gt": now + KEPT - timedelta(seconds=WAIT_S)}}
    waiting = {"_id": {"$gt": Evaluation.key(""), "$lt": f"{tenancy.tenant()}0"}, **young}
    if Evaluation.rows().count(waiting, limit=WAITING_MOST) >= WAITING_MOST:
        raise _too_many()
    uid = ids.uuid7()
    asked = {"uid": uid, "kind": kind, "question": question, "due": clock.now(), "expire_time": now + KEPT}
    Evaluation.rows().insert_one(asked)
    left = context.current().remaining()
    end = time.monotonic() + (WAIT_S if left is None else min(WAIT_S, left * 0.9))
    try:
        while True:
            row = Evaluation.rows().find_one({"uid": uid, "due": {"$exists": False}})
            if row is not None:
                return _answered(row)
            if time.monotonic() > end:
                problem = "No runner answers: see whether a role `run` of scoring is up, and what its log says."
                raise Unavailable("NO_RUNNER", problem, retry_after_s=5.0)
            time.sleep(_LOOK_EVERY_S)
    finally:
        Evaluation.rows().delete_one({"uid": uid})


def _answered(row: Row) -> Row:
    if "refused" not in row:
        found: dict[str, Any] = row["answer"]
        return found
    refused = row["refused"]
    kind = _REFUSALS[refused["kind"]]
    again = 1.0 if kind is Unavailable else None
    violations = [(field, problem) for field, problem in refused["violations"]]
    raise kind(refused["reason"], refused["message"], violations=violations, retry_after_s=again)


def _too_many() -> ResourceExhausted:
    problem = f"{WAITING_MOST} such questions wait for their answers already; ask again in a moment."
    return ResourceExhausted("TOO_MANY_EVALUATIONS", problem, retry_after_s=1.0)
