"""What a job leaves to score with, for tests that need no job; and what comes of it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from chassis import ids
from scoring.models import artefact
from scoring.models.bg_nbd import BgNbd
from scoring.models.gamma_gamma import GammaGamma
from scoring.models.lifetime_value import Choice
from scoring.store import Score, Scorer
from scoring.store.histories import CURRENT

if TYPE_CHECKING:
    from .conftest import Client

CHOICE = Choice(
    BgNbd(0.24, 4.4, 0.79, 2.43, np.eye(4) * 0.01, -9.0, 100),
    GammaGamma(6.2, 3.7, 1500.0, np.eye(3) * 0.01, -9.0, 100, 0.0),
    (),
)
SCALES = {
    **{name: [1, 2, 3, 4] for name in ("recency", "frequency", "monetary")},
    "usual": {"alive": 0.7, "discounted": 2.0, "spend": 2000.0, "order": 2000.0},
    "as_of_day": 20_000,
    "horizon_weeks": 52,
    "discount": 0.1,
}


def leave(client: "Client") -> None:
    """Has the tenant's customers scored by these, under a purpose of their own."""
    client.profiling()
    leave_scorer(client)


def leave_scorer(client: "Client") -> None:
    """The same where there is a purpose."""
    rankings = dict.fromkeys(("p_alive", "expected_purchases", "lifetime_value_minor"), [0.5] * 500 + [2000.0] * 500)
    values = {"job": ids.uuid7(), "model": ids.uuid7(), "currency": "USD", "choice": artefact.dump(CHOICE)}
    with client.context():
        new = {"$set": {**values, "scales": SCALES, "rankings": rankings}}
        Scorer.rows().update_one({"uid": CURRENT}, new, upsert=True)


def rows(client: "Client") -> dict[str, dict[str, Any]]:
    with client.context():
        return {row["customer"]: row for row in Score.rows().find({})}


def updated(client: "Client") -> list[str]:
    return [
        each.customer for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated" for each in event.scores
    ]
