"""Stored alerts, and what was learned of payments, as the messages callers see."""

from rapport.scoring.v1 import fraud_alert_pb2

from chassis import money
from docstore import Row
from scoring.models import fraud
from scoring.store import FraudAlert


def fraud_alert(document: FraudAlert) -> fraud_alert_pb2.FraudAlert:
    """An alert as callers see it."""
    return fraud_alert_pb2.FraudAlert(
        name=document.name,
        customer=document.customer,
        source=document.source,
        message_id=document.message_id,
        payment_time=document.payment_time,
        amount=money.from_minor(document.amount_minor, document.currency),
        reasons=document.reasons,
        broken_rules=document.broken_rules,
        rarity=document.rarity,
        model_version=document.model_version,
        model_payment_count=document.model_history,
        model_rate=document.model_rate,
        basis=fraud_alert_pb2.FraudAlert.BASIS_LEGITIMATE_INTEREST,
        state=f"STATE_{document.state}",
        resolve_time=document.resolve_time,
        resolver=document.resolver,
        create_time=document.create_time,
        etag=document.etag,
    )


def fraud_model(row: Row | None) -> fraud_alert_pb2.FraudModel:
    """The model of a stored row; None for what holds before the first was learned."""
    known = row or {"messages": ["no payments are known yet: the rules alone alarm"]}
    return fraud_alert_pb2.FraudModel(
        version=known.get("version", 0),
        train_time=known.get("train_time"),
        payment_count=known.get("history", 0),
        currency_code=known.get("currency", ""),
        rate=known.get("rate", fraud.RATE),
        rules=[rule.text() for rule in fraud.RULES],
        rule_rate=known.get("rule_rate", 0.0),
        threshold=known.get("threshold", 0.0),
        messages=known["messages"],
    )
