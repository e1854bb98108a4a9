"""The gRPC face of the service: requests to use cases and back."""

# ruff: noqa: D102, N802 - names and meanings of the methods are the contract's.

from collections.abc import Mapping
from typing import cast

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from rapport.ticketing.v1 import (
    agent_pb2,
    calendar_pb2,
    inbound_mail_pb2,
    intent_model_pb2,
    queue_pb2,
    sentiment_model_pb2,
    sla_policy_pb2,
    ticket_pb2,
    ticketing_service_pb2,
    ticketing_service_pb2_grpc,
)
from rapport.ticketing.v1.ticketing_service_pb2_grpc import add_TicketingServiceServicer_to_server

import docstore
from chassis import context, server
from chassis import inputs as fields
from chassis.inputs import uid
from chassis.lifecycle import Stopping
from chassis.settings import ConfigurationError
from docstore import aliases, blobs, paging
from docstore.filters import FilterField, parse
from ticketing import answers, inputs
from ticketing.migrate import VERSION
from ticketing.settings import TicketingSettings
from ticketing.store import (
    Agent,
    Calendar,
    InboundMail,
    Queue,
    SlaPolicy,
    Ticket,
    TicketMessage,
    inbound_mails,
    text_models,
    tickets,
)
from ticketing.usecases import (
    agents,
    assigning,
    attachments,
    calendars,
    hearing,
    messages,
    queues,
    receiving,
    routing,
    sla_policies,
)
from ticketing.usecases import tickets as ticketing
from ticketing.usecases.learned_models import INTENTS, MOODS, Learnable

pb = ticketing_service_pb2
Context = grpc.ServicerContext

_TICKET_FILTER: Mapping[str, FilterField] = {
    "customer": FilterField("string"),
    "state": FilterField("enum", values=tickets.STATES),
    "priority": FilterField("enum", values=tickets.PRIORITIES),
    "kind": FilterField("enum", values=ticket_pb2.Ticket.Kind.keys()[1:]),
    "intent": routing.INTENT,
    "queue": FilterField("string", convert=uid),
    "agent": FilterField("string", convert=uid),
    "create_time": FilterField("timestamp"),
}
_MAIL_FILTER: Mapping[str, FilterField] = {
    "state": FilterField("enum", values=inbound_mails.STATES),
    "reason": FilterField("string"),
    "ticket": FilterField("string"),
    "customer": FilterField("string"),
    "message_id": FilterField("string"),
    "create_time": FilterField("timestamp"),
}


def serve(settings: TicketingSettings, stopping: Stopping) -> None:
    """Role `serve`. Raises ConfigurationError."""
    if not settings.blob_url:
        raise ConfigurationError("RAPPORT_BLOB_URL", "is not set: attachments need a place")
    docstore.connect(settings)
    servicers = [(add_TicketingServiceServicer_to_server, TicketingServicer(settings))]
    server.serve(settings, stopping, servicers, [docstore.ping, lambda: docstore.require_version(VERSION)])
    docstore.disconnect()


