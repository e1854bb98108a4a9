"""What the risk of leaving, or the probability of a response, would be of a customer with such features; none is stored
or told.

Role `run` is asked (`evaluations`), by the model that the last job of the kind scored with.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from rapport.scoring.v1 import customer_scores_pb2, response_propensity_pb2, scoring_service_pb2

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
from scoring.domain import churn_rules, response_rules, what_if_features
from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.domain.percentiles import Ranking
from scoring.domain.what_if_features import Problem, Rules
from scoring.settings import ScoringSettings
from scoring.store import ResponseScorer, RiskScorer, Score, ScoringJob, models
from scoring.store.histories import LeftToScoreWith
from scoring.store.objections import objecting
from scoring.store.scores import RESPONSE, scores_by_any_name
from scoring.usecases import evaluations, loaded_models, released, response_rows, risk_rows
from scoring.usecases.evaluations import Answers
from scoring.usecases.score_parts import CHURN
from scoring.usecases.score_rows import uid_of

Request = scoring_service_pb2.EvaluateChurnRiskRequest | scoring_service_pb2.EvaluateResponsePropensityRequest
_INVALID = "INVALID_FEATURES"


class _Asked(NamedTuple):
    """What is asked about. part: of a stored score. column: of the probability, in results of jobs. unknown: the reason
    where somebody has none. row: makes what would be stored, of what a model told, the scorer and the decision's name.
    """

    kind: str
    part: str
    column: str
    rules: Rules
    versions: Mapping[str, int]
    scorer: type[LeftToScoreWith]
    row: Callable[[Row, Row, str], Row]
    unknown: str


def _risk_row(told: Row, scorer: Row, decision: str) -> Row:
    return risk_rows.values(told, risk_rows.origin(scorer, _now()), decision)


def _response_row(told: Row, scorer: Row, decision: str) -> Row:
    now = _now()
    made_by = {"as_of": now, "job": scorer["job"], "model": scorer["model"], "decision": decision, "score_time": now}
    return response_rows.values(told, Ranking(scorer["ranking"]), made_by)


_CHURN = _Asked(
    models.CHURN,
    CHURN,
    risk_rows.RISK,
    what_if_features.CHURN,
    churn_rules.VERSIONS,
    RiskScorer,
    _risk_row,
    "RISK_NOT_KNOWN",
)
_RESPONSE = _Asked(
    models.RESPONSE,
    RESPONSE,
    RESPONSE_PROBABILITY,
    what_if_features.RESPONSE,
    response_rules.VERSIONS,
    ResponseScorer,
    _response_row,
    "RESPONSE_NOT_KNOWN",
)


def churn_risk(request: scoring_service_pb2.EvaluateChurnRiskRequest) -> customer_scores_pb2.ChurnRisk:
    """The risk of what is asked.

    Raises InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, Unavailable.
    """
    return _without_times(messages.customer_scores(_evaluated(_CHURN, request), {}).churn_risk)


def response_propensity(
    request: scoring_service_pb2.EvaluateResponsePropensityRequest,
) -> response_propensity_pb2.ResponsePropensity:
    """The probability of a response of what is asked. Raises as `churn_risk` does."""
    return _without_times(messages.customer_scores(_evaluated(_RESPONSE, request), {}).response)


_Told = TypeVar("_Told", customer_scores_pb2.ChurnRisk, response_propensity_pb2.ResponsePropensity)


def _without_times(told: _Told) -> _Told:
    for field in ("score_time", "age", "next_refresh_time"):
        told.ClearField(field)
    return told


def _evaluated(asked: _Asked, request: Request) -> Row:
    given = dict(request.features)
    problems = asked.rules.problems_of(given)
    if not request.customer_scores:
        problems += asked.rules.missing(given)
    if problems:
        raise _impossible(problems)
    question: Row = {"features": given}
    if request.customer_scores:
        question["customer"] = _known(asked, request.customer_scores)
    if asked.scorer.current() is None:
        released.required(asked.kind)
        raise FailedPrecondition(
            "NO_SCORES_YET",
            f"No job of KIND_{asked.kind} has scored: start one (POST /v1/scoringJobs) and ask again when it has "
            "ended.",
            preconditions=[("SCORING_JOB", "scoringJobs", f"A scoring job of KIND_{asked.kind} has ended.")],
        )
    return {"customer": question.get("customer", ""), asked.part: evaluations.ask(asked.kind, question)}


def _known(asked: _Asked, name: str) -> str:
    """The customer with such scores. Raises NotFound."""
    found = scores_by_any_name(name.removesuffix("/scores"))
    if found is None or asked.part not in found:
        raise _unknown(asked, name)
    customer: str = found["customer"]
    return customer


def _answers(
    asked: _Asked, settings: ScoringSettings, blobs: BlobStore, questions: Sequence[Row]
) -> Sequence[Row | RapportError]:
    """What the last job of the kind left to score with tells; for role `run`."""
    scorer = asked.scorer.current()
    model = loaded_models.left(scorer, asked.versions, blobs) if scorer else None
    if scorer is None or model is None:
        problem = f"The model that the last job scored with is of no use any more; start a job of KIND_{asked.kind}."
        return [FailedPrecondition("NO_RELEASED_MODEL", problem)] * len(questions)
    # numpy and CatBoost have come with the model.
    from scoring.models import past_customers

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
                    raise _objected(asked, name)
                known = _features(asked, rows.get(name), name, blobs)
            table = past_customers.imagined(_complete(asked.rules, known, question["features"]))
        except RapportError as error:
            found.append(error)
            continue
        told = {column: values[0] for column, values in past_customers.told(model, table, asked.column).items()}
        row = asked.row(told | {"customer": name}, scorer, decision.name if decision else "")[asked.part]
        found.append(row | ({"as_of": rows[name][asked.part]["as_of"]} if name else {}))
    return found


ANSWERS: dict[str, Answers] = {asked.kind: partial(_answers, asked) for asked in (_CHURN, _RESPONSE)}
"""Who answers, by the kind of the model; for `evaluations.answer_due`."""


def _complete(rules: Rules, known: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
    features = rules.completed(known, given)
    if given and (problems := rules.contradictions(features, given)):
        raise _impossible(problems)
    return features


def _features(asked: _Asked, row: Row | None, name: str, blobs: BlobStore) -> Mapping[str, float]:
    """What a stored score was made of: it lies with it, or in the files of its job. Raises NotFound."""
    if row is None or asked.part not in row:
        raise _unknown(asked, name)
    if "made_of" in row[asked.part]:
        made_of: Row = row[asked.part]["made_of"]
        return made_of
    subject = ScoringJob(uid=row[asked.part]["job"]).result_subject
    for file in sorted(file for file in blobs.list(subject) if file.startswith("scores-")):
        with blobs.open(subject, file) as opened:
            found = parquet.row_of(opened, name, asked.rules.features)
        if found is not None:
            return found
    raise NotFound(
        "FEATURES_NOT_KEPT",
        f"What {name} has {asked.rules.told} from is kept no longer: ask without customer_scores, giving all features, "
        f"or start a job of KIND_{asked.kind}.",
        metadata={"resource": name},
    )


def _decided(settings: ScoringSettings, names: Sequence[str]) -> Mapping[str, Decision] | RapportError:
    if not names:
        return {}
    try:
        return decisions.decide(settings, names)
    except (FailedPrecondition, Unavailable) as error:
        return error


def _now() -> datetime:
    return docstore.whole_milliseconds(clock.now())


def _impossible(problems: Sequence[Problem]) -> InvalidArgument:
    text = "; ".join(f"{field}: {problem}" for field, problem in problems)
    return InvalidArgument(_INVALID, text, violations=problems)


def _objected(asked: _Asked, name: str) -> NotFound:
    problem = f"{name} does not have {asked.rules.told}: the customer objects to profiling."
    return NotFound("PROFILING_OBJECTED", problem, metadata={"resource": name})


def _unknown(asked: _Asked, name: str) -> NotFound:
    problem = (
        f"{name} does not have {asked.rules.told}: no job of KIND_{asked.kind} told it, or the customer objects to "
        "profiling. Ask without customer_scores, giving all features."
    )
    return NotFound(asked.unknown, problem, metadata={"resource": name})
