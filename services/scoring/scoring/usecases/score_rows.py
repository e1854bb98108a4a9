"""Scores as they are stored and told, whether a job made them or one purchase did."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from docstore import Row
from scoring import snapshots
from scoring.domain.percentiles import Ranking
from scoring.store import Score
from scoring.store.scores import tell
from scoring.usecases import memberships

_COUNTED = ("frequency", "monetary_minor", "repeat_revenue_minor", "purchases", "revenue_minor")
RANKED = ("p_alive", "expected_purchases", "lifetime_value_minor")


@dataclass(frozen=True)
class Origin:
    """What scores come from. job, model: uids. rescored: made for these customers alone, by what a job left."""

    job: str
    model: str
    currency: str
    horizon_weeks: int
    as_of: datetime
    rankings: Mapping[str, Ranking]
    rescored: bool = False


def origin(scorer: Row, now: datetime) -> Origin:
    """What the last job left to score with (`store.Scorer`), from now on."""
    rankings = {name: Ranking(steps) for name, steps in scorer["rankings"].items()}
    horizon = scorer["scales"]["horizon_weeks"]
    return Origin(scorer["job"], scorer["model"], scorer["currency"], horizon, now, rankings, rescored=True)


def values(row: Row, origin: Origin, decision: str) -> Row:
    """A row of `jobs.scores.SCHEMA` as `store.Score` keeps it. decision: its name."""
    estimates = {name: row[name] for name in RANKED}
    return {
        "customer": row["customer"],
        "currency": origin.currency,
        **{name: row[name] for name in ("recency_weeks", "age_weeks")},
        **{name: int(row[name]) for name in _COUNTED},
        "rfm": {
            "recency": int(row["r"]),
            "frequency": int(row["f"]),
            "monetary": int(row["m"]),
            "segment": row["rfm_segment"],
        },
        **estimates,
        "lifetime_value_minor": int(row["lifetime_value_minor"]),
        "intervals": {
            "p_alive": [row["p_alive_low"], row["p_alive_high"]],
            "expected_purchases": [row["expected_purchases_low"], row["expected_purchases_high"]],
            "lifetime_value_minor": [int(row["lifetime_value_minor_low"]), int(row["lifetime_value_minor_high"])],
        },
        "percentiles": {name: origin.rankings[name].percentile(value) for name, value in estimates.items()},
        "reasons": list(row["reasons"]),
        "job": origin.job,
        "made_by": origin.job,
        "model": origin.model,
        "as_of": origin.as_of,
        "horizon_weeks": origin.horizon_weeks,
        "decision": decision,
        "score_time": docstore.whole_milliseconds(clock.now()),
        "rescored": origin.rescored,
    }


def put(scores: Sequence[Row], origin: Origin) -> None:
    """Puts new scores in the place of the old ones, moves the memberships, and tells; part of a transaction."""
    if not scores:
        return
    fresh = {"$unset": {"outdated_since": ""}}
    Score.rows().bulk_write(
        UpdateOne({"uid": uid_of(score["customer"])}, {"$set": score, **fresh}, upsert=True) for score in scores
    )
    names = [score["customer"] for score in scores]
    memberships.settle(list(map(uid_of, names)))
    event = events_pb2.ScoresUpdated(
        scoring_job=f"scoringJobs/{origin.job}", as_of=_stamp(origin.as_of), scores=map(snapshots.snapshot, scores)
    )
    tell([(event, names)])


def put_online(scores: Mapping[str, Row], origin: Origin) -> None:
    """The same of scores by customer that were made online, but for those who have newer ones."""
    later = {"uid": {"$in": list(map(uid_of, scores))}, "as_of": {"$gt": origin.as_of}}
    newest = {row["customer"] for row in Score.rows().find(later, {"customer": 1})}
    put([row for name, row in scores.items() if name not in newest], origin)


def newer(uids: Iterable[str], than: datetime) -> dict[str, Row]:
    """Of these customers the scores that were made online and look from a later instant (uid, customer), by name."""
    found = Score.rows().find(
        {"uid": {"$in": list(uids)}, "rescored": True, "as_of": {"$gt": than}}, {"uid": 1, "customer": 1}
    )
    return {row["customer"]: row for row in found}


def uid_of(name: str) -> str:
    """The uid of a resource name."""
    return name.rpartition("/")[2]


def _stamp(instant: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp
