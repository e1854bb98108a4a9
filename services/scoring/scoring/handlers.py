"""What scoring does about the events of other services."""

from collections.abc import Collection, Sequence
from datetime import UTC

from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.consent.v1 import purpose_pb2
from rapport.identity.v1 import events_pb2
from rapport.sales.v1 import events_pb2 as sales_events_pb2

from docstore.aliases import AliasChange
from eventing import erasing
from eventing.envelope import Envelope
from eventing.subscribe import subscribe
from scoring.decisions import PURPOSE
from scoring.domain.happenings import MESSAGE_CLICKED, MESSAGE_SENT
from scoring.usecases import activity, journey_entrants, leads, payments, people, signals, staging

_CAMPAIGNS = "campaigns"
"""The source of events that campaigns tells of."""


class Handlers:
    """Gathers purchases, payments and what segments ask for; takes scores away from who objects or was merged."""

    @subscribe(events_pb2.EventsTracked, some_erased=True)
    def note_events(self, event: events_pb2.EventsTracked, envelope: Envelope) -> None:
        """Leaves the events to whoever keeps the segments, and to files."""
        events = _of_others(event.events, envelope.erased)
        activity.stage(events, signals.note_events(events))

    @subscribe(campaigns_events_pb2.MessageSent)
    def note_message(self, event: campaigns_events_pb2.MessageSent, _envelope: Envelope) -> None:
        """Keeps in the same way that a message was sent: who was sent none has nothing to respond to."""
        sent = events_pb2.TrackedEvent(
            customer=event.message.customer,
            event=MESSAGE_SENT,
            source=_CAMPAIGNS,
            message_id=event.message.message,
            event_time=event.send_time,
        )
        activity.stage([sent], signals.note_events([sent]))

    @subscribe(campaigns_events_pb2.MessageClicked)
    def note_click(self, event: campaigns_events_pb2.MessageClicked, envelope: Envelope) -> None:
        """Keeps that a link was followed like any other event of the customer: for segments, and for files."""
        clicked = events_pb2.TrackedEvent(
            customer=event.message.customer,
            event=MESSAGE_CLICKED,
            source=_CAMPAIGNS,
            message_id=envelope.id,
            event_time=event.click_time,
        )
        activity.stage([clicked], signals.note_events([clicked]))

    @subscribe(events_pb2.CustomerCreated)
    @subscribe(events_pb2.CustomerUpdated)
    @subscribe(events_pb2.CustomerDeleted)
    def note_customer(
        self,
        event: events_pb2.CustomerCreated | events_pb2.CustomerUpdated | events_pb2.CustomerDeleted,
        envelope: Envelope,
    ) -> None:
        """Leaves traits to whoever keeps the segments."""
        signals.note_customer(event.customer, envelope.sequence)

    @subscribe(consent_events_pb2.ConsentGranted)
    @subscribe(consent_events_pb2.ConsentPending)
    @subscribe(consent_events_pb2.ConsentWithdrawn)
    def note_consent(
        self,
        event: consent_events_pb2.ConsentGranted
        | consent_events_pb2.ConsentPending
        | consent_events_pb2.ConsentWithdrawn,
        envelope: Envelope,
    ) -> None:
        """Leaves where people stand to whoever keeps the segments."""
        signals.note_consent(event.consent, envelope.sequence)

    @subscribe(events_pb2.EventsTracked, some_erased=True)
    def gather_purchases(self, event: events_pb2.EventsTracked, envelope: Envelope) -> None:
        """Stages the purchases, which role `run` writes into files, and tells which payments may be fraud."""
        staging.stage(event.events, left_out=envelope.erased)
        payments.take_in(event.events, left_out=envelope.erased)

    @subscribe(events_pb2.CustomerMerged)
    @subscribe(events_pb2.CustomerUnmerged)
    def follow_merge(self, event: events_pb2.CustomerMerged | events_pb2.CustomerUnmerged, envelope: Envelope) -> None:
        """Notes where the customer now belongs."""
        alias = event.alias
        people.follow_alias(AliasChange(alias.customer, alias.canonical_customer, envelope.sequence))

    @subscribe(sales_events_pb2.LeadCreated)
    @subscribe(sales_events_pb2.LeadUpdated)
    def note_lead(self, event: sales_events_pb2.LeadCreated | sales_events_pb2.LeadUpdated, envelope: Envelope) -> None:
        """Keeps what a model may know of a lead; role `run` scores it."""
        leads.note(event.lead, envelope)

    @subscribe(sales_events_pb2.LeadConverted)
    def note_conversion(self, event: sales_events_pb2.LeadConverted, envelope: Envelope) -> None:
        """Notes that a lead was converted."""
        when = event.convert_time.ToDatetime(UTC) if event.HasField("convert_time") else envelope.time
        leads.note(event.lead, envelope, convert_time=when)

    @subscribe(sales_events_pb2.LeadDisqualified)
    def note_disqualification(self, event: sales_events_pb2.LeadDisqualified, envelope: Envelope) -> None:
        """Notes that nothing came of a lead."""
        leads.note(event.lead, envelope, disqualify_time=event.disqualify_time.ToDatetime(UTC))

    @subscribe(sales_events_pb2.LeadsErased)
    def forget_leads(self, event: sales_events_pb2.LeadsErased, _envelope: Envelope) -> None:
        """Forgets leads that were erased with a person, though they may name none."""
        leads.erase_named(event.leads)

    @subscribe(campaigns_events_pb2.JourneyEntered, some_erased=True)
    def note_entrants(self, event: campaigns_events_pb2.JourneyEntered, envelope: Envelope) -> None:
        """Keeps who entered a journey that holds people out, and in which group."""
        journey_entrants.note(event, left_out=envelope.erased)

    @subscribe(consent_events_pb2.ErasureRequested, erased_too=True)
    def erase(self, event: consent_events_pb2.ErasureRequested, envelope: Envelope) -> None:
        """Hears nothing more of a person, and leaves what is held of them to the role `run`."""
        erasing.note(event, envelope)

    @subscribe(consent_events_pb2.ConsentWithdrawn)
    def respect_objection(self, event: consent_events_pb2.ConsentWithdrawn, envelope: Envelope) -> None:
        """Takes away the scores of a person who objects to profiling."""
        said = event.consent
        if _about_profiling(said):
            when = said.decide_time.ToDatetime(UTC) if said.HasField("decide_time") else envelope.time
            people.object_to_profiling(said.customer, said.consent, when)

    @subscribe(consent_events_pb2.ConsentGranted)
    def respect_agreement(self, event: consent_events_pb2.ConsentGranted, _envelope: Envelope) -> None:
        """Lets a person who agreed again be scored by the next job."""
        if _about_profiling(event.consent):
            people.allow_profiling(event.consent.customer)


def _of_others(events: Sequence[events_pb2.TrackedEvent], erased: Collection[str]) -> Sequence[events_pb2.TrackedEvent]:
    return [event for event in events if event.customer not in erased] if erased else events


def _about_profiling(said: consent_events_pb2.ConsentState) -> bool:
    return said.purpose == PURPOSE and said.channel == purpose_pb2.CHANNEL_NONE
