"""Documents of the campaigns service and the queries on them."""

from campaigns.store.complaints import Complaint
from campaigns.store.contacts import Contact
from campaigns.store.entries import EntryNotice, JourneyEntry
from campaigns.store.journeys import Journey, JourneyRevision, Step
from campaigns.store.messages import Message
from campaigns.store.policies import SendingPolicy, TenantProfile
from campaigns.store.suppressions import Suppression
from campaigns.store.templates import Content, Template, Variable
from campaigns.store.unsubscribes import Unsubscribe
from docstore.aliases import CustomerAlias

DOCUMENTS = (
    Template,
    Journey,
    JourneyRevision,
    JourneyEntry,
    EntryNotice,
    Message,
    Contact,
    Suppression,
    SendingPolicy,
    TenantProfile,
    Unsubscribe,
    Complaint,
    CustomerAlias,
)
"""Every collection of the service, for `docstore.migrate`."""

__all__ = [
    "DOCUMENTS",
    "Complaint",
    "Contact",
    "Content",
    "CustomerAlias",
    "EntryNotice",
    "Journey",
    "JourneyEntry",
    "JourneyRevision",
    "Message",
    "SendingPolicy",
    "Step",
    "Suppression",
    "Template",
    "TenantProfile",
    "Unsubscribe",
    "Variable",
]
