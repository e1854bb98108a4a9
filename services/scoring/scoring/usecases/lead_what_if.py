"""What the score would be of a lead with such facts, by the released model; no score is stored or told.

The role that is asked leaves the question in the database and waits a moment: only role `run` has models of leads in
memory, whose library is several times as large as all the rest of the role that serves.
"""

import logging
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pymongo.errors
from rapport.sales.v1 import lead_pb2
from rapport.scoring.v1 import lead_score_pb2, scoring_service_pb2

from chassis import clock, context, ids, tenancy
from chassis import inputs as fields
from chassis.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable
from docstore import Row, due
from docstore.blobs import BlobStore
from scoring import messages
from scoring.domain import gates
from scoring.settings import ScoringSettings
from scoring.store import Lead, LeadEvaluation, Model
from scoring.store.lead_evaluations import KEPT
from scoring.store.leads import SCORED
from scoring.store.models import LEAD_CONVERSION
from scoring.usecases import lead_scoring, loaded_models, released

Request = scoring_service_pb2.EvaluateLeadScoreRequest

EMPLOYEES_MAX, MESSAGE_MAX = 10_000_000, 5_000
WAITING_MOST = 8
"""Of one process, and of one tenant in all processes: each holds a thread of the role that serves."""
WAIT_S = 5.0
LEASE_S = 5.0
_LOOK_EVERY_S = 0.05
_AT_ONCE = 50
_FAILED_S = 1.0
_FLAGS = ("has_company", "has_budget", "has_email", "has_phone", "is_customer")
_NUMBERS = {"employee_count": EMPLOYEES_MAX, "message_length": MESSAGE_MAX}
_READ = ("uid", "customer", "facts", "score")

logger = logging.getLogger(__name__)
_waiting = threading.BoundedSemaphore(WAITING_MOST)


def evaluate(request: Request) -> lead_score_pb2.LeadScore:
    """The score of what is asked.

    Raises InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, Unavailable.
    """
    known = _known(request.lead_score)
    facts = _facts(request, known.get("facts") or {})
    released.required(LEAD_CONVERSION)
    row = _answer(facts)
    model = Model.get(row["model"])
    before: Row = known.get("score") or {}
    score = {**row["told"], "model": model.uid, "model_time": model.as_of, "score_time": clock.now()}
    score |= {"decision": before["decision"]} if "decision" in before else {}
    told = messages.lead_score({"uid": known.get("uid", ""), "customer": known.get("customer"), "score": score}, {})
    of_nobody = () if known else ("name", "lead", "basis")
    for field in ("score_time", "age", "next_refresh_time", *of_nobody):
        told.ClearField(field)
    return told


def answer_due(settings: ScoringSettings, blobs: BlobStore) -> int:
    """Answers what is asked, of all tenants; for role `run`. Returns how many questions it looked at."""
    count = 0
    for tenant, rows in due.claim(LeadEvaluation, _AT_ONCE, LEASE_S, settings.instance):
        with tenancy.service_context(tenant, method="evaluateLeads"):
            count += len(rows)
            try:
                _tell(blobs, rows)
            except pymongo.errors.PyMongoError:
                raise
            except Exception:
                logger.exception("what was asked about leads of one tenant could not be answered")
                due.hand_back(LeadEvaluation, rows, _FAILED_S)
    return count


def _tell(blobs: BlobStore, rows: list[Row]) -> None:
    # numpy and CatBoost come with it: they are loaded where there is a model only.
    champion = Model.in_state(gates.CHAMPION, LEAD_CONVERSION)
    answers: list[Row] = [{}] * len(rows)
    if champion is not None:
        model = loaded_models.load(champion, blobs)
        told = lead_scoring.told(model, rows)
        answers = [{"model": champion.uid, "told": lead_scoring.values(each)} for each in told]
    LeadEvaluation.rows().bulk_write(due.plan(row, answer, None) for row, answer in zip(rows, answers, strict=True))


