"""Documents of the ticketing service and the queries on them."""

from docstore.aliases import CustomerAlias
from ticketing.store.agents import Agent
from ticketing.store.calendars import Calendar, DayHours
from ticketing.store.inbound_mails import InboundMail, RawMail
from ticketing.store.messages import TicketMessage
from ticketing.store.outgoing_mails import OutgoingMail, TenantProfile
from ticketing.store.queues import Queue
from ticketing.store.sla_policies import SlaPolicy, Target
from ticketing.store.text_models import IntentModelState, SentimentModelState
from ticketing.store.tickets import Ticket

DOCUMENTS = (
    Ticket,
    TicketMessage,
    Agent,
    Queue,
    Calendar,
    SlaPolicy,
    InboundMail,
    RawMail,
    OutgoingMail,
    TenantProfile,
    IntentModelState,
    SentimentModelState,
    CustomerAlias,
)
"""Every collection of the service, for `docstore.migrate`."""

__all__ = [
    "DOCUMENTS",
    "Agent",
    "Calendar",
    "CustomerAlias",
    "DayHours",
    "InboundMail",
    "IntentModelState",
    "OutgoingMail",
    "Queue",
    "RawMail",
    "SentimentModelState",
    "SlaPolicy",
    "Target",
    "TenantProfile",
    "Ticket",
    "TicketMessage",
]
