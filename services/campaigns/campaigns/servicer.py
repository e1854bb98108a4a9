"""The gRPC face of the service: requests to use cases and back."""

# ruff: noqa: D102, N802 - names and meanings of the methods are the contract's.

from collections.abc import Mapping

import grpc
from google.protobuf.empty_pb2 import Empty
from rapport.campaigns.v1 import (
    campaigns_service_pb2,
    campaigns_service_pb2_grpc,
    journey_pb2,
    message_pb2,
    sending_policy_pb2,
    suppression_pb2,
    template_pb2,
)
from rapport.campaigns.v1.campaigns_service_pb2_grpc import add_CampaignsServiceServicer_to_server

import docstore
from campaigns import answers
from campaigns.migrate import VERSION
from campaigns.settings import CampaignsSettings
from campaigns.store import Journey, JourneyEntry, JourneyRevision, Message, SendingPolicy, Suppression, Template
from campaigns.store import messages as message_states
from campaigns.store.suppressions import fingerprint
from campaigns.usecases import journeys, policies, suppressions, templates, tracking
from chassis import inputs as fields
from chassis import server
from chassis.inputs import uid
from chassis.lifecycle import Stopping
from docstore import aliases, paging
from docstore.filters import FilterField, parse

pb = campaigns_service_pb2
Context = grpc.ServicerContext

_ENTRY_FILTER: Mapping[str, FilterField] = {
    "customer": FilterField("string"),
    "state": FilterField("enum", values=journey_pb2.JourneyEntry.State.keys()[1:]),
    "step": FilterField("string"),
    "group": FilterField(
        "enum",
        path="held_out",
        values=journey_pb2.JourneyEntry.Group.keys()[1:],
        convert=lambda group: group == "GROUP_HELD_OUT" or None,
    ),
    "create_time": FilterField("timestamp"),
}
_MESSAGE_FILTER: Mapping[str, FilterField] = {
    "journey": FilterField("string"),
    "step": FilterField("string"),
    "customer": FilterField("string"),
    "state": FilterField("enum", values=message_states.STATES),
    "reason": FilterField("string"),
    "create_time": FilterField("timestamp"),
}
_SUPPRESSION_FILTER: Mapping[str, FilterField] = {
    "reason": FilterField("enum", values=suppression_pb2.Suppression.Reason.keys()[1:]),
    "create_time": FilterField("timestamp"),
}


def serve(settings: CampaignsSettings, stopping: Stopping) -> None:
    """Role `serve`."""
    docstore.connect(settings)
    servicers = [(add_CampaignsServiceServicer_to_server, CampaignsServicer(settings))]
    server.serve(settings, stopping, servicers, [docstore.ping, lambda: docstore.require_version(VERSION)])
    docstore.disconnect()


