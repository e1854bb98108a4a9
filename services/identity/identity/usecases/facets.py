"""What other services tell, kept for the agent view.

STATE events come here guarded by their sequence. FACT events about things that change carry something that orders
them: orders their revision, send times the instant of their change, scores, statements, segments and deals the id of
the event, which grows with time (UUIDv7).
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from rapport.campaigns.v1 import events_pb2 as campaigns
from rapport.consent.v1 import events_pb2 as consent
from rapport.identity.v1 import agent_view_pb2, present_scores_pb2
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
BEST_HOURS = 10
"""Hours of the week that are kept of the 168 that are told."""
_OF_THE_ROW = {"customer", "as_of", "lifetime_value"}


def _fields_of(shown: type[Message]) -> tuple[str, ...]:
    """The fields of a message of the view that are kept as details."""
    return tuple(field.name for field in shown.DESCRIPTOR.fields if field.name not in _OF_THE_ROW)


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


class _Likely(NamedTuple):
    """What ScoresUpdated tells of customers in one field, and in another of whom it is told no more.

    fields: of the message there that are shown as they are, by their names.
    """

    kind: Kind
    field: str
    removed: str
    fields: tuple[str, ...]


_LIKELY = (
    _Likely(Kind.SCORES, "scores", "removed_value_customers", _fields_of(agent_view_pb2.PresentScores)),
    _Likely(Kind.CHURN_RISK, "churn_risks", "removed_churn_customers", _fields_of(agent_view_pb2.PresentChurnRisk)),
    _Likely(Kind.CLUSTER, "clusters", "removed_cluster_customers", _fields_of(present_scores_pb2.PresentCluster)),
    _Likely(Kind.USAGE, "usages", "removed_usage_customers", _fields_of(present_scores_pb2.PresentUsage)),
    _Likely(Kind.RENEWAL, "renewals", "removed_renewal_customers", _fields_of(present_scores_pb2.PresentRenewal)),
    _Likely(
        Kind.RESPONSE,
        "responses",
        "removed_response_customers",
        _fields_of(present_scores_pb2.PresentResponsePropensity),
    ),
)


def show_scores(event: scoring.ScoresUpdated, envelope: Envelope) -> None:
    """Keep the newest of what jobs tell; what is removed leaves nothing but a mark of when."""
    for each in _LIKELY:
        told = {
            state.customer: {
                **_row(state.customer, envelope, event.as_of),
                **_worth(state),
                "details": {field: _copied(state, field) for field in each.fields},
            }
            for state in getattr(event, each.field)
        }
        # Who loses the scores loses all that is told with them.
        removed = (*event.removed_customers, *getattr(event, each.removed))
        _show_newest(each.kind, told, removed, envelope, envelope.id)


def show_send_times(event: scoring.SendTimesUpdated, envelope: Envelope) -> None:
    """Keep when customers are best reached, as was told last."""
    changed = _instant(event.change_time)
    told = {
        state.customer: {
            **_row(state.customer, envelope, event.change_time),
            "details": {
                **_strings(state, "time_zone", "model", "decision"),
                "hours_of_week": list(state.hours_of_week[:BEST_HOURS]),
                "fallback": state.fallback,
            },
        }
        for state in event.send_times
    }
    _show_newest(Kind.SEND_TIME, told, event.removed_customers, envelope, changed)


def _show_newest(
    kind: Kind, told: Mapping[str, dict[str, Any]], removed: Iterable[str], envelope: Envelope, version: Any
) -> None:
    """Keep what is told, and of whom nothing is any more, each unless something newer is kept."""
    nothing = {"shown": False, **_amount(None), "details": None}
    rows = {name: {**row, "shown": True} for name, row in told.items()}
    rows |= {name: {**_row(name, envelope), **nothing} for name in removed}
    put = [(name, {**row, "version": version}) for name, row in rows.items() if name not in envelope.erased]
    agent_view.put_newer(kind, put)


def _worth(state: Message) -> dict[str, Any]:
    """The amount of scores; nothing else has one."""
    if not isinstance(state, scoring.ScoreSnapshot):
        return {}
    return _amount(state.lifetime_value if state.HasField("lifetime_value") else None)


def _copied(state: Message, name: str) -> Any:
    """A field as it is kept, None where it is not set."""
    field, value = state.DESCRIPTOR.fields_by_name[name], getattr(state, name)
    if field.is_repeated:
        return list(value)
    if field.has_presence and not state.HasField(name):
        return None
    return _instant(value) if isinstance(value, Timestamp) else value


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
