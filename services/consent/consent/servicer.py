"""The gRPC face of the service: requests to use cases and back."""

# ruff: noqa: D102, N802 - names and meanings of the methods are the contract's.

from collections.abc import Mapping
from typing import Any

import grpc
from rapport.consent.v1 import (
    consent_pb2,
    consent_service_pb2,
    consent_service_pb2_grpc,
    erasure_request_pb2,
    purpose_pb2,
)
from rapport.consent.v1.consent_service_pb2_grpc import add_ConsentServiceServicer_to_server

import docstore
from chassis import inputs as fields
from chassis import server
from chassis.inputs import uid
from chassis.lifecycle import Stopping
from chassis.settings import ConfigurationError
from consent import answers, inputs
from consent.domain.decisions import LegalBasis
from consent.domain.states import Action, State
from consent.migrate import VERSION
from consent.settings import ConsentSettings
from consent.store import Consent, ConsentRecord, Decision, ErasureRequest, Notice, Purpose, erasures
from consent.usecases import decisions, opt_ins, purposes, statements, verification
from consent.usecases import erasures as erasure_requests
from consent.usecases.statements import Subject
from docstore import aliases, blobs, paging
from docstore.filters import FilterField, parse

Context = grpc.ServicerContext

_CHANNELS = purpose_pb2.Channel.keys()[1:]
_CONSENT_FILTER: Mapping[str, FilterField] = {
    "customer": FilterField("string"),
    "purpose": FilterField("string"),
    "channel": FilterField("enum", values=_CHANNELS),
    "state": FilterField("enum", values=[state.value for state in State if state is not State.NONE]),
    "decide_time": FilterField("timestamp"),
}
_RECORD_FILTER: Mapping[str, FilterField] = {
    "customer": FilterField("string"),
    "purpose": FilterField("string"),
    "channel": FilterField("enum", values=_CHANNELS),
    "action": FilterField("enum", values=[action.value for action in Action]),
    "create_time": FilterField("timestamp"),
}

_ERASURE_FILTER: Mapping[str, FilterField] = {
    "customer": FilterField("string", path="customers"),
    "state": FilterField("enum", values=[erasures.REQUESTED, erasures.RUNNING, erasures.COMPLETED]),
    "due_time": FilterField("timestamp"),
}


def serve(settings: ConsentSettings, stopping: Stopping) -> None:
    """Role `serve`. Raises ConfigurationError when something the service cannot do without is not set."""
    for field, why in (
        ("mail_from", "confirmation messages need a sender"),
        ("blob_url", "checkpoints are kept there"),
    ):
        if not getattr(settings, field):
            raise ConfigurationError(settings.environment_names()[field], f"is not set: {why}")
    docstore.connect(settings)
    servicers = [(add_ConsentServiceServicer_to_server, ConsentServicer(settings))]
    server.serve(settings, stopping, servicers, [docstore.ping, lambda: docstore.require_version(VERSION)])
    docstore.disconnect()