class CampaignsServicer(campaigns_service_pb2_grpc.CampaignsServiceServicer):
    """Requests arrive checked by the interceptors (required fields, shapes of names, permissions)."""

    def __init__(self, settings: CampaignsSettings) -> None:
        self._settings = settings

    # Templates

    def CreateTemplate(self, request: pb.CreateTemplateRequest, _: Context) -> template_pb2.Template:
        return answers.template(templates.create(fields.slug(request.template_id, "template_id"), request.template))

    def GetTemplate(self, request: pb.GetTemplateRequest, _: Context) -> template_pb2.Template:
        return answers.template(Template.get(uid(request.name)))

    def ListTemplates(self, request: pb.ListTemplatesRequest, _: Context) -> pb.ListTemplatesResponse:
        found, token = paging.page(Template, filter={}, order=[("create_time", 1)], request=request, bind={})
        return pb.ListTemplatesResponse(templates=[answers.template(each) for each in found], next_page_token=token)

    def UpdateTemplate(self, request: pb.UpdateTemplateRequest, _: Context) -> template_pb2.Template:
        return answers.template(templates.update(request.template, request.update_mask))

    def PreviewTemplate(self, request: pb.PreviewTemplateRequest, _: Context) -> pb.TemplatePreview:
        customer = fields.customer(request.customer) if request.customer else ""
        return templates.preview(Template.get(uid(request.name)), request.language_code, customer, request.values)

    # Journeys

    def CreateJourney(self, request: pb.CreateJourneyRequest, _: Context) -> journey_pb2.Journey:
        return _journey(journeys.create(fields.slug(request.journey_id, "journey_id"), request.journey))

    def GetJourney(self, request: pb.GetJourneyRequest, _: Context) -> journey_pb2.Journey:
        return _journey(Journey.get(uid(request.name)))

    def ListJourneys(self, request: pb.ListJourneysRequest, _: Context) -> pb.ListJourneysResponse:
        found, token = paging.page(Journey, filter={}, order=[("create_time", 1)], request=request, bind={})
        revisions = JourneyRevision.get_many(JourneyRevision.uid_of(each.uid, each.revision) for each in found)
        return pb.ListJourneysResponse(
            journeys=[
                answers.journey(each, revisions[JourneyRevision.uid_of(each.uid, each.revision)].definition())
                for each in found
            ],
            next_page_token=token,
        )

    def UpdateJourney(self, request: pb.UpdateJourneyRequest, _: Context) -> journey_pb2.Journey:
        return _journey(journeys.update(request.journey, request.update_mask))

    def ActivateJourney(self, request: pb.ActivateJourneyRequest, _: Context) -> journey_pb2.Journey:
        return _journey(journeys.activate(uid(request.name), request.etag))

    def PauseJourney(self, request: pb.PauseJourneyRequest, _: Context) -> journey_pb2.Journey:
        return _journey(journeys.pause(uid(request.name), request.etag))

    def ListJourneyEntries(self, request: pb.ListJourneyEntriesRequest, _: Context) -> pb.ListJourneyEntriesResponse:
        journey = Journey.get(uid(request.parent))
        wanted = aliases.of_whole_profile(parse(request.filter, _ENTRY_FILTER))
        filter = {"$and": [{"journey": journey.uid}, wanted]} if wanted else {"journey": journey.uid}
        bind = {"parent": request.parent, "filter": request.filter}
        found, token = paging.page(JourneyEntry, filter=filter, order=[], request=request, bind=bind)
        return pb.ListJourneyEntriesResponse(
            journey_entries=[answers.entry(each) for each in found], next_page_token=token
        )

    # Messages

    def GetMessage(self, request: pb.GetMessageRequest, _: Context) -> message_pb2.Message:
        return answers.message(Message.get(uid(request.name)))

    def ListMessages(self, request: pb.ListMessagesRequest, _: Context) -> pb.ListMessagesResponse:
        filter = aliases.of_whole_profile(parse(request.filter, _MESSAGE_FILTER))
        found, token = paging.page(Message, filter=filter, order=[], request=request, bind={"filter": request.filter})
        return pb.ListMessagesResponse(messages=[answers.message(each) for each in found], next_page_token=token)

    # Rules of the sender

    def CreateSuppression(self, request: pb.CreateSuppressionRequest, _: Context) -> suppression_pb2.Suppression:
        given = request.suppression
        reason = suppression_pb2.Suppression.Reason.Name(given.reason)
        return answers.suppression(suppressions.create(self._email(given.email, "suppression.email"), reason))

    def ListSuppressions(self, request: pb.ListSuppressionsRequest, _: Context) -> pb.ListSuppressionsResponse:
        filter = parse(request.filter, _SUPPRESSION_FILTER)
        address = fingerprint(self._email(request.email, "email")) if request.email else ""
        if address:
            filter = {"$and": [{"uid": address}, filter]} if filter else {"uid": address}
        bind = {"filter": request.filter, "address": address}
        order = [("create_time", 1)]
        found, token = paging.page(Suppression, filter=filter, order=order, request=request, bind=bind)
        return pb.ListSuppressionsResponse(
            suppressions=[answers.suppression(each) for each in found], next_page_token=token
        )

    def DeleteSuppression(self, request: pb.DeleteSuppressionRequest, _: Context) -> Empty:
        return suppressions.delete(uid(request.name), request.etag)

    def GetSendingPolicy(self, _request: pb.GetSendingPolicyRequest, _: Context) -> sending_policy_pb2.SendingPolicy:
        return answers.policy(SendingPolicy.current())

    def UpdateSendingPolicy(
        self, request: pb.UpdateSendingPolicyRequest, _: Context
    ) -> sending_policy_pb2.SendingPolicy:
        return answers.policy(policies.update(request.sending_policy, request.update_mask))

    # What people do with messages

    def FollowLink(self, request: pb.FollowLinkRequest, _: Context) -> pb.FollowLinkResponse:
        return pb.FollowLinkResponse(target_url=tracking.follow(request.token))

    def RecordOpen(self, request: pb.RecordOpenRequest, _: Context) -> Empty:
        tracking.record_open(request.token)
        return Empty()

    def ViewUnsubscribe(self, request: pb.ViewUnsubscribeRequest, _: Context) -> pb.Unsubscription:
        return _unsubscription(tracking.view(request.token))

    def Unsubscribe(self, request: pb.UnsubscribeRequest, _: Context) -> pb.Unsubscription:
        return _unsubscription(tracking.unsubscribe(request.token))

    def _email(self, address: str, field: str) -> str:
        return fields.email(address, field, test_environment=self._settings.environment == "test")


def _journey(document: Journey) -> journey_pb2.Journey:
    return answers.journey(document, journeys.definition_of(document))


def _unsubscription(shown: tracking.Unsubscription) -> pb.Unsubscription:
    return pb.Unsubscription(
        sender_display_name=shown.sender_display_name,
        masked_email=shown.masked_email,
        unsubscribed=shown.unsubscribed,
    )
