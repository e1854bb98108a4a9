"""What campaigns does about the events of other services."""

from collections import defaultdict
from datetime import UTC
from typing import Any

from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.consent.v1 import purpose_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2
from rapport.ticketing.v1 import events_pb2 as ticketing_events_pb2

from campaigns.store import contacts, messages, policies
from campaigns.store.entries import Occasion
from campaigns.usecases import complaints, entering, send_times, tracking
from chassis import tenancy
from chassis.inputs import uid
from docstore import aliases
from eventing import erasing
from eventing.envelope import Envelope
from eventing.subscribe import subscribe


class Handlers:
    """Keeps what sending needs to know, lets people enter journeys, stops what may no longer be sent."""

    @subscribe(scoring_events_pb2.SegmentEntered, some_erased=True)
    def enter_by_segment(self, event: scoring_events_pb2.SegmentEntered, envelope: Envelope) -> None:
        """Let those who came into a segment enter the journeys it triggers."""
        occasions = [
            Occasion(scores.customer, envelope.id, _snapshot(scores))
            for scores in event.customers
            if scores.customer not in envelope.erased
        ]
        entering.enter("segment", {event.segment: occasions})

    @subscribe(identity_events_pb2.EventsTracked, some_erased=True)
    def enter_by_tracked_event(self, event: identity_events_pb2.EventsTracked, envelope: Envelope) -> None:
        """Let those to whom something just happened enter the journeys it triggers."""
        occasions: dict[str, list[Occasion]] = defaultdict(list)
        for tracked in event.events:
            if tracked.customer not in envelope.erased and entering.is_fresh(tracked.event_time.ToDatetime(UTC)):
                told = {"event": tracked.event, "order_id": tracked.order_id}
                snapshot = {name: value for name, value in told.items() if value}
                key = f"{tracked.source}/{tracked.message_id}"
                occasions[tracked.event].append(Occasion(tracked.customer, key, snapshot))
        if occasions:
            entering.enter("event", occasions)

    @subscribe(identity_events_pb2.CustomerCreated)
    @subscribe(identity_events_pb2.CustomerUpdated)
    @subscribe(identity_events_pb2.CustomerDeleted)
    def follow_customer(
        self,
        event: identity_events_pb2.CustomerCreated
        | identity_events_pb2.CustomerUpdated
        | identity_events_pb2.CustomerDeleted,
        envelope: Envelope,
    ) -> None:
        """Keep the address, the language and the time zone of everybody."""
        state = event.customer
        deleted = state.delete_time.ToDatetime(UTC) if state.HasField("delete_time") else None
        contacts.learn(state.customer, {name: getattr(state, name) for name in contacts.FIELDS}, deleted)
        if isinstance(event, identity_events_pb2.CustomerCreated) and entering.is_fresh(envelope.time):
            entering.enter("event", {envelope.type: [Occasion(state.customer, "created", {})]})

    @subscribe(scoring_events_pb2.SendTimesUpdated, some_erased=True)
    def follow_send_times(self, event: scoring_events_pb2.SendTimesUpdated, envelope: Envelope) -> None:
        """Keep in which hours of the week people are most active."""
        send_times.follow(event, left_out=envelope.erased)

    @subscribe(identity_events_pb2.CustomerMerged)
    @subscribe(identity_events_pb2.CustomerUnmerged)
    def follow_merge(
        self, event: identity_events_pb2.CustomerMerged | identity_events_pb2.CustomerUnmerged, envelope: Envelope
    ) -> None:
        """Note where the customer now belongs; ways and messages stay where they began."""
        alias = event.alias
        aliases.apply([aliases.AliasChange(alias.customer, alias.canonical_customer, envelope.sequence)])

    @subscribe(consent_events_pb2.ConsentWithdrawn)
    def stop_sending(self, event: consent_events_pb2.ConsentWithdrawn, _envelope: Envelope) -> None:
        """Cancel what waits to be sent under a consent that was taken back."""
        consent = event.consent
        if consent.channel == purpose_pb2.CHANNEL_EMAIL:
            tracking.stop(consent.customer, consent.purpose, messages.WITHDRAWN)

    @subscribe(consent_events_pb2.ErasureRequested, erased_too=True)
    def erase(self, event: consent_events_pb2.ErasureRequested, envelope: Envelope) -> None:
        """Hear nothing more of a person, and leave what is held of them to the role `run`."""
        erasing.note(event, envelope)

    @subscribe(consent_events_pb2.ConsentGranted)
    def enter_by_consent(self, event: consent_events_pb2.ConsentGranted, envelope: Envelope) -> None:
        """Let those who just agreed enter the journeys that triggers."""
        consent = event.consent
        if entering.is_fresh(envelope.time):
            occasion = Occasion(consent.customer, consent.consent_record, {})
            entering.enter("event", {envelope.type: [occasion]})

    @subscribe(ticketing_events_pb2.ComplaintOpened)
    def pause_sending(self, event: ticketing_events_pb2.ComplaintOpened, _envelope: Envelope) -> None:
        """Send nothing to a person who waits for the answer to a complaint."""
        complaints.pause(uid(event.complaint.ticket), event.complaint.customer)

    @subscribe(ticketing_events_pb2.ComplaintClosed)
    def resume_sending(self, event: ticketing_events_pb2.ComplaintClosed, _envelope: Envelope) -> None:
        """Go on with what waited for the complaint."""
        complaints.resume(uid(event.complaint.ticket), event.complaint.customer)

    @subscribe(access_events_pb2.TenantCreated)
    @subscribe(access_events_pb2.TenantUpdated)
    def follow_tenant(
        self, event: access_events_pb2.TenantCreated | access_events_pb2.TenantUpdated, _envelope: Envelope
    ) -> None:
        """Keep the sender and the time zone of the tenant."""
        settings = event.tenant.settings
        values = {
            "time_zone": settings.time_zone,
            "sender_name": settings.sender.display_name,
            "sender_email": settings.sender.email,
        }
        # Tenants belong to the platform's own tenant; what is learnt is for the tenant itself.
        with tenancy.service_context(event.tenant.uid):
            policies.learn(values)


def _snapshot(scores: scoring_events_pb2.ScoreSnapshot) -> dict[str, Any]:
    """What is kept of scores: values of variables and conditions."""
    snapshot: dict[str, Any] = {"p_alive": scores.p_alive, "expected_purchases": scores.expected_purchases}
    if scores.HasField("lifetime_value"):
        snapshot["lifetime_value"] = scores.lifetime_value.units + scores.lifetime_value.nanos / 1e9
    if scores.rfm_segment:
        snapshot["rfm_segment"] = scores.rfm_segment
    if scores.reasons:
        snapshot["reason"] = scores.reasons[0]
    return snapshot
