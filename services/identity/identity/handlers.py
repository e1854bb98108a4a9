"""What identity does when other services tell something.

The agent view keeps how things now stand, so its handlers of STATE events follow the highest sequence; the timeline
keeps what happened, so its handlers take every version once (`history`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.type.money_pb2 import Money
from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.consent.v1 import consent_pb2, purpose_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.sales.v1 import events_pb2 as sales_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2
from rapport.ticketing.v1 import events_pb2 as ticketing_events_pb2
from rapport.ticketing.v1 import ticket_pb2

from chassis import clock, money, tenancy
from eventing import erasing
from eventing.envelope import Envelope
from eventing.subscribe import subscribe
from identity.store import TimelineEntry
from identity.usecases import facets, likely, tenant, timeline


class Handlers:
    """Keeps the timeline of what happened with a customer, the agent view, and what is needed of the tenant."""

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
        when = state.decide_time.ToDatetime(UTC) if state.HasField("decide_time") else envelope.time
        # A version told again, by a republication say, has another event id.
        version = f"{envelope.subject}/{envelope.sequence[0]}"
        timeline.add_entries([_entry(envelope, state.customer, version, when, details)])

    @subscribe(consent_events_pb2.ConsentGranted)
    @subscribe(consent_events_pb2.ConsentWithdrawn)
    @subscribe(consent_events_pb2.ConsentPending)
    def show_consent(
        self,
        event: consent_events_pb2.ConsentGranted
        | consent_events_pb2.ConsentWithdrawn
        | consent_events_pb2.ConsentPending,
        envelope: Envelope,
    ) -> None:
        """Show agents where a person stands."""
        facets.show_consent(event.consent, envelope)

    @subscribe(consent_events_pb2.ErasureRequested, erased_too=True)
    def erase(self, event: consent_events_pb2.ErasureRequested, envelope: Envelope) -> None:
        """Hear nothing more of a person, and leave what is held of them to the role `run`."""
        erasing.note(event, envelope)

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
        """Note what was sent to a person, and what became of it."""
        about = event.message
        details = {name: getattr(about, name) for name in ("message", "journey", "step", "template", "purpose")} | {
            name: getattr(event, name) for name in ("decision", "target_url") if hasattr(event, name)
        }
        timeline.add_entries([_entry(envelope, about.customer, envelope.id, envelope.time, details)])
        if isinstance(event, campaigns_events_pb2.MessageSent):
            facets.show_sent_message(event, envelope)
        else:
            facets.show_reaction(event, envelope)

    @subscribe(sales_events_pb2.OrdersPlaced, some_erased=True)
    @subscribe(sales_events_pb2.OrdersRefunded, some_erased=True)
    def note_orders(
        self, event: sales_events_pb2.OrdersPlaced | sales_events_pb2.OrdersRefunded, envelope: Envelope
    ) -> None:
        """Note orders; those a tracked event brought are in the timeline already."""
        placed = isinstance(event, sales_events_pb2.OrdersPlaced)
        facets.show_orders(event.orders, envelope)
        entries = []
        for order in event.orders:
            if order.tracked or not order.customer or order.customer in envelope.erased:
                continue
            details = {name: getattr(order, name) for name in ("order", "source", "order_number")}
            if placed:
                key, when, amount = f"{order.order}/placed", order.order_time.ToDatetime(UTC), order.amount
            else:
                key, when, amount = f"{order.order}/{order.revision}", envelope.time, order.refunded_amount
            entries.append(_entry(envelope, order.customer, key, when, details, amount))
        timeline.add_entries(entries)

    @subscribe(sales_events_pb2.PromiseMade)
    @subscribe(sales_events_pb2.PromiseUpdated)
    @subscribe(sales_events_pb2.PromiseOverdue)
    def show_promise(
        self,
        event: sales_events_pb2.PromiseMade | sales_events_pb2.PromiseUpdated | sales_events_pb2.PromiseOverdue,
        envelope: Envelope,
    ) -> None:
        """Show agents what was promised."""
        facets.show_promise(event.promise, envelope)

    @subscribe(sales_events_pb2.PromiseMade, history=True)
    @subscribe(sales_events_pb2.PromiseOverdue, history=True)
    def note_promise(
        self, event: sales_events_pb2.PromiseMade | sales_events_pb2.PromiseOverdue, envelope: Envelope
    ) -> None:
        """Note that something was promised, and that the time for it ran out."""
        promise = event.promise
        due = promise.due_time.ToDatetime(UTC)
        if isinstance(event, sales_events_pb2.PromiseMade):
            key, when = f"{promise.promise}/made", promise.create_time.ToDatetime(UTC)
        else:
            key, when = f"{promise.promise}/overdue/{due.isoformat()}", due
        details = {"promise": promise.promise, "owner": promise.owner, "due_time": due.isoformat()}
        timeline.add_entries(_of_known(_entry(envelope, promise.customer, key, when, details)))

    @subscribe(sales_events_pb2.OpportunityWon)
    @subscribe(sales_events_pb2.OpportunityLost)
    def note_deal(
        self, event: sales_events_pb2.OpportunityWon | sales_events_pb2.OpportunityLost, envelope: Envelope
    ) -> None:
        """Note how a deal ended."""
        about = event.opportunity
        end = event.win_time if isinstance(event, sales_events_pb2.OpportunityWon) else event.lose_time
        details = {name: getattr(about, name) for name in ("opportunity", "account", "stage", "owner")}
        entry = _entry(envelope, about.customer, envelope.id, end.ToDatetime(UTC), details, about.amount)
        timeline.add_entries(_of_known(entry))
        facets.show_deal(event, envelope)

    @subscribe(sales_events_pb2.OpportunityReopened)
    def forget_deal_end(self, event: sales_events_pb2.OpportunityReopened, envelope: Envelope) -> None:
        """Count a deal neither as won nor as lost: it may be made after all."""
        facets.show_deal(event, envelope)

    @subscribe(sales_events_pb2.LeadConverted)
    def note_lead(self, event: sales_events_pb2.LeadConverted, envelope: Envelope) -> None:
        """Note that a lead became a deal."""
        details = {"lead": event.lead.lead} | {
            name: getattr(event, name) for name in ("account", "contact", "opportunity")
        }
        timeline.add_entries(_of_known(_entry(envelope, event.lead.customer, envelope.id, envelope.time, details)))

    @subscribe(ticketing_events_pb2.TicketOpened)
    @subscribe(ticketing_events_pb2.TicketUpdated)
    @subscribe(ticketing_events_pb2.TicketAssigned)
    @subscribe(ticketing_events_pb2.TicketResolved)
    def show_ticket(
        self,
        event: ticketing_events_pb2.TicketOpened
        | ticketing_events_pb2.TicketUpdated
        | ticketing_events_pb2.TicketAssigned
        | ticketing_events_pb2.TicketResolved,
        envelope: Envelope,
    ) -> None:
        """Show agents a ticket as it now is."""
        facets.show_ticket(event.ticket, envelope)

    @subscribe(ticketing_events_pb2.TicketOpened, history=True)
    @subscribe(ticketing_events_pb2.TicketResolved, history=True)
    def note_ticket(
        self, event: ticketing_events_pb2.TicketOpened | ticketing_events_pb2.TicketResolved, envelope: Envelope
    ) -> None:
        """Note that a ticket was opened or resolved."""
        ticket = event.ticket
        details = {
            "ticket": ticket.ticket,
            "kind": ticket_pb2.Ticket.Kind.Name(ticket.kind),
            "channel": ticket_pb2.Ticket.Channel.Name(ticket.channel),
        }
        if isinstance(event, ticketing_events_pb2.TicketOpened):
            key, when = f"{ticket.ticket}/opened", ticket.create_time.ToDatetime(UTC)
        else:
            when = ticket.resolve_time.ToDatetime(UTC)
            key = f"{ticket.ticket}/resolved/{when.isoformat()}"
        timeline.add_entries(_of_known(_entry(envelope, ticket.customer, key, when, details)))

    @subscribe(ticketing_events_pb2.TicketMessagePosted)
    def note_ticket_message(self, event: ticketing_events_pb2.TicketMessagePosted, envelope: Envelope) -> None:
        """Note that something was said in a ticket, and how it sounds."""
        details = {
            "ticket_message": event.ticket_message,
            "ticket": event.ticket,
            "author": ticket_pb2.TicketMessage.Author.Name(event.author),
            "channel": ticket_pb2.Ticket.Channel.Name(event.channel),
        }
        if event.HasField("sentiment"):
            details["sentiment"] = ticket_pb2.Sentiment.Label.Name(event.sentiment.label)
        when = event.post_time.ToDatetime(UTC)
        timeline.add_entries(_of_known(_entry(envelope, event.customer, event.ticket_message, when, details)))
        facets.show_statement(event, envelope)

    @subscribe(ticketing_events_pb2.TicketMessageUpdated)
    def show_ticket_message(self, event: ticketing_events_pb2.TicketMessageUpdated, envelope: Envelope) -> None:
        """Show agents how something sounds now that somebody said so; the timeline keeps what was told first."""
        facets.show_statement(event, envelope)

    @subscribe(ticketing_events_pb2.SlaBreached)
    def note_sla_breach(self, event: ticketing_events_pb2.SlaBreached, envelope: Envelope) -> None:
        """Note that the time for a ticket ran out."""
        about = event.clock
        details = {"ticket": about.ticket, "target": ticket_pb2.Sla.Target.Name(about.target), "agent": about.agent}
        when = about.due_time.ToDatetime(UTC)
        timeline.add_entries(_of_known(_entry(envelope, about.customer, envelope.id, when, details)))

    @subscribe(scoring_events_pb2.ScoresUpdated, some_erased=True)
    def show_scores(self, event: scoring_events_pb2.ScoresUpdated, envelope: Envelope) -> None:
        """Show agents what jobs of scoring tell of customers."""
        likely.show_scores(event, envelope)

    @subscribe(scoring_events_pb2.SendTimesUpdated, some_erased=True)
    def show_send_times(self, event: scoring_events_pb2.SendTimesUpdated, envelope: Envelope) -> None:
        """Show agents when customers are best reached."""
        likely.show_send_times(event, envelope)

    @subscribe(scoring_events_pb2.SegmentEntered, some_erased=True)
    @subscribe(scoring_events_pb2.SegmentLeft, some_erased=True)
    def show_segment(
        self, event: scoring_events_pb2.SegmentEntered | scoring_events_pb2.SegmentLeft, envelope: Envelope
    ) -> None:
        """Show agents in which segments customers are."""
        member = isinstance(event, scoring_events_pb2.SegmentEntered)
        facets.show_segment(event.segment, event.customers, member=member, envelope=envelope)

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


def _entry(
    envelope: Envelope,
    customer: str,
    key: str,
    when: datetime,
    details: Mapping[str, Any],
    amount: Money | None = None,
) -> TimelineEntry:
    """What an event tells, as an entry of a timeline; equal keys of one service are one entry."""
    source = f"services/{envelope.source.rpartition('/')[2]}"
    paid = amount if amount is not None and amount.currency_code else None
    return TimelineEntry.new(
        TimelineEntry.uid_of(source, key),
        customer=customer.rpartition("/")[2],
        event=envelope.type,
        source=source,
        message_id=envelope.id,
        event_time=when,
        create_time=clock.now(),
        currency_code=paid.currency_code if paid else None,
        amount_minor=money.to_minor(paid) if paid else None,
        details=dict(details),
    )


def _of_known(entry: TimelineEntry) -> list[TimelineEntry]:
    """The entry, unless no customer is known for it."""
    return [entry] if entry.customer else []
