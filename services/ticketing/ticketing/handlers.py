"""What ticketing does about the events of other services."""

from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2

from chassis import tenancy
from docstore import aliases
from eventing import erasing
from eventing.envelope import Envelope
from eventing.subscribe import subscribe
from ticketing.store import outgoing_mails


class Handlers:
    """Keeps what tickets need to know of customers."""

    @subscribe(identity_events_pb2.CustomerMerged)
    @subscribe(identity_events_pb2.CustomerUnmerged)
    def follow_merge(
        self, event: identity_events_pb2.CustomerMerged | identity_events_pb2.CustomerUnmerged, envelope: Envelope
    ) -> None:
        """Note where the customer now belongs; tickets stay where they began."""
        alias = event.alias
        aliases.apply([aliases.AliasChange(alias.customer, alias.canonical_customer, envelope.sequence)])

    @subscribe(consent_events_pb2.ErasureRequested, erased_too=True)
    def erase(self, event: consent_events_pb2.ErasureRequested, envelope: Envelope) -> None:
        """Note who is to be erased; role `run` does it."""
        erasing.note(event, envelope)

    @subscribe(access_events_pb2.TenantCreated)
    @subscribe(access_events_pb2.TenantUpdated)
    def follow_tenant(
        self, event: access_events_pb2.TenantCreated | access_events_pb2.TenantUpdated, _envelope: Envelope
    ) -> None:
        """Keep the sender the tenant's answers come from."""
        sender = event.tenant.settings.sender
        # Tenants belong to the platform's own tenant; what is learnt is for the tenant itself.
        with tenancy.service_context(event.tenant.uid):
            outgoing_mails.learn_tenant({"sender_name": sender.display_name, "sender_email": sender.email})
