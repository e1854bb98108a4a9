"""Payments of the last hours, what is learned of them, and alerts about them."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

import mongoengine as me

import docstore
from chassis.tenant_cache import TenantCache
from docstore import Row, due
from docstore.documents import InstantField
from docstore.records import Record
from scoring.models.fraud import RULES, FraudModel, train

WINDOW_KEPT = timedelta(hours=24)
"""Since the last payment was heard of, on the real clock; a payment is in it for 24 hours before that one at most."""
FEATURES_KEPT = timedelta(days=30)
"""Since a payment was heard of, on the real clock; only those of so long are learned from."""
ALERTS_KEPT = timedelta(days=400)
"""On the real clock."""
OPEN, CONFIRMED, DISMISSED = "OPEN", "CONFIRMED", "DISMISSED"
_MODEL = "fraud"
_BETWEEN = "\x1f"
"""In no name of a source."""
_KEPT_S = 30.0


class PaymentWindow(Record):
    """The payments of one customer that later ones are looked at with (`models.fraud.kept`); its uid is theirs.

    By the name the payments came under: a profile's are read together. payments: each as `models.fraud.Payment`, in
    order, its id being source and message id (`id_of`). changes: counted up, so that transactions about a profile
    conflict.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "payment_windows",
        "indexes": [{"fields": ["expire_time"], "expireAfterSeconds": 0, "platform": True}],
    }
    customer: Any = me.StringField(required=True)
    payments: Any = me.ListField(me.ListField())
    changes: Any = me.LongField()
    expire_time: Any = InstantField(required=True)

    @staticmethod
    def id_of(source: str, message_id: str) -> str:
        """What a payment is known by."""
        return f"{source}{_BETWEEN}{message_id}"

    @staticmethod
    def source_and_message(payment: str) -> tuple[str, str]:
        """What an id was made of."""
        source, _, message_id = payment.partition(_BETWEEN)
        return source, message_id


class PaymentFeatures(Record):
    """The features of one payment as they were when it came; its uid is that of its event within its source.

    fraud: True when its alert was confirmed, else absent.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "payment_features",
        "indexes": [
            ["tenant", "event_time"],
            ["tenant", "customer"],
            {"fields": ["expire_time"], "expireAfterSeconds": 0, "platform": True},
        ],
    }
    customer: Any = me.StringField(required=True)
    event_time: Any = InstantField(required=True)
    features: Any = me.ListField(me.LongField())
    currency: Any = me.StringField(required=True)
    fraud: Any = me.BooleanField()
    expire_time: Any = InstantField(required=True)


class LearnedFraudModel(Record):
    """What was learned of a tenant's payments, as `models.fraud.FraudModel`; one row. No person is in it.

    due: when it is looked at again. version: how many there were. counted: payments of `FEATURES_KEPT` at the time.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "fraud_models", "indexes": [due.INDEX]}
    due: Any = InstantField(required=True)
    lease: Any = me.DictField()
    version: Any = me.LongField()
    train_time: Any = InstantField()
    counted: Any = me.LongField()
    history: Any = me.LongField()
    currency: Any = me.StringField()
    tails: Any = me.ListField(me.ListField(me.LongField()))
    threshold: Any = me.FloatField()
    rate: Any = me.FloatField()
    rule_rate: Any = me.FloatField()
    messages: Any = me.ListField(me.StringField())


class FraudAlert(docstore.Aggregate):
    """One payment that may be fraud; its uid is that of its event within its source."""

    resource: ClassVar[str] = "fraudAlerts"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "fraud_alerts",
        "indexes": [
            ["tenant", "create_time", "id"],
            ["tenant", "state", "create_time", "id"],
            ["tenant", "customer", "create_time", "id"],
            ["tenant", "customer", "state", "create_time", "id"],
            {"fields": ["expire_time"], "expireAfterSeconds": 0, "platform": True},
        ],
    }

    customer: Any = me.StringField(required=True)
    source: Any = me.StringField(required=True)
    message_id: Any = me.StringField(required=True)
    payment_time: Any = InstantField(required=True)
    amount_minor: Any = me.LongField(required=True)
    currency: Any = me.StringField(required=True)
    reasons: Any = me.ListField(me.StringField())
    broken_rules: Any = me.ListField(me.StringField())
    rarity: Any = me.FloatField(required=True)
    model_version: Any = me.LongField(required=True)
    model_history: Any = me.LongField(required=True)
    model_rate: Any = me.FloatField(required=True)
    state: Any = me.StringField(required=True, choices=(OPEN, CONFIRMED, DISMISSED), default=OPEN)
    resolve_time: Any = InstantField()
    resolver: Any = me.StringField()
    """Name of a principal."""
    expire_time: Any = InstantField(required=True)


class Released(NamedTuple):
    """The model that payments are looked at by. version: 0 before the first was learned."""

    model: FraudModel
    version: int


def learned() -> Row | None:
    """The stored row of the current tenant's model; None before the first was learned."""
    row = LearnedFraudModel.rows().find_one({"uid": _MODEL}, {"lease": 0})
    return row if row and row.get("version") else None


def ask_for_model(now: datetime) -> None:
    """Has role `run` learn the tenant's first model; part of a transaction."""
    LearnedFraudModel.rows().update_one({"uid": _MODEL}, {"$setOnInsert": {"due": now}}, upsert=True)


def _read() -> Released:
    row = learned()
    if row is None:
        return Released(train((), ""), 0)
    model = FraudModel(
        tails=tuple(map(tuple, row["tails"])),
        history=row["history"],
        currency=row["currency"],
        threshold=row["threshold"],
        rules=RULES,
        rate=row["rate"],
        rule_rate=row["rule_rate"],
        messages=tuple(row["messages"]),
    )
    return Released(model, row["version"])


released_fraud_model = TenantCache(_read, _KEPT_S)
"""The current tenant's model: every message with payments asks."""
