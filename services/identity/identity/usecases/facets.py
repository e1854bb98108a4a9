"""What other services tell, kept for the agent view.

STATE events come here guarded by their sequence. FACT events about things that change carry something that orders
them: orders their revision, statements, segments and deals the id of the event, which grows with time (UUIDv7). What is
likely of customers is kept by `likely`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rapport.campaigns.v1 import events_pb2 as campaigns
from rapport.consent.v1 import events_pb2 as consent
from rapport.sales.v1 import events_pb2 as sales
from rapport.sales.v1.promise_pb2 import Promise
from rapport.scoring.v1 import events_pb2 as scoring
from rapport.ticketing.v1 import events_pb2 as ticketing
from rapport.ticketing.v1 import ticket_pb2

from chassis import money
from eventing.envelope import Envelope
from identity.domain.agent_view import SCALE
from identity.store import agent_view
from identity.store.agent_view import CLICKED, LOST, OPENED, SENT, WON, Kind
from identity.usecases import facet_values

_OPEN_PROMISE = (Promise.STATE_OPEN, Promise.STATE_OVERDUE)
_DEAL_ENDS: Mapping[type, int] = {sales.OpportunityWon: WON, sales.OpportunityLost: LOST}
_TOLD_SENTIMENTS = (
    ticket_pb2.Sentiment.LABEL_POSITIVE,
    ticket_pb2.Sentiment.LABEL_NEUTRAL,
    ticket_pb2.Sentiment.LABEL_NEGATIVE,
)


def show_orders(orders: Iterable[sales.OrderState], envelope: Envelope) -> None:
    """Keep orders, each in its highest revision."""
    put = []
    for order in orders:
        if not order.customer or order.customer in envelope.erased:
            continue
        values = {
            **facet_values.row(order.customer, envelope, order.order_time),
            "shown": True,
            **facet_values.amount(order.amount if order.HasField("amount") else None),
            "refunded_minor": money.to_minor(order.refunded_amount) if order.HasField("refunded_amount") else 0,
            "version": order.revision,
            "details": facet_values.strings(order, "order", "source", "order_number"),
        }
        put.append((order.order, values))
    agent_view.put_newer(Kind.ORDER, put)


def show_promise(promise: sales.PromiseState, envelope: Envelope) -> None:
    """Keep a promise; one kept or cancelled is not shown and its text not kept."""
    shown = promise.state in _OPEN_PROMISE
    details = {
        **facet_values.strings(promise, "promise", "owner", *(["text"] if shown else [])),
        "create_time": facet_values.instant(promise.create_time, envelope),
    }
    values = {
        **facet_values.row(promise.customer, envelope),
        "time": facet_values.instant(promise.due_time) if promise.HasField("due_time") else None,
        "state": promise.state,
        "shown": shown,
        "details": details,
    }
    _put_or_forget(Kind.PROMISE, promise.promise, promise.customer, values)


Deal = sales.OpportunityWon | sales.OpportunityLost | sales.OpportunityReopened


def show_deal(event: Deal, envelope: Envelope) -> None:
    """Keep how a deal ended; one that was reopened counts for nothing until it ends anew."""
    opportunity = event.opportunity
    if not opportunity.customer:
        return
    values = {
        **facet_values.row(opportunity.customer, envelope),
        "state": _DEAL_ENDS.get(type(event)),
        **facet_values.amount(opportunity.amount if opportunity.HasField("amount") else None),
        "version": envelope.id,
    }
    agent_view.put_newer(Kind.DEAL, [(opportunity.opportunity, values)])


def show_ticket(ticket: ticketing.TicketState, envelope: Envelope) -> None:
    """Keep a ticket."""
    details = {
        **facet_values.strings(ticket, "ticket", "subject", "agent"),
        "priority": ticket.priority,
        "channel": ticket.channel,
        "sentiment": ticket.sentiment.label,
        "resolve_time": facet_values.instant(ticket.resolve_time) if ticket.HasField("resolve_time") else None,
    }
    values = {
        **facet_values.row(ticket.customer, envelope, ticket.create_time),
        "shown": True,
        "state": ticket.state,
        "category": ticket.kind,
        "details": details,
    }
    _put_or_forget(Kind.TICKET, ticket.ticket, ticket.customer, values)


def show_statement(posted: ticketing.TicketMessagePosted | ticketing.TicketMessageUpdated, envelope: Envelope) -> None:
    """Keep how something sounds that the customer said, as told last; what was said stays in ticketing."""
    if posted.author != ticket_pb2.TicketMessage.AUTHOR_CUSTOMER or not posted.customer:
        return
    label = posted.sentiment.label
    values = {
        **facet_values.row(posted.customer, envelope, posted.post_time),
        "shown": True,
        "state": label,
        "category": posted.channel,
        "score": round(posted.sentiment.score * SCALE) if label in _TOLD_SENTIMENTS else None,
        "details": {"ticket_message": posted.ticket_message},
        "version": envelope.id,
    }
    agent_view.put_newer(Kind.STATEMENT, [(posted.ticket_message, values)])


def show_sent_message(event: campaigns.MessageSent, envelope: Envelope) -> None:
    """Keep a message that was sent."""
    about = event.message
    named = facet_values.strings(about, "message", "journey", "step", "template", "purpose") | facet_values.strings(
        event, "decision"
    )
    sent = event.send_time if event.HasField("send_time") else None
    changes: dict[str, dict[str, Any]] = {
        "$set": {
            "shown": True,
            "time": facet_values.instant(sent, envelope),
            **{f"details.{name}": value for name, value in named.items()},
        },
        "$max": {"state": SENT},
    }
    agent_view.note_message(about.message, facet_values.uid(about.customer), envelope.time, changes)


def show_reaction(event: campaigns.MessageOpened | campaigns.MessageClicked, envelope: Envelope) -> None:
    """Keep when a message was first opened or clicked."""
    if isinstance(event, campaigns.MessageClicked):
        state, field, stamp = CLICKED, "click_time", event.click_time
    else:
        state, field, stamp = OPENED, "open_time", event.open_time
    when = facet_values.instant(stamp if event.HasField(field) else None, envelope)
    changes: dict[str, dict[str, Any]] = {"$min": {f"details.{field}": when}, "$max": {"state": state}}
    agent_view.note_message(event.message.message, facet_values.uid(event.message.customer), envelope.time, changes)


def show_consent(state: consent.ConsentState, envelope: Envelope) -> None:
    """Keep where a person stands on a purpose and channel."""
    decided = state.HasField("decide_time")
    details = {
        **facet_values.strings(state, "consent", "purpose", "consent_record"),
        "channel": state.channel,
        "notice_version": state.notice_version,
        "answered_records": list(state.answered_records),
        "decided": decided,
    }
    when = state.decide_time if decided else None
    values = {
        **facet_values.row(state.customer, envelope, when),
        "shown": True,
        "state": state.state,
        "details": details,
    }
    agent_view.put(Kind.CONSENT, state.consent, values)


def show_segment(segment: str, customers: Iterable[scoring.ScoreSnapshot], *, member: bool, envelope: Envelope) -> None:
    """Keep whether customers are in a segment."""
    put = []
    for snapshot in customers:
        if snapshot.customer not in envelope.erased:
            values = {**facet_values.row(snapshot.customer, envelope), "shown": member, "version": envelope.id}
            put.append((f"{segment}/{snapshot.customer}", {**values, "details": {"segment": segment}}))
    agent_view.put_newer(Kind.SEGMENT, put)


def _put_or_forget(kind: Kind, name: str, customer: str, values: Mapping[str, Any]) -> None:
    if customer:
        agent_view.put(kind, name, values)
    else:
        agent_view.forget(kind, name)
