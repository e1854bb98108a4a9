"""What the scores would be of somebody who bought as is said, by what the last job left to score with.

The role that serves loads numpy for it, when it is first asked: the formulas are those of the job, and there is one of
them only.
"""

from collections.abc import Mapping
from typing import Any

from google.type.money_pb2 import Money
from rapport.scoring.v1 import customer_scores_pb2, scoring_service_pb2

import docstore
from chassis import clock, money
from chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from docstore import Row
from scoring import messages
from scoring.domain.histories import DAY_MS
from scoring.domain.purchase_features import DAYS_PER_WEEK, Features, whole_days
from scoring.store import Scorer
from scoring.store.scores import scores_by_any_name
from scoring.usecases import score_rows
from scoring.usecases.histories import milliseconds

Request = scoring_service_pb2.EvaluateScoresRequest
_NEEDED = "Needed without customer_scores."


def evaluate(request: Request) -> customer_scores_pb2.CustomerScores:
    """The scores of what is asked; nothing is stored. Raises NotFound, FailedPrecondition, InvalidArgument."""
    known = _known(request.customer_scores)
    scorer = Scorer.current()
    if scorer is None:
        raise FailedPrecondition(
            "NO_SCORES_YET",
            "No job has left a model to score with: start one (POST /v1/scoringJobs) and ask again when it has ended.",
            preconditions=[("SCORING_JOB", "scoringJobs", "A scoring job of KIND_LIFETIME_VALUE has ended.")],
        )
    now = docstore.whole_milliseconds(clock.now())
    today = milliseconds(now) // DAY_MS
    features = _features(request, known, scorer, today)
    row = computed(features, scorer, today) | {"customer": known.get("customer", "")}
    row = score_rows.values(row, score_rows.origin(scorer, now), known.get("decision", ""))
    told = messages.customer_scores(row, {})
    for field in ("score_time", "age", "next_refresh_time", *(() if known else ("name",))):
        told.ClearField(field)
    return told


def _known(name: str) -> Mapping[str, Any]:
    """The stored scores of that name, nothing without one. Raises NotFound."""
    if not name:
        return {}
    found = scores_by_any_name(name.removesuffix("/scores"))
    if found is None or "job" not in found:
        raise NotFound(
            "NOT_FOUND",
            f"{name} does not exist: the customer has not been scored, or objects to it.",
            metadata={"resource": name},
        )
    return found


def computed(features: Features, scorer: Mapping[str, Any], today: int) -> Row:
    """What a job with the models and scales of a `store.Scorer` would tell of such purchases on a day (since 1970)."""
    import numpy as np

    from scoring.models import artefact, scorecard

    first = today - features.age_days
    values = {
        "first_day": first,
        "last_day": first + features.recency_days,
        "days": features.frequency + 1,
        "purchases": features.frequency + 1,
        "revenue": features.revenue,
        "repeat_revenue": features.repeat_revenue,
    }
    of = {name: np.array([value], dtype=np.int64) for name, value in values.items()}
    basis = scorecard.restored(artefact.load(scorer["choice"]), scorer["scales"])
    (row,) = scorecard.rows([""], of, basis, today)
    return row


def _features(request: Request, known: Mapping[str, Any], scorer: Row, today: int) -> Features:
    """What is given, the rest as it is known. Raises InvalidArgument INVALID_FEATURES."""
    problems: list[tuple[str, str]] = []

    def days(field: str, otherwise: int | None) -> int:
        if not request.HasField(field):
            if otherwise is None:
                problems.append((field, _NEEDED))
            return otherwise or 0
        found = whole_days(getattr(request, field))
        if found is None:
            problems.append((field, "A number of weeks, such as 12.5."))
        return found or 0

    def minor(field: str, otherwise: int | None) -> int:
        if not request.HasField(field):
            if otherwise is None:
                problems.append((field, f"{_NEEDED[:-1]} where frequency is not 0."))
            return otherwise or 0
        return _minor(getattr(request, field), field, scorer["currency"], problems)

    if known and known["currency"] != scorer["currency"]:
        known = {}
    frequency = known.get("frequency", 0)
    if request.HasField("frequency"):
        frequency = request.frequency
    elif not known:
        problems.append(("frequency", _NEEDED))
    before = before_of(known)
    recency_days = days("recency_weeks", before.recency_days if known else None if frequency else 0)
    age_days = days("age_weeks", before.age_days + today - day_of(known) if known else None)
    mean = minor("monetary_value", known.get("monetary_minor") if known else None if frequency else 0)
    unchanged = bool(known) and frequency == before.frequency and not request.HasField("monetary_value")
    repeat = before.repeat_revenue if unchanged else mean * frequency
    first = before.revenue - before.repeat_revenue
    if not known:
        first = mean if frequency else round(scorer["scales"]["usual"]["order"])
    if not frequency and mean:
        problems.append(("monetary_value", "0, or left out, where frequency is 0: there is no repeat purchase."))
    features = Features(frequency, recency_days, age_days, repeat, minor("revenue", repeat + first))
    if not problems:
        problems = features.problems()
    if problems:
        raise InvalidArgument(
            "INVALID_FEATURES", "; ".join(f"{field}: {problem}" for field, problem in problems), violations=problems
        )
    return features


def before_of(known: Mapping[str, Any]) -> Features:
    """What stored scores were made of: days are whole, so that the weeks they are told in lose nothing."""
    if not known:
        return Features(0, 0, 0, 0, 0)
    repeat = known.get("repeat_revenue_minor", known["monetary_minor"] * known["frequency"])
    recency, age = (round(known[name] * DAYS_PER_WEEK) for name in ("recency_weeks", "age_weeks"))
    return Features(known["frequency"], recency, age, repeat, known["revenue_minor"])


def day_of(known: Mapping[str, Any]) -> int:
    """The day stored scores look from."""
    return milliseconds(known["as_of"]) // DAY_MS


def _minor(amount: Money, field: str, currency: str, problems: list[tuple[str, str]]) -> int:
    if amount.currency_code != currency:
        problems.append((field, f"In {currency}, the currency of the scores."))
        return 0
    return money.to_minor(amount, field)
