"""Asks consent whether customers may be scored. Without its answer nobody is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
from rapport.consent.v1 import consent_pb2, consent_service_pb2, consent_service_pb2_grpc, purpose_pb2

from chassis import client, tenancy
from chassis.errors import FailedPrecondition, Unavailable
from scoring.settings import ScoringSettings

PURPOSE = "purposes/profiling"
BATCH = 500
"""The most customers consent decides on at once."""

_TIMEOUT_S = 10.0
_NOT_NOW = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """Consent's answer about one customer. good_until: when an allowance stops being good for acting (real clock)."""

    name: str
    allowed: bool
    good_until: datetime


def decide(settings: ScoringSettings, customers: Sequence[str], timeout_s: float = _TIMEOUT_S) -> dict[str, Decision]:
    """The decisions on up to 500 customers (resource names), by customer.

    Raises Unavailable CONSENT_UNAVAILABLE when consent does not answer now, FailedPrecondition when the purpose is
    missing (PURPOSE_MISSING) or does not cover profiling (PURPOSE_WITHOUT_CHANNEL): both say how to mend it.
    """
    channel = client.channel(settings, "consent", _token)
    stub = consent_service_pb2_grpc.ConsentServiceStub(channel)  # type: ignore[no-untyped-call] # generated
    request = consent_service_pb2.BatchDecideConsentRequest(
        customers=customers, purpose=PURPOSE, channel=purpose_pb2.CHANNEL_NONE
    )
    try:
        answer = stub.BatchDecideConsent(request, timeout=timeout_s)
    except grpc.RpcError as error:
        raise _translated(error) from error
    if any(consent_pb2.Decision.REASON_CHANNEL_NOT_IN_PURPOSE in each.reasons for each in answer.decisions):
        raise FailedPrecondition(
            "PURPOSE_WITHOUT_CHANNEL",
            f"{PURPOSE} does not cover profiling: add CHANNEL_NONE to its channels "
            f"(PATCH /v1/{PURPOSE}), then try again.",
        )
    return {
        each.customer: Decision(
            each.name,
            each.outcome == consent_pb2.Decision.OUTCOME_ALLOWED,
            each.expire_time.ToDatetime(UTC),
        )
        for each in answer.decisions
    }


def _token() -> str:
    return client.service_token(tenancy.tenant(), "consent")


def _translated(error: Exception) -> Exception:
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    if code is grpc.StatusCode.NOT_FOUND:
        return FailedPrecondition(
            "PURPOSE_MISSING",
            f"There is no {PURPOSE}, under which customers are scored. Create it (POST /v1/purposes?purposeId="
            'profiling with {"displayName": ..., "legalBasis": "LEGAL_BASIS_LEGITIMATE_INTERESTS", "channels": '
            '["CHANNEL_NONE"]}), then try again.',
        )
    if code in _NOT_NOW:
        return Unavailable(
            "CONSENT_UNAVAILABLE",
            "The consent service, without whose decisions nobody is scored, does not answer now.",
            retry_after_s=1.0,
            cause=error,
        )
    return error
