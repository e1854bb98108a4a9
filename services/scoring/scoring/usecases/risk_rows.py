"""Risks of leaving as they are stored and told, whether a job made them or one purchase did."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import docstore
from chassis import clock
from docstore import Row
from scoring.domain.percentiles import Ranking
from scoring.store import Score
from scoring.usecases import score_parts
from scoring.usecases.score_parts import CHURN
from scoring.usecases.score_rows import uid_of

RISK = "churn_risk"


@dataclass(frozen=True)
class RiskOrigin:
    """What risks come from. job, model: uids. rescored: made for these customers alone, by what a job left."""

    job: str
    model: str
    horizon_weeks: int
    as_of: datetime
    ranking: Ranking
    rescored: bool = False


def origin(scorer: Row, now: datetime) -> RiskOrigin:
    """What the last job of churn left to score with (`store.RiskScorer`), from now on."""
    ranking = Ranking(scorer["ranking"])
    return RiskOrigin(scorer["job"], scorer["model"], scorer["horizon_weeks"], now, ranking, rescored=True)


def values(row: Row, origin: RiskOrigin, decision: str, made_of: Mapping[str, float] | None = None) -> Row:
    """A row of `jobs.churn.SCHEMA` as `store.Score` keeps it. decision: its name. made_of: the features, where no file
    of results has them.
    """
    return {
        "customer": row["customer"],
        CHURN: {
            "probability": row[RISK],
            "low": row[f"{RISK}_low"],
            "high": row[f"{RISK}_high"],
            "percentile": origin.ranking.percentile(row[RISK]),
            "reasons": list(row["reasons"]),
            "horizon_weeks": origin.horizon_weeks,
            "as_of": origin.as_of,
            "job": origin.job,
            "model": origin.model,
            "decision": decision,
            "score_time": docstore.whole_milliseconds(clock.now()),
            "rescored": origin.rescored,
            **({"made_of": made_of} if made_of is not None else {}),
        },
    }


def put(risks: Sequence[Row], origin: RiskOrigin) -> None:
    """Puts new risks in the place of the old ones, moves the memberships, and tells; part of a transaction."""
    score_parts.put(CHURN, risks, f"scoringJobs/{origin.job}", origin.as_of)


def put_online(risks: Mapping[str, Row | None], origin: RiskOrigin) -> None:
    """The same of risks by customer that were made online, but for those who have newer ones; None: takes it away."""
    asked = {"uid": {"$in": list(map(uid_of, risks))}, "churn.job": {"$gt": ""}}
    found = Score.rows().find(asked, {"uid": 1, "customer": 1, "job": 1, "churn.as_of": 1})
    there = {row["customer"]: row for row in found}
    newest = {name for name, row in there.items() if row["churn"]["as_of"] > origin.as_of}
    put([row for name, row in risks.items() if row is not None and name not in newest], origin)
    score_parts.remove(CHURN, (row for name, row in there.items() if risks[name] is None and name not in newest))


def newer(uids: Iterable[str], than: datetime) -> dict[str, Row]:
    """Of these customers the risks that were made online and look from a later instant (uid, customer), by name."""
    later = {"uid": {"$in": list(uids)}, "churn.rescored": True, "churn.as_of": {"$gt": than}}
    return {row["customer"]: row for row in Score.rows().find(later, {"uid": 1, "customer": 1})}
