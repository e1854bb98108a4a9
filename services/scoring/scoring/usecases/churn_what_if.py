"""What the risk of leaving would be of a customer with such features; no risk is stored or told.

Role `run` is asked (`evaluations`), by the model that the last job of churn scored with.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rapport.scoring.v1 import customer_scores_pb2, scoring_service_pb2

import docstore
from chassis import clock
from chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    RapportError,
    Unavailable,
)
from docstore import Row
from docstore.blobs import BlobStore
from scoring import decisions, messages, parquet
from scoring.decisions import Decision
from scoring.domain import churn_what_if as rules
from scoring.settings import ScoringSettings
from scoring.store import RiskScorer, Score, ScoringJob
from scoring.store.models import CHURN
from scoring.store.objections import objecting
from scoring.store.scores import scores_by_any_name
from scoring.usecases import evaluations, online_scores, released, risk_rows
from scoring.usecases.score_rows import uid_of

if TYPE_CHECKING:
    from scoring.models.propensity import Propensity

Request = scoring_service_pb2.EvaluateChurnRiskRequest
_INVALID = "INVALID_FEATURES"


def evaluate(request: Request) -> customer_scores_pb2.ChurnRisk:
    """The risk of what is asked.

    Raises InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, Unavailable.
    """
    given = dict(request.features)
    problems = rules.problems_of(given)
    if not request.customer_scores:
        problems += rules.missing(given)
    if problems:
        raise _impossible(problems)
    question: Row = {"features": given}
    if request.customer_scores:
        question["customer"] = _known(request.customer_scores)
    if RiskScorer.current() is None:
        released.required(CHURN)
        raise FailedPrecondition(
            "NO_SCORES_YET",
            "No job has told risks of leaving: start one (POST /v1/scoringJobs with KIND_CHURN) and ask again when it "
            "has ended.",
            preconditions=[("SCORING_JOB", "scoringJobs", "A scoring job of KIND_CHURN has ended.")],
        )
    row = {"customer": question.get("customer", ""), "churn": evaluations.ask(CHURN, question)}
    told = messages.customer_scores(row, {}).churn_risk
    for field in ("score_time", "age", "next_refresh_time"):
        told.ClearField(field)
    return told


def _known(name: str) -> str:
    """The customer with that risk. Raises NotFound."""
    found = scores_by_any_name(name.removesuffix("/scores"))
    if found is None or "churn" not in found:
        raise _no_risk(name)
    customer: str = found["customer"]
    return customer


def answers(settings: ScoringSettings, blobs: BlobStore, questions: Sequence[Row]) -> Sequence[Row | RapportError]:
    """Risks by what the last job of churn left to score with; for role `run`."""
    scorer = RiskScorer.current()
    model = online_scores.risk_model(scorer, blobs) if scorer else None
    if scorer is None or model is None:
        problem = "The model that told risks of leaving is of no use any more; start a job of KIND_CHURN."
        return [FailedPrecondition("NO_RELEASED_MODEL", problem)] * len(questions)
    names = sorted({question["customer"] for question in questions if "customer" in question})
    rows = {row["customer"]: row for row in Score.rows().find({"uid": {"$in": list(map(uid_of, names))}})}
    decided = _decided(settings, names)
    refused = objecting(names)
    found: list[Row | RapportError] = []
    for question in questions:
        try:
            known: Mapping[str, float] = {}
            decision = None
            if name := question.get("customer", ""):
                if isinstance(decided, RapportError):
                    raise decided
                decision = decided[name]
                if name in refused or not decision.allowed:
                    raise _objected(name)
                known = _features(rows.get(name), name, blobs)
            told = _told(model, known, question["features"])
        except RapportError as error:
            found.append(error)
            continue
        origin = risk_rows.origin(scorer, docstore.whole_milliseconds(clock.now()))
        row = risk_rows.values(told | {"customer": name}, origin, decision.name if decision else "")["churn"]
        found.append(row | ({"as_of": rows[name]["churn"]["as_of"]} if name else {}))
    return found


def _told(model: "Propensity", known: Mapping[str, float], given: Mapping[str, float]) -> Row:
    """A row of `jobs.churn.SCHEMA`, but for the customer. Raises InvalidArgument."""
    import numpy as np

    from scoring.models import churn, classifier

    features = rules.completed(known, given)
    if given and (problems := rules.contradictions(features, given)):
        raise _impossible(problems)
    table = classifier.Table.of(churn.COLUMNS, {name: np.array([value]) for name, value in features.items()})
    return {column: values[0] for column, values in churn.told(model, table).items()}


def _features(row: Row | None, name: str, blobs: BlobStore) -> Mapping[str, float]:
    """What a stored risk was made of: it lies with it, or in the files of its job. Raises NotFound."""
    if row is None or "churn" not in row:
        raise _no_risk(name)
    if "made_of" in row["churn"]:
        made_of: Row = row["churn"]["made_of"]
        return made_of
    subject = ScoringJob(uid=row["churn"]["job"]).result_subject
    for file in sorted(file for file in blobs.list(subject) if file.startswith("scores-")):
        with blobs.open(subject, file) as opened:
            found = parquet.row_of(opened, name, rules.FEATURES)
        if found is not None:
            return found
    raise NotFound(
        "FEATURES_NOT_KEPT",
        f"What the risk of {name} was made of is kept no longer: ask without customer_scores, giving all features, or "
        "start a job of KIND_CHURN.",
        metadata={"resource": name},
    )


def _decided(settings: ScoringSettings, names: Sequence[str]) -> Mapping[str, Decision] | RapportError:
    if not names:
        return {}
    try:
        return decisions.decide(settings, names)
    except (FailedPrecondition, Unavailable) as error:
        return error


def _impossible(problems: Sequence[rules.Problem]) -> InvalidArgument:
    text = "; ".join(f"{field}: {problem}" for field, problem in problems)
    return InvalidArgument(_INVALID, text, violations=problems)


def _objected(name: str) -> NotFound:
    problem = f"{name} has no risk of leaving: the customer objects to profiling."
    return NotFound("PROFILING_OBJECTED", problem, metadata={"resource": name})


def _no_risk(name: str) -> NotFound:
    problem = (
        f"{name} has no risk of leaving: no job of KIND_CHURN told one, or the customer objects to profiling. Ask "
        "without customer_scores, giving all features."
    )
    return NotFound("RISK_NOT_KNOWN", problem, metadata={"resource": name})
