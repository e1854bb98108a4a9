"""What other services tell, kept for the agent view.

STATE events come here guarded by their sequence. FACT events about things that change carry something that orders
them: orders their revision, scores, segments and deals the id of the event, which grows with time (UUIDv7).
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from rapport.campaigns.v1 import events_pb2 as campaigns
from rapport.consent.v1 import events_pb2 as consent
from rapport.sales.v1 import events_pb2 as sales
from rapport.sales.v1.promise_pb2 import Promise
from rapport.scoring.v1 import events_pb2 as scoring
from rapport.ticketing.v1 import events_pb2 as ticketing
from rapport.ticketing.v1 import ticket_pb2

from chassis import money
from docstore.documents import whole_milliseconds
from eventing.envelope import Envelope
from identity.domain.agent_view import SCALE
from identity.store import agent_view
from identity.store.agent_view import CLICKED, LOST, OPENED, SENT, WON, Kind

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
            **_row(order.customer, envelope, order.order_time),
            "shown": True,
            **_amount(order.amount if order.HasField("amount") else None),
            "refunded_minor": money.to_minor(order.refunded_amount) if order.HasField("refunded_amount") else 0,
            "version": order.revision,
            "details": _strings(order, "order", "source", "order_number"),
        }
        put.append((order.order, values))
    agent_view.put_newer(Kind.ORDER, put)


def show_promise(promise: sales.PromiseState, envelope: Envelope) -> None:
    """Keep a promise; one kept or cancelled is not shown and its text not kept."""
    shown = promise.state in _OPEN_PROMISE
    details = {
        **_strings(promise, "promise", "owner", *(["text"] if shown else [])),
        "create_time": _instant(promise.create_time, envelope),
    }
    values = {
        **_row(promise.customer, envelope),
        "time": _instant(promise.due_time) if promise.HasField("due_time") else None,
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
        **_row(opportunity.customer, envelope),
        "state": _DEAL_ENDS.get(type(event)),
        **_amount(opportunity.amount if opportunity.HasField("amount") else None),
        "version": envelope.id,
    }
    agent_view.put_newer(Kind.DEAL, [(opportunity.opportunity, values)])


def show_ticket(ticket: ticketing.TicketState, envelope: Envelope) -> None:
    """Keep a ticket."""
    details = {
        **_strings(ticket, "ticket", "subject", "agent"),
        "priority": ticket.priority,
        "channel": ticket.channel,
        "sentiment": ticket.sentiment.label,
        "resolve_time": _instant(ticket.resolve_time) if ticket.HasField("resolve_time") else None,
    }
    values = {
        **_row(ticket.customer, envelope, ticket.create_time),
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
        **_row(posted.customer, envelope, posted.post_time),
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
    named = _strings(about, "message", "journey", "step", "template", "purpose") | _strings(event, "decision")
    sent = event.send_time if event.HasField("send_time") else None
    changes: dict[str, dict[str, Any]] = {
        "$set": {
            "shown": True,
            "time": _instant(sent, envelope),
            **{f"details.{name}": value for name, value in named.items()},
        },
        "$max": {"state": SENT},
    }
    agent_view.note_message(about.message, _uid(about.customer), envelope.time, changes)


def show_reaction(event: campaigns.MessageOpened | campaigns.MessageClicked, envelope: Envelope) -> None:
    """Keep when a message was first opened or clicked."""
    if isinstance(event, campaigns.MessageClicked):
        state, field, stamp = CLICKED, "click_time", event.click_time
    else:
        state, field, stamp = OPENED, "open_time", event.open_time
    when = _instant(stamp if event.HasField(field) else None, envelope)
    changes: dict[str, dict[str, Any]] = {"$min": {f"details.{field}": when}, "$max": {"state": state}}
    agent_view.note_message(event.message.message, _uid(event.message.customer), envelope.time, changes)


def show_consent(state: consent.ConsentState, envelope: Envelope) -> None:
    """Keep where a person stands on a purpose and channel."""
    decided = state.HasField("decide_time")
    details = {
        **_strings(state, "consent", "purpose", "consent_record"),
        "channel": state.channel,
        "notice_version": state.notice_version,
        "answered_records": list(state.answered_records),
        "decided": decided,
    }
    when = state.decide_time if decided else None
    values = {**_row(state.customer, envelope, when), "shown": True, "state": state.state, "details": details}
    agent_view.put(Kind.CONSENT, state.consent, values)


def show_scores(event: scoring.ScoresUpdated, envelope: Envelope) -> None:
    """Keep the newest scores and risks of leaving; removed ones leave nothing but a mark of when."""
    scores = {each.customer: _scores(each, event, envelope) for each in event.scores}
    risks = {each.customer: _churn_risk(each, event, envelope) for each in event.churn_risks}
    # Who loses the scores loses the risk with them.
    without_risk = (*event.removed_customers, *event.removed_churn_customers)
    for kind, put, removed in (
        (Kind.SCORES, scores, (*event.removed_customers, *event.removed_value_customers)),
        (Kind.CHURN_RISK, risks, without_risk),
    ):
        nothing = {"shown": False, **_amount(None), "details": None}
        rows = put | {customer: {**_row(customer, envelope), **nothing} for customer in removed}
        agent_view.put_newer(
            kind,
            [(name, {**row, "version": envelope.id}) for name, row in rows.items() if name not in envelope.erased],
        )


def _scores(snapshot: scoring.ScoreSnapshot, event: scoring.ScoresUpdated, envelope: Envelope) -> dict[str, Any]:
    details = {
        **_strings(snapshot, "rfm_segment", "model", "decision"),
        "p_alive": snapshot.p_alive,
        "expected_purchases": snapshot.expected_purchases,
        "reasons": list(snapshot.reasons),
    }
    return {
        **_row(snapshot.customer, envelope, event.as_of),
        "shown": True,
        **_amount(snapshot.lifetime_value if snapshot.HasField("lifetime_value") else None),
        "details": details,
    }


def _churn_risk(risk: scoring.ChurnRiskState, event: scoring.ScoresUpdated, envelope: Envelope) -> dict[str, Any]:
    details = {
        **_strings(risk, "model", "decision"),
        "probability": risk.probability,
        "low": risk.low,
        "high": risk.high,
        "percentile": risk.percentile,
        "horizon_weeks": risk.horizon_weeks,
        "reasons": list(risk.reasons),
    }
    return {**_row(risk.customer, envelope, event.as_of), "shown": True, "details": details}


def show_segment(segment: str, customers: Iterable[scoring.ScoreSnapshot], *, member: bool, envelope: Envelope) -> None:
    """Keep whether customers are in a segment."""
    put = []
    for snapshot in customers:
        if snapshot.customer not in envelope.erased:
            values = {**_row(snapshot.customer, envelope), "shown": member, "version": envelope.id}
            put.append((f"{segment}/{snapshot.customer}", {**values, "details": {"segment": segment}}))
    agent_view.put_newer(Kind.SEGMENT, put)


def _put_or_forget(kind: Kind, name: str, customer: str, values: Mapping[str, Any]) -> None:
    if customer:
        agent_view.put(kind, name, values)
    else:
        agent_view.forget(kind, name)


def _row(customer: str, envelope: Envelope, when: Timestamp | None = None) -> dict[str, Any]:
    """What every row has; `when` it is listed by, else the event's time."""
    told = whole_milliseconds(envelope.time)
    return {"customer": _uid(customer), "time": _instant(when) if when else told, "told": told}


def _instant(stamp: Timestamp | None, envelope: Envelope | None = None) -> datetime:
    """The instant, the event's own for None."""
    if stamp is None:
        assert envelope
        return whole_milliseconds(envelope.time)
    return whole_milliseconds(stamp.ToDatetime(UTC))


def _amount(amount: Money | None) -> dict[str, Any]:
    if amount is None:
        return {"currency_code": None, "amount_minor": None}
    return {"currency_code": amount.currency_code, "amount_minor": money.to_minor(amount)}


def _strings(message: Any, *fields: str) -> dict[str, str]:
    return {field: getattr(message, field) for field in fields}


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