class ConsentServicer(consent_service_pb2_grpc.ConsentServiceServicer):
    """Requests arrive checked by the interceptors (required fields, shapes of names, permissions)."""

    def __init__(self, settings: ConsentSettings) -> None:
        self._settings = settings
        self._blobs = blobs.store(settings)

    # Purposes

    def CreatePurpose(self, request: consent_service_pb2.CreatePurposeRequest, _: Context) -> purpose_pb2.Purpose:
        given = request.purpose
        new = purposes.NewPurpose(
            uid=fields.slug(request.purpose_id, "purpose_id", 40),
            display_name=fields.display_name(given.display_name, "purpose.display_name"),
            legal_basis=LegalBasis(purpose_pb2.Purpose.LegalBasis.Name(given.legal_basis)),
            channels=inputs.channels(given.channels),
            double_opt_in=given.double_opt_in,
            texts=inputs.notice_texts(given.notice.texts, "purpose.notice.texts"),
        )
        return _purpose(purposes.create(new))

    def GetPurpose(self, request: consent_service_pb2.GetPurposeRequest, _: Context) -> purpose_pb2.Purpose:
        return _purpose(Purpose.get(uid(request.name)))

    def ListPurposes(
        self, request: consent_service_pb2.ListPurposesRequest, _: Context
    ) -> consent_service_pb2.ListPurposesResponse:
        found, token = paging.page(Purpose, filter={}, order=[("create_time", 1)], request=request, bind={})
        notices = Notice.get_many(Notice.uid_of(each.uid, each.notice_version) for each in found)
        return consent_service_pb2.ListPurposesResponse(
            purposes=[
                answers.purpose(each, notices.get(Notice.uid_of(each.uid, each.notice_version))) for each in found
            ],
            next_page_token=token,
        )

    def UpdatePurpose(self, request: consent_service_pb2.UpdatePurposeRequest, _: Context) -> purpose_pb2.Purpose:
        return _purpose(purposes.update(request.purpose, request.update_mask))

    def AddNotice(self, request: consent_service_pb2.AddNoticeRequest, _: Context) -> purpose_pb2.Purpose:
        texts = inputs.notice_texts(request.notice.texts, "notice.texts")
        return _purpose(purposes.add_notice(uid(request.name), texts, request.notice.renewal_required, request.etag))

    def GetNotice(self, request: consent_service_pb2.GetNoticeRequest, _: Context) -> purpose_pb2.Notice:
        return answers.notice(purposes.shown_notice(Purpose.get(uid(request.name)), request.version))

    # What people say

    def GrantConsent(self, request: consent_service_pb2.GrantConsentRequest, _: Context) -> consent_pb2.Consent:
        evidence = inputs.evidence(request.evidence)
        return answers.consent(statements.grant(_subject(request), request.notice_version, evidence))

    def RefuseConsent(self, request: consent_service_pb2.RefuseConsentRequest, _: Context) -> consent_pb2.Consent:
        return answers.consent(statements.refuse(_subject(request), inputs.evidence(request.evidence)))

    def WithdrawConsent(self, request: consent_service_pb2.WithdrawConsentRequest, _: Context) -> consent_pb2.Consent:
        return answers.consent(statements.withdraw(_subject(request), inputs.evidence(request.evidence)))

    def RequestOptIn(self, request: consent_service_pb2.RequestOptInRequest, _: Context) -> consent_pb2.Consent:
        email = fields.email(request.email, "email", test_environment=self._settings.environment == "test")
        customer, evidence = fields.customer(request.customer), inputs.evidence(request.evidence)
        return answers.consent(opt_ins.request(customer, request.purpose, email, evidence, self._settings))

    def ViewOptIn(self, request: consent_service_pb2.ViewOptInRequest, _: Context) -> consent_service_pb2.OptIn:
        return answers.opt_in(opt_ins.view(request.token))

    def ConfirmOptIn(self, request: consent_service_pb2.ConfirmOptInRequest, _: Context) -> consent_service_pb2.OptIn:
        evidence = inputs.confirmation(request.ip_address, request.user_agent)
        return answers.opt_in(opt_ins.confirm(request.token, evidence))

    def GetConsent(self, request: consent_service_pb2.GetConsentRequest, _: Context) -> consent_pb2.Consent:
        return answers.consent(Consent.get(uid(request.name)))

    def ListConsents(
        self, request: consent_service_pb2.ListConsentsRequest, _: Context
    ) -> consent_service_pb2.ListConsentsResponse:
        filter = aliases.of_whole_profile(parse(request.filter, _CONSENT_FILTER))
        bind = {"filter": request.filter}
        found, token = paging.page(Consent, filter=filter, order=[], request=request, bind=bind)
        return consent_service_pb2.ListConsentsResponse(
            consents=[answers.consent(each) for each in found], next_page_token=token
        )

    # Decisions

    def DecideConsent(self, request: consent_service_pb2.DecideConsentRequest, _: Context) -> consent_pb2.Decision:
        customer, channel = fields.customer(request.customer), purpose_pb2.Channel.Name(request.channel)
        return answers.decision(decisions.decide_for([customer], request.purpose, channel)[0])

    def BatchDecideConsent(
        self, request: consent_service_pb2.BatchDecideConsentRequest, _: Context
    ) -> consent_service_pb2.BatchDecideConsentResponse:
        customers, channel = inputs.customers(request.customers), purpose_pb2.Channel.Name(request.channel)
        rows = decisions.decide_for(customers, request.purpose, channel)
        return consent_service_pb2.BatchDecideConsentResponse(decisions=[answers.decision(row) for row in rows])

    def GetDecision(self, request: consent_service_pb2.GetDecisionRequest, _: Context) -> consent_pb2.Decision:
        return answers.decision(dict(Decision.get(uid(request.name)).to_mongo()))

    # The proof

    def ListConsentRecords(
        self, request: consent_service_pb2.ListConsentRecordsRequest, _: Context
    ) -> consent_service_pb2.ListConsentRecordsResponse:
        filter = aliases.of_whole_profile(parse(request.filter, _RECORD_FILTER))
        bind = {"filter": request.filter}
        found, token = paging.page(ConsentRecord, filter=filter, order=[], request=request, bind=bind)
        return consent_service_pb2.ListConsentRecordsResponse(
            consent_records=answers.consent_records(found), next_page_token=token
        )

    def VerifyConsentRecords(
        self, request: consent_service_pb2.VerifyConsentRecordsRequest, _: Context
    ) -> consent_service_pb2.ChainVerification:
        for field in ("start_sequence", "max_records"):
            if getattr(request, field) < 0:
                raise fields.refusal("INVALID_RANGE", field, "Must not be negative.")
        limit = min(request.max_records or verification.RECORDS_DEFAULT, verification.RECORDS_MAX)
        return answers.verification(verification.verify(self._blobs, request.start_sequence, limit))

    # Erasure

    def CreateErasureRequest(
        self, request: consent_service_pb2.CreateErasureRequestRequest, _: Context
    ) -> erasure_request_pb2.ErasureRequest:
        given = request.erasure_request
        customer = fields.customer(given.customer, "erasure_request.customer")
        asked = inputs.erasure_evidence(given.evidence)
        return answers.erasure_request(erasure_requests.create(customer, asked, self._settings))

    def GetErasureRequest(
        self, request: consent_service_pb2.GetErasureRequestRequest, _: Context
    ) -> erasure_request_pb2.ErasureRequest:
        return answers.erasure_request(ErasureRequest.get(uid(request.name)))

    def ListErasureRequests(
        self, request: consent_service_pb2.ListErasureRequestsRequest, _: Context
    ) -> consent_service_pb2.ListErasureRequestsResponse:
        found, token = paging.page(
            ErasureRequest,
            filter=parse(request.filter, _ERASURE_FILTER),
            order=[],
            request=request,
            bind={"filter": request.filter},
        )
        return consent_service_pb2.ListErasureRequestsResponse(
            erasure_requests=[answers.erasure_request(each) for each in found], next_page_token=token
        )


def _subject(request: Any) -> Subject:
    """What a request about customer, purpose and channel is about."""
    return Subject(fields.customer(request.customer), request.purpose, purpose_pb2.Channel.Name(request.channel))


def _purpose(document: Purpose) -> purpose_pb2.Purpose:
    return answers.purpose(document, purposes.notice(document))
