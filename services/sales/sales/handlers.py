"""What sales does about the events of other services."""

from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2

from chassis import tenancy
from docstore import aliases
from eventing import erasing
from eventing.envelope import Envelope
from eventing.subscribe import subscribe
from sales.store import tenants
from sales.usecases import estimates, tracked_orders


class Handlers:
    """Takes over orders, and keeps what sales needs to know of customers and tenants."""

    @subscribe(identity_events_pb2.EventsTracked, some_erased=True)
    def take_orders(self, event: identity_events_pb2.EventsTracked, envelope: Envelope) -> None:
        """Take over the orders and refunds that sources told."""
        tracked_orders.take(each for each in event.events if each.customer not in envelope.erased)

    @subscribe(identity_events_pb2.CustomerMerged)
    @subscribe(identity_events_pb2.CustomerUnmerged)
    def follow_merge(
        self, event: identity_events_pb2.CustomerMerged | identity_events_pb2.CustomerUnmerged, envelope: Envelope
    ) -> None:
        """Note where the customer now belongs; what names them stays as it is."""
        alias = event.alias
        aliases.apply([aliases.AliasChange(alias.customer, alias.canonical_customer, envelope.sequence)])

    @subscribe(scoring_events_pb2.LeadsScored)
    def take_estimates(self, event: scoring_events_pb2.LeadsScored, _envelope: Envelope) -> None:
        """Note how probable conversions are, beside the points."""
        estimates.take(event)

    @subscribe(consent_events_pb2.ErasureRequested, erased_too=True)
    def erase(self, event: consent_events_pb2.ErasureRequested, envelope: Envelope) -> None:
        """Hear nothing more of a person, and leave what is held of them to the role `run`."""
        erasing.note(event, envelope)

    @subscribe(access_events_pb2.TenantCreated)
    @subscribe(access_events_pb2.TenantUpdated)
    def follow_tenant(
        self, event: access_events_pb2.TenantCreated | access_events_pb2.TenantUpdated, _envelope: Envelope
    ) -> None:
        """Keep the currency and the country of the tenant."""
        settings = event.tenant.settings
        # Tenants belong to the platform's own tenant; what is learnt is for the tenant itself.
        with tenancy.service_context(event.tenant.uid):
            tenants.learn({"currency_code": settings.currency_code, "region_code": settings.region_code})
