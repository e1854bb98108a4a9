"""Asks the consent service, which alone decides."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from rapport.consent.v1 import consent_pb2, consent_service_pb2, consent_service_pb2_grpc, purpose_pb2

from campaigns.settings import CampaignsSettings
from chassis import client, tenancy

TIMEOUT_S = 4.0
GOOD_FOR_S = 4.5
"""How long a decision is acted on, counted from before it was asked for: a little less than consent allows."""


class ConsentAway(Exception):  # noqa: N818 - reads as what is the matter
    """Consent gave no answer: nothing may be done. `code` is its gRPC status."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PurposeUnknown(Exception):  # noqa: N818 - reads as what is the matter
    """Consent has no such purpose."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision. reason: consent's, such as `REASON_NEVER_ASKED`. decision: its resource name."""

    allowed: bool
    reason: str
    decision: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Decisions by customer (resource name), and until when they may be acted on (`time.monotonic()`)."""

    by_customer: Mapping[str, Verdict]
    good_until: float

    def of(self, customers: Sequence[str]) -> Verdict:
        """The most restrictive of the decisions on some customers who are one person."""
        verdicts = [self.by_customer[customer] for customer in customers]
        return next((verdict for verdict in verdicts if not verdict.allowed), verdicts[0])


def decide(settings: CampaignsSettings, customers: Sequence[str], purpose: str) -> Verdicts:
    """Decides on up to 500 customers by e-mail. Raises ConsentAway, PurposeUnknown."""
    good_until = time.monotonic() + GOOD_FOR_S
    request = consent_service_pb2.BatchDecideConsentRequest(
        customers=customers, purpose=purpose, channel=purpose_pb2.CHANNEL_EMAIL
    )
    with _calling(settings) as stub:
        answer = stub.BatchDecideConsent(request, timeout=TIMEOUT_S)
    return Verdicts({decision.customer: _verdict(decision) for decision in answer.decisions}, good_until)


def withdraw(settings: CampaignsSettings, customer: str, purpose: str, origin: str, request_id: str) -> None:
    """Records a withdrawal by one click (RFC 8058). Raises ConsentAway, PurposeUnknown."""
    request = consent_service_pb2.WithdrawConsentRequest(
        customer=customer,
        purpose=purpose,
        channel=purpose_pb2.CHANNEL_EMAIL,
        evidence=consent_pb2.Evidence(method=consent_pb2.Evidence.METHOD_ONE_CLICK, origin=origin),
        request_id=request_id,
    )
    with _calling(settings) as stub:
        stub.WithdrawConsent(request, timeout=TIMEOUT_S)


@contextmanager
def _calling(settings: CampaignsSettings) -> Iterator[consent_service_pb2_grpc.ConsentServiceStub]:
    try:
        with client.call_credentials(client.service_token(tenancy.tenant(), "consent")):
            stub = consent_service_pb2_grpc.ConsentServiceStub(client.channel(settings, "consent"))  # type: ignore[no-untyped-call]
            yield stub
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise PurposeUnknown from None
        raise ConsentAway(error.code().name) from None


def _verdict(decision: consent_pb2.Decision) -> Verdict:
    reason = consent_pb2.Decision.Reason.Name(decision.reasons[0]) if decision.reasons else "REASON_UNSPECIFIED"
    return Verdict(decision.outcome == consent_pb2.Decision.OUTCOME_ALLOWED, reason, decision.name)