class TicketingServicer(ticketing_service_pb2_grpc.TicketingServiceServicer):
    """Requests arrive checked by the interceptors (required fields, shapes of names, permissions)."""

    def __init__(self, settings: TicketingSettings) -> None:
        self._settings = settings
        self._test = settings.environment == "test"
        self._files = blobs.store(settings)

    # Tickets

    def CreateTicket(self, request: pb.CreateTicketRequest, _: Context) -> ticket_pb2.Ticket:
        opening = inputs.ticket(request.ticket, test_environment=self._test)
        said = inputs.first_words(request.ticket, opening.channel)
        if said is None:
            suggested = hearing.subject_alone(opening.subject, self._files)
        else:
            suggested, said = hearing.first_words(opening.subject, said, opening.language_code, self._files)
        return answers.ticket(ticketing.create(opening, said, suggested))

    def GetTicket(self, request: pb.GetTicketRequest, _: Context) -> ticket_pb2.Ticket:
        return answers.ticket(Ticket.get(uid(request.name)))

    def ListTickets(self, request: pb.ListTicketsRequest, _: Context) -> pb.ListTicketsResponse:
        filter = aliases.of_whole_profile(parse(request.filter, _TICKET_FILTER))
        order, bind = [("create_time", 1)], {"filter": request.filter}
        found, token = paging.page(Ticket, filter=filter, order=order, request=request, bind=bind)
        return pb.ListTicketsResponse(tickets=[answers.ticket(each) for each in found], next_page_token=token)

    def UpdateTicket(self, request: pb.UpdateTicketRequest, _: Context) -> ticket_pb2.Ticket:
        return answers.ticket(ticketing.update(request.ticket, request.update_mask, test_environment=self._test))

    def PendTicket(self, request: pb.PendTicketRequest, _: Context) -> ticket_pb2.Ticket:
        return answers.ticket(ticketing.pend(uid(request.name), request.etag))

    def ResolveTicket(self, request: pb.ResolveTicketRequest, _: Context) -> ticket_pb2.Ticket:
        return answers.ticket(ticketing.resolve(uid(request.name), request.etag))

    def ReopenTicket(self, request: pb.ReopenTicketRequest, _: Context) -> ticket_pb2.Ticket:
        return answers.ticket(ticketing.reopen(uid(request.name), request.etag))

    def AssignTicket(self, request: pb.AssignTicketRequest, _: Context) -> ticket_pb2.Ticket:
        ticket, agent = uid(request.name), uid(request.agent)
        return answers.ticket(assigning.assign(ticket, agent, request.etag, force=request.force))

    def CreateTicketMessage(self, request: pb.CreateTicketMessageRequest, _: Context) -> ticket_pb2.TicketMessage:
        said = inputs.said(request.ticket_message, context.current().principal)
        return answers.ticket_message(messages.say(uid(request.parent), said, self._files))

    def ListTicketMessages(self, request: pb.ListTicketMessagesRequest, _: Context) -> pb.ListTicketMessagesResponse:
        ticket = Ticket.get(uid(request.parent))
        filter, bind = {"ticket": ticket.uid}, {"parent": request.parent}
        found, token = paging.page(
            TicketMessage,
            filter=filter,
            order=[("create_time", 1)],
            request=request,
            bind=bind,
            ahead=() if request.page_token else tickets.first_messages(ticket.uid),
        )
        return pb.ListTicketMessagesResponse(
            ticket_messages=[answers.ticket_message(each) for each in found], next_page_token=token
        )

    def GetTicketMessage(self, request: pb.GetTicketMessageRequest, _: Context) -> ticket_pb2.TicketMessage:
        return answers.ticket_message(messages.named(request.name))

    def UpdateTicketMessage(self, request: pb.UpdateTicketMessageRequest, _: Context) -> ticket_pb2.TicketMessage:
        return answers.ticket_message(messages.update(request.ticket_message, request.update_mask))

    def DownloadAttachment(self, request: pb.DownloadAttachmentRequest, _: Context) -> HttpBody:
        return answers.file(*attachments.content_of(request.name, self._files))

    # Mails

    def CreateInboundMail(self, request: pb.CreateInboundMailRequest, _: Context) -> inbound_mail_pb2.InboundMail:
        return answers.inbound_mail(receiving.receive(request.inbound_mail.raw, test_environment=self._test))

    def GetInboundMail(self, request: pb.GetInboundMailRequest, _: Context) -> inbound_mail_pb2.InboundMail:
        return answers.inbound_mail(InboundMail.get(uid(request.name)))

    def ListInboundMails(self, request: pb.ListInboundMailsRequest, _: Context) -> pb.ListInboundMailsResponse:
        filter = aliases.of_whole_profile(parse(request.filter, _MAIL_FILTER))
        order, bind = [("create_time", 1)], {"filter": request.filter}
        found, token = paging.page(InboundMail, filter=filter, order=order, request=request, bind=bind)
        return pb.ListInboundMailsResponse(
            inbound_mails=[answers.inbound_mail(each) for each in found], next_page_token=token
        )

    # Agents

    def CreateAgent(self, request: pb.CreateAgentRequest, _: Context) -> agent_pb2.Agent:
        return _agent(agents.create(fields.slug(request.agent_id, "agent_id"), request.agent))

    def GetAgent(self, request: pb.GetAgentRequest, _: Context) -> agent_pb2.Agent:
        return _agent(Agent.get(uid(request.name)))

    def ListAgents(self, request: pb.ListAgentsRequest, _: Context) -> pb.ListAgentsResponse:
        found, token = paging.page(Agent, filter={}, order=[("create_time", 1)], request=request, bind={})
        loads = tickets.loads([each.uid for each in found])
        return pb.ListAgentsResponse(
            agents=[answers.agent(each, loads[each.uid]) for each in found], next_page_token=token
        )

    def UpdateAgent(self, request: pb.UpdateAgentRequest, _: Context) -> agent_pb2.Agent:
        return _agent(agents.update(request.agent, request.update_mask))

    def DeleteAgent(self, request: pb.DeleteAgentRequest, _: Context) -> Empty:
        return agents.delete(uid(request.name), request.etag)

    # Queues

    def CreateQueue(self, request: pb.CreateQueueRequest, _: Context) -> queue_pb2.Queue:
        return answers.queue(queues.create(fields.slug(request.queue_id, "queue_id"), request.queue))

    def GetQueue(self, request: pb.GetQueueRequest, _: Context) -> queue_pb2.Queue:
        return answers.queue(Queue.named(uid(request.name)))

    def ListQueues(self, request: pb.ListQueuesRequest, _: Context) -> pb.ListQueuesResponse:
        found, token = paging.page(Queue, filter={}, order=[("order", 1)], request=request, bind={})
        if not token and (not found or found[-1].uid != "default"):
            found.append(Queue.default())
        return pb.ListQueuesResponse(queues=[answers.queue(each) for each in found], next_page_token=token)

    def UpdateQueue(self, request: pb.UpdateQueueRequest, _: Context) -> queue_pb2.Queue:
        return answers.queue(queues.update(request.queue, request.update_mask))

    def DeleteQueue(self, request: pb.DeleteQueueRequest, _: Context) -> Empty:
        return queues.delete(uid(request.name), request.etag)

    # Service levels

    def CreateCalendar(self, request: pb.CreateCalendarRequest, _: Context) -> calendar_pb2.Calendar:
        return answers.calendar(calendars.create(fields.slug(request.calendar_id, "calendar_id"), request.calendar))

    def GetCalendar(self, request: pb.GetCalendarRequest, _: Context) -> calendar_pb2.Calendar:
        return answers.calendar(Calendar.get(uid(request.name)))

    def ListCalendars(self, request: pb.ListCalendarsRequest, _: Context) -> pb.ListCalendarsResponse:
        found, token = paging.page(Calendar, filter={}, order=[("create_time", 1)], request=request, bind={})
        return pb.ListCalendarsResponse(calendars=[answers.calendar(each) for each in found], next_page_token=token)

    def UpdateCalendar(self, request: pb.UpdateCalendarRequest, _: Context) -> calendar_pb2.Calendar:
        return answers.calendar(calendars.update(request.calendar, request.update_mask))

    def DeleteCalendar(self, request: pb.DeleteCalendarRequest, _: Context) -> Empty:
        return calendars.delete(uid(request.name), request.etag)

    def CreateSlaPolicy(self, request: pb.CreateSlaPolicyRequest, _: Context) -> sla_policy_pb2.SlaPolicy:
        chosen = fields.slug(request.sla_policy_id, "sla_policy_id")
        return answers.sla_policy(sla_policies.create(chosen, request.sla_policy))

    def GetSlaPolicy(self, request: pb.GetSlaPolicyRequest, _: Context) -> sla_policy_pb2.SlaPolicy:
        return answers.sla_policy(SlaPolicy.get(uid(request.name)))

    def ListSlaPolicies(self, request: pb.ListSlaPoliciesRequest, _: Context) -> pb.ListSlaPoliciesResponse:
        found, token = paging.page(SlaPolicy, filter={}, order=[("order", 1)], request=request, bind={})
        return pb.ListSlaPoliciesResponse(
            sla_policies=[answers.sla_policy(each) for each in found], next_page_token=token
        )

    def UpdateSlaPolicy(self, request: pb.UpdateSlaPolicyRequest, _: Context) -> sla_policy_pb2.SlaPolicy:
        return answers.sla_policy(sla_policies.update(request.sla_policy, request.update_mask))

    def DeleteSlaPolicy(self, request: pb.DeleteSlaPolicyRequest, _: Context) -> Empty:
        return sla_policies.delete(uid(request.name), request.etag)

    # What is learned

    def GetIntentModel(self, _: pb.GetIntentModelRequest, __: Context) -> intent_model_pb2.IntentModel:
        return cast(intent_model_pb2.IntentModel, _text_model(INTENTS))

    def GetSentimentModel(self, _: pb.GetSentimentModelRequest, __: Context) -> sentiment_model_pb2.SentimentModel:
        return cast(sentiment_model_pb2.SentimentModel, _text_model(MOODS))


def _agent(document: Agent) -> agent_pb2.Agent:
    return answers.agent(document, tickets.loads([document.uid])[document.uid])


def _text_model(learnable: Learnable) -> Message:
    return answers.text_model(learnable, text_models.current(learnable.state))
