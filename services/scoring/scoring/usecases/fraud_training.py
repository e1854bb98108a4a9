"""Learns what is rare among a tenant's payments; for role `run`."""

import logging
from collections import Counter
from datetime import datetime, timedelta

import docstore
from chassis import clock
from docstore import Row, due
from scoring.domain.purchases import main_currency
from scoring.models.fraud import train, without_amounts
from scoring.store import LearnedFraudModel, PaymentFeatures
from scoring.store.fraud import FEATURES_KEPT

PAYMENTS_MOST = 50_000
"""The newest that a model learns from."""
LOOK_EVERY = timedelta(minutes=5)
DAILY = timedelta(hours=24)
GROWN = 1.1
"""It learns before a day is over when there are so many times as many payments."""
LEASE_S = 60.0

logger = logging.getLogger(__name__)


def train_due(owner: str) -> int:
    """Looks at the model of one tenant that is due; returns how many it looked at."""
    return due.work(LearnedFraudModel, 1, LEASE_S, owner, "trainFraudModel", lambda row: look(row, clock.now()))


def look(row: Row, now: datetime) -> None:
    """Learns anew if it is time, and gives a claimed row back; of the current tenant."""
    recent: Row = {"event_time": {"$gt": now - FEATURES_KEPT}}
    count = PaymentFeatures.rows().count(recent, limit=PAYMENTS_MOST)
    due_again = now + LOOK_EVERY
    changes = {} if _is_good(row, count, now) else _learned(row, recent, count, now)
    LearnedFraudModel.rows().bulk_write([due.plan(row, changes, due_again)])


def _is_good(row: Row, count: int, now: datetime) -> bool:
    if not row.get("version") or now - row["train_time"] >= DAILY:
        return False
    return bool(count < GROWN * row["counted"] or count == row["counted"])


def _learned(row: Row, recent: Row, count: int, now: datetime) -> Row:
    rows = PaymentFeatures.rows().find(
        recent | {"fraud": {"$ne": True}},
        {"_id": 0, "features": 1, "currency": 1},
        sort=[("event_time", -1)],
        limit=PAYMENTS_MOST,
    )
    history = [(tuple(each["features"]), each["currency"]) for each in rows]
    currency = main_currency(Counter(of for _, of in history)) if history else ""
    model = train([features if of == currency else without_amounts(features) for features, of in history], currency)
    logger.info("learned from %d payments of one tenant", model.history)
    return {
        "version": row.get("version", 0) + 1,
        "train_time": docstore.whole_milliseconds(now),
        "counted": count,
        "history": model.history,
        "currency": currency,
        "tails": [list(tail) for tail in model.tails],
        "threshold": model.threshold,
        "rate": model.rate,
        "rule_rate": model.rule_rate,
        "messages": list(model.messages),
    }
