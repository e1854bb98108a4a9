"""What the score would be of a lead with such facts, by the released model; no score is stored or told.

Role `run` is asked (`evaluations`); the question names neither lead nor person.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rapport.sales.v1 import lead_pb2
from rapport.scoring.v1 import lead_score_pb2, scoring_service_pb2

from chassis import clock
from chassis import inputs as fields
from chassis.errors import InvalidArgument, NotFound, Unavailable
from docstore import Row
from docstore.blobs import BlobStore
from scoring import messages
from scoring.domain import gates
from scoring.settings import ScoringSettings
from scoring.store import Lead, Model
from scoring.store.leads import SCORED
from scoring.store.models import LEAD_CONVERSION
from scoring.usecases import evaluations, lead_scoring, loaded_models, released

Request = scoring_service_pb2.EvaluateLeadScoreRequest

EMPLOYEES_MAX, MESSAGE_MAX = 10_000_000, 5_000
_FLAGS = ("has_company", "has_budget", "has_email", "has_phone", "is_customer")
_NUMBERS = {"employee_count": EMPLOYEES_MAX, "message_length": MESSAGE_MAX}
_READ = ("uid", "customer", "facts", "score")


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


def answers(_: ScoringSettings, blobs: BlobStore, questions: Sequence[Row]) -> Sequence[Row]:
    """What the champion tells of facts; nothing where there is none."""
    champion = Model.in_state(gates.CHAMPION, LEAD_CONVERSION)
    if champion is None:
        return [{}] * len(questions)
    # numpy and CatBoost come with it: they are loaded where there is a model only.
    told = lead_scoring.told(loaded_models.load(champion, blobs), questions)
    return [{"model": champion.uid, "told": lead_scoring.values(each)} for each in told]


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
    row = evaluations.ask(LEAD_CONVERSION, {"facts": facts})
    if not row:
        released.required(LEAD_CONVERSION)
        raise Unavailable("MODEL_CHANGED", "Another model is released only now; ask again.", retry_after_s=1.0)
    return row
