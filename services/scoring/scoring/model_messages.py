"""Models as the messages callers see."""

from collections.abc import Iterable, Mapping
from typing import Any

from rapport.scoring.v1 import model_pb2

from chassis import money
from scoring.store import Model


def model(document: Model) -> model_pb2.Model:
    """A model."""
    found = model_pb2.Model(
        name=document.name,
        uid=document.uid,
        version=document.number,
        scoring_job=f"scoringJobs/{document.job}",
        as_of=document.as_of,
        window_start_time=document.window_start_time,
        window_end_time=document.window_end_time,
        fallback=document.fallback,
        message=document.message or "",
        customer_count=document.customers,
        purchase_count=document.purchases,
        fingerprint=document.fingerprint,
        create_time=document.create_time,
        etag=document.etag,
        kind=f"KIND_{document.kind}",
        state=f"STATE_{document.state}",
        state_message=document.state_message or "",
        state_time=document.state_time,
        features=[model_pb2.ModelFeature(name=name, version=version) for name, version in document.features.items()],
        gates=[model_pb2.ModelGate(**gate) for gate in document.gates],
        calibration=_deciles(document.test.get("deciles", ())),
        artefact_sha256=document.artefact_sha256 or "",
        consenting_share=document.consenting,
        previous_model=f"models/{document.previous}" if document.previous else "",
        outcomes=[_outcome(outcome, document.currency or "") for outcome in document.outcomes],
        drifts=map(model_drift, document.drifts),
    )
    found.parameters.update(_plain(document.parameters))
    found.metrics.update(_plain(document.metrics))
    return found


def model_drift(drift: Mapping[str, Any]) -> model_pb2.ModelDrift:
    """How far one column has moved, as stored."""
    return model_pb2.ModelDrift(**drift)


def _outcome(outcome: Mapping[str, Any], currency: str) -> model_pb2.ModelOutcome:
    # Of offers hits are told instead.
    error = outcome["error"] or {}
    hits = outcome.get("hit_rate")
    revenue = outcome.get("revenue")
    return model_pb2.ModelOutcome(
        scoring_job=f"scoringJobs/{outcome['job']}",
        as_of=outcome["as_of"],
        weeks=outcome["weeks"],
        customer_count=outcome["customers"],
        expected=outcome["expected"],
        actual=outcome["actual"],
        error=error.get("value"),
        error_low=error.get("low"),
        error_high=error.get("high"),
        promised_error=0 if hits else outcome["promised"] or 0,
        hit_rate=model_pb2.HitRate(**hits, promised=outcome["promised"]) if hits else None,
        degraded=outcome["degraded"],
        deciles=_deciles(outcome["deciles"]),
        revenue=_revenue_outcome(revenue, currency) if revenue else None,
    )


def _revenue_outcome(revenue: Mapping[str, Any], currency: str) -> model_pb2.RevenueOutcome:
    error = revenue["error"]
    return model_pb2.RevenueOutcome(
        customer_count=revenue["customers"],
        expected=money.from_minor(round(revenue["expected"]), currency),
        actual=money.from_minor(revenue["actual"], currency),
        error=error["value"],
        error_low=error["low"],
        error_high=error["high"],
        promised_error=revenue["promised"] or 0,
        degraded=revenue["degraded"],
    )


def _deciles(tenths: Iterable[Mapping[str, Any]]) -> list[model_pb2.ModelDecile]:
    return [
        model_pb2.ModelDecile(expected=tenth["expected"], actual=tenth["actual"], customer_count=tenth["customers"])
        for tenth in tenths
    ]


def _plain(value: Any) -> Any:
    """Without mongoengine's own containers, which protobuf does not know."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