def _known(name: str) -> Mapping[str, Any]:
    """The stored lead of that score, nothing without one. Raises NotFound."""
    if not name:
        return {}
    uid = fields.uid(name.removesuffix("/score"))
    found = Lead.rows().find_one({"uid": uid, **SCORED}, dict.fromkeys(_READ, 1))
    if found is None:
        raise NotFound(
            "LEAD_NOT_SCORED",
            f"{name} does not exist: ask without it, giving all facts.",
            metadata={"resource": name},
        )
    return found


def _facts(request: Request, known: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, the rest as it is known. Raises InvalidArgument INVALID_FACTS, naming every field."""
    problems: list[tuple[str, str]] = []
    facts: dict[str, Any] = dict.fromkeys(_FLAGS, False) | dict.fromkeys(_NUMBERS, 0) | {"region_code": ""}
    facts |= known
    if request.source:
        facts["source"] = lead_pb2.Lead.Source.Name(request.source)
    elif not known:
        problems.append(("source", "Needed without lead_score, such as SOURCE_WEB."))
    for name in (*_FLAGS, *_NUMBERS):
        if request.HasField(name):
            facts[name] = getattr(request, name)
    problems += [(name, f"0 to {most:,}.") for name, most in _NUMBERS.items() if not 0 <= facts[name] <= most]
    if request.HasField("region_code"):
        try:
            facts["region_code"] = fields.region(request.region_code, "region_code") if request.region_code else ""
        except InvalidArgument as error:
            problems += error.violations
    if problems:
        text = "; ".join(f"{field}: {problem}" for field, problem in problems)
        raise InvalidArgument("INVALID_FACTS", text, violations=problems)
    return facts


def _answer(facts: Row) -> Row:
    """The question, answered; it is left nowhere.

    Raises ResourceExhausted TOO_MANY_EVALUATIONS, Unavailable NO_RUNNER or MODEL_CHANGED, FailedPrecondition.
    """
    if not _waiting.acquire(blocking=False):
        raise _too_many()
    try:
        return _asked(facts)
    finally:
        _waiting.release()


def _asked(facts: Row) -> Row:
    now = clock.real_now()
    # Older ones nobody waits for: whoever asked them died.
    young = {"expire_time": {"$gt": now + KEPT - timedelta(seconds=WAIT_S)}}
    waiting = {"_id": {"$gt": LeadEvaluation.key(""), "$lt": f"{tenancy.tenant()}0"}, **young}
    if LeadEvaluation.rows().count(waiting, limit=WAITING_MOST) >= WAITING_MOST:
        raise _too_many()
    uid = ids.uuid7()
    question = {"uid": uid, "facts": facts, "due": clock.now(), "expire_time": now + KEPT}
    LeadEvaluation.rows().insert_one(question)
    left = context.current().remaining()
    end = time.monotonic() + (WAIT_S if left is None else min(WAIT_S, left * 0.9))
    try:
        while True:
            row = LeadEvaluation.rows().find_one({"uid": uid, "due": {"$exists": False}})
            if row is not None:
                if "model" in row:
                    return row
                released.required(LEAD_CONVERSION)
                raise Unavailable("MODEL_CHANGED", "Another model is released only now; ask again.", retry_after_s=1.0)
            if time.monotonic() > end:
                problem = "No runner answers: see whether a role `run` of scoring is up, and what its log says."
                raise Unavailable("NO_RUNNER", problem, retry_after_s=5.0)
            time.sleep(_LOOK_EVERY_S)
    finally:
        LeadEvaluation.rows().delete_one({"uid": uid})


def _too_many() -> ResourceExhausted:
    problem = f"{WAITING_MOST} such questions wait for their answers already; ask again in a moment."
    return ResourceExhausted("TOO_MANY_EVALUATIONS", problem, retry_after_s=1.0)
