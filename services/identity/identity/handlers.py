"""What identity does when other services tell something."""

from datetime import UTC

from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.consent.v1 import consent_pb2, purpose_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2

from chassis import clock, tenancy
from eventing.envelope import Envelope
from eventing.subscribe import subscribe
from identity.store import TimelineEntry
from identity.usecases import tenant, timeline


class Handlers:
    """Keeps the timeline of everything that happened with a customer, and what is needed of the tenant."""

    @subscribe(consent_events_pb2.ConsentGranted, history=True)
    @subscribe(consent_events_pb2.ConsentWithdrawn, history=True)
    def note_consent(
        self,
        event: consent_events_pb2.ConsentGranted | consent_events_pb2.ConsentWithdrawn,
        envelope: Envelope,
    ) -> None:
        """Put a person's decision into the timeline, every version of it."""
        state = event.consent
        details = {
            "consent": state.consent,
            "purpose": state.purpose,
            "channel": purpose_pb2.Channel.Name(state.channel),
            "state": consent_pb2.Consent.State.Name(state.state),
            "notice_version": state.notice_version,
            "consent_record": state.consent_record,
        }
        source = f"services/{envelope.source.rpartition('/')[2]}"
        # A version told again, by a republication say, has another event id.
        version = f"{envelope.subject}/{envelope.sequence[0]}"
        timeline.add_entry(
            TimelineEntry.new(
                TimelineEntry.uid_of(source, version),
                customer=state.customer.rpartition("/")[2],
                event=envelope.type,
                source=source,
                message_id=envelope.id,
                event_time=state.decide_time.ToDatetime(UTC) if state.HasField("decide_time") else envelope.time,
                create_time=clock.now(),
                details=details,
            )
        )

    @subscribe(campaigns_events_pb2.MessageSent)
    @subscribe(campaigns_events_pb2.MessageClicked)
    @subscribe(campaigns_events_pb2.MessageOpened)
    def note_message(
        self,
        event: campaigns_events_pb2.MessageSent
        | campaigns_events_pb2.MessageClicked
        | campaigns_events_pb2.MessageOpened,
        envelope: Envelope,
    ) -> None:
        """Put what was sent to a person, and what became of it, into the timeline."""
        about = event.message
        details = {name: getattr(about, name) for name in ("message", "journey", "step", "template", "purpose")} | {
            name: getattr(event, name) for name in ("decision", "target_url") if hasattr(event, name)
        }
        source = f"services/{envelope.source.rpartition('/')[2]}"
        timeline.add_entry(
            TimelineEntry.new(
                TimelineEntry.uid_of(source, envelope.id),
                customer=about.customer.rpartition("/")[2],
                event=envelope.type,
                source=source,
                message_id=envelope.id,
                event_time=envelope.time,
                create_time=clock.now(),
                details=details,
            )
        )

    @subscribe(access_events_pb2.TenantCreated)
    @subscribe(access_events_pb2.TenantUpdated)
    def follow_tenant(
        self, event: access_events_pb2.TenantCreated | access_events_pb2.TenantUpdated, _envelope: Envelope
    ) -> None:
        """Read phone numbers and amounts the way the tenant writes them."""
        settings = event.tenant.settings
        # Tenants belong to the platform's own tenant; what is learnt is for the tenant itself.
        with tenancy.service_context(event.tenant.uid):
            tenant.follow_tenant(settings.region_code, settings.currency_code)
