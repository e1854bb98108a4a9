"""The rows of the agent view as the message callers see."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.type.money_pb2 import Money
from rapport.consent.v1 import consent_pb2, purpose_pb2
from rapport.identity.v1 import agent_view_pb2, present_scores_pb2
from rapport.ticketing.v1 import ticket_pb2

from chassis import money
from docstore.connection import Row
from identity.domain import agent_view as rules
from identity.domain.agent_view import SCALE, Agreement, Mean, Statement, Use
from identity.store import Customer
from identity.store.agent_view import CLICKED, LIKELY, LOST, WON, Kind

_SOURCES = {
    "services/campaigns": {Kind.MESSAGE},
    "services/consent": {Kind.CONSENT},
    "services/sales": {Kind.ORDER, Kind.PROMISE, Kind.DEAL},
    "services/scoring": {*LIKELY, Kind.SEGMENT},
    "services/ticketing": {Kind.TICKET, Kind.STATEMENT},
}
P = TypeVar("P", bound=Message)
_OF_THE_ROW = ("customer", "as_of")
_RESOLVED = ticket_pb2.Ticket.STATE_RESOLVED
_COMPLAINT = ticket_pb2.Ticket.KIND_COMPLAINT


def agent_view(
    canonical: str, totals: Sequence[Row], rows: Mapping[Kind, Sequence[Row]], now: datetime
) -> agent_view_pb2.AgentView:
    """What `store.agent_view.of_customers` found of a profile; customer and timeline are left to the caller."""
    of_kind: dict[str, list[Row]] = defaultdict(list)
    for total in totals:
        of_kind[total["_id"]["kind"]].append(total)
    consents = _standing(rows[Kind.CONSENT])
    return agent_view_pb2.AgentView(
        purchases=_purchases(of_kind[Kind.ORDER], rows[Kind.ORDER]),
        tickets=_tickets(of_kind[Kind.TICKET], rows[Kind.TICKET]),
        sentiment=_sentiment(of_kind[Kind.STATEMENT], rows[Kind.STATEMENT]),
        messages=map(_sent_message, rows[Kind.MESSAGE]),
        consents=map(_consent, consents),
        scores=_scores(canonical, rows[Kind.SCORES]),
        churn_risk=_present(agent_view_pb2.PresentChurnRisk, canonical, rows[Kind.CHURN_RISK]),
        cluster=_present(present_scores_pb2.PresentCluster, canonical, rows[Kind.CLUSTER]),
        usage=_present(present_scores_pb2.PresentUsage, canonical, rows[Kind.USAGE]),
        renewal=_present(present_scores_pb2.PresentRenewal, canonical, rows[Kind.RENEWAL]),
        response=_present(present_scores_pb2.PresentResponsePropensity, canonical, rows[Kind.RESPONSE]),
        send_time=_send_time(canonical, rows[Kind.SEND_TIME]),
        segments=sorted({row["details"]["segment"] for row in rows[Kind.SEGMENT]}),
        promises=map(_promise, *_with_overdue(rows[Kind.PROMISE], now)),
        deals=_deals(of_kind[Kind.DEAL]),
        preferred_channel=_preferred_channel(of_kind, consents),
        sources=[
            agent_view_pb2.SourceFreshness(
                source=source, as_of=max((total["told"] for kind in kinds for total in of_kind[kind]), default=None)
            )
            for source, kinds in _SOURCES.items()
        ],
    )


def _purchases(totals: Sequence[Row], rows: Iterable[Row]) -> agent_view_pb2.Purchases:
    revenue, refunds = Counter[str](), Counter[str]()
    for total in totals:
        currency = total["_id"].get("currency_code")
        if currency:
            revenue[currency] += total["amount"]
            refunds[currency] += total["refunded"]
    return agent_view_pb2.Purchases(
        order_count=sum(total["count"] for total in totals),
        revenue=_amounts(revenue),
        refunds=_amounts(+refunds),
        first_order_time=min((total["first"] for total in totals), default=None),
        last_order_time=max((total["last"] for total in totals), default=None),
        recent_orders=map(_order, rows),
    )


def _order(row: Row) -> agent_view_pb2.PlacedOrder:
    return agent_view_pb2.PlacedOrder(
        **_details(row, "order", "source", "order_number"),
        amount=_amount(row, "amount_minor"),
        refunded_amount=_amount(row, "refunded_minor") if row["refunded_minor"] else None,
        order_time=row["time"],
    )


def _tickets(totals: Iterable[Row], rows: Iterable[Row]) -> agent_view_pb2.Tickets:
    counts = Counter[int]()
    complaint = False
    for total in totals:
        if total["_id"]["state"] != _RESOLVED:
            counts[total["_id"]["state"]] += total["count"]
            complaint |= total["_id"]["category"] == _COMPLAINT
    return agent_view_pb2.Tickets(
        open_count=counts.total(),
        open_counts=[agent_view_pb2.StateCount(state=state, count=count) for state, count in sorted(counts.items())],  # type: ignore[arg-type]
        complaint_open=complaint,
        recent_tickets=[
            agent_view_pb2.RecentTicket(
                **_details(row, "ticket", "subject", "agent", "priority", "channel", "sentiment", "resolve_time"),
                state=row["state"],
                kind=row["category"],
                create_time=row["time"],
            )
            for row in rows
        ],
    )


def _sentiment(totals: Iterable[Row], rows: Sequence[Row]) -> agent_view_pb2.SentimentTrend:
    sums, counts = Counter[bool](), Counter[bool]()
    for total in totals:
        sums[total["_id"]["recent"]] += total["score"]
        counts[total["_id"]["recent"]] += total["scored"]
    recent, earlier = Mean(sums[True], counts[True]), Mean(sums[False], counts[False])
    return agent_view_pb2.SentimentTrend(
        label=rows[0]["state"] if rows else None,
        score=_score(rows[0]) if rows else None,
        direction=rules.direction(recent, earlier),
        recent_score=recent.value(),
        recent_count=recent.count,
        earlier_score=earlier.value(),
        earlier_count=earlier.count,
        sources=[
            agent_view_pb2.SentimentSource(
                **_details(row, "ticket_message"),
                label=row["state"],
                score=_score(row),
                channel=row["category"],
                post_time=row["time"],
            )
            for row in rows
        ],
    )


def _score(row: Row) -> float:
    return (row["score"] or 0) / SCALE


def _sent_message(row: Row) -> agent_view_pb2.SentMessage:
    named = _details(row, *("message", "journey", "step", "template", "purpose", "decision", "open_time", "click_time"))
    return agent_view_pb2.SentMessage(**named, send_time=row["time"])


def _standing(rows: Iterable[Row]) -> list[Row]:
    """Of each purpose and channel the statement that counts, in their order."""
    said: dict[tuple[str, int], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        details = row["details"]
        said[details["purpose"], details["channel"]][details["consent"]] = row
    standing = []
    for _, of_members in sorted(said.items()):
        statements = {consent: _statement(row) for consent, row in of_members.items()}
        standing.append(of_members[rules.standing(statements)])
    return standing


def _statement(row: Row) -> Statement:
    details = row["details"]
    answers = frozenset(details["answered_records"])
    return Statement(_consent_state(row["state"]), details["consent_record"], answers, _decide_time(row))


def _decide_time(row: Row) -> datetime | None:
    return row["time"] if row["details"]["decided"] else None


def _consent_state(number: int) -> str:
    found = consent_pb2.Consent.State.DESCRIPTOR.values_by_number.get(number)
    return found.name if found else ""


def _consent(row: Row) -> agent_view_pb2.StandingConsent:
    return agent_view_pb2.StandingConsent(
        **_details(row, "consent", "purpose", "channel", "notice_version", "consent_record"),
        customer=Customer.described(row["customer"]),
        state=row["state"],
        decide_time=_decide_time(row),
    )


def _scores(canonical: str, rows: Sequence[Row]) -> agent_view_pb2.PresentScores | None:
    row = _of_profile(canonical, rows)
    if row is None:
        return None
    return agent_view_pb2.PresentScores(
        **_details(row, "p_alive", "expected_purchases", "rfm_segment", "reasons", "model", "decision"),
        customer=Customer.described(row["customer"]),
        lifetime_value=_amount(row, "amount_minor"),
        as_of=row["time"],
    )


def _present(told: type[P], canonical: str, rows: Sequence[Row]) -> P | None:
    """What a job told, whose row keeps the fields of the message by their names."""
    row = _of_profile(canonical, rows)
    if row is None:
        return None
    kept = (field.name for field in told.DESCRIPTOR.fields if field.name not in _OF_THE_ROW)
    return told(**_details(row, *kept), customer=Customer.described(row["customer"]), as_of=row["time"])


def _send_time(canonical: str, rows: Sequence[Row]) -> present_scores_pb2.PresentSendTime | None:
    row = _of_profile(canonical, rows)
    if row is None:
        return None
    days = [divmod(hour, 24) for hour in row["details"]["hours_of_week"]]
    return present_scores_pb2.PresentSendTime(
        **_details(row, "time_zone", "fallback", "model", "decision"),
        customer=Customer.described(row["customer"]),
        # DayOfWeek begins with Monday, too, at 1.
        best_hours=[present_scores_pb2.HourOfWeek(day_of_week=day + 1, hour=hour) for day, hour in days],
        change_time=row["time"],
    )


def _of_profile(canonical: str, rows: Sequence[Row]) -> Row | None:
    """What was told of the customer that stands for the profile; of a profile just merged the newest there is."""
    return max(rows, key=lambda row: (row["customer"] == canonical, row["version"]), default=None)


def _with_overdue(rows: Sequence[Row], now: datetime) -> tuple[list[Row], list[bool]]:
    """Promises, those due first before the others, and whether each is overdue."""
    ordered = sorted(rows, key=lambda row: (row["time"] is None, row["time"] or now, row["uid"]))
    return ordered, [row["time"] is not None and row["time"] < now for row in ordered]


def _promise(row: Row, overdue: bool) -> agent_view_pb2.OpenPromise:
    named = _details(row, "promise", "text", "owner", "create_time")
    return agent_view_pb2.OpenPromise(**named, due_time=row["time"], overdue=overdue)


def _deals(totals: Iterable[Row]) -> agent_view_pb2.Deals:
    counts, amounts = Counter[int](), Counter[str]()
    for total in totals:
        ended, currency = total["_id"]["state"], total["_id"].get("currency_code")
        counts[ended] += total["count"]
        if ended == WON and currency:
            amounts[currency] += total["amount"]
    return agent_view_pb2.Deals(won_count=counts[WON], lost_count=counts[LOST], won_amounts=_amounts(amounts))


def _preferred_channel(of_kind: Mapping[str, Sequence[Row]], consents: Iterable[Row]) -> Any:
    uses = [
        Use(name, total["count"], total["last"])
        for total in of_kind[Kind.STATEMENT]
        if total["_id"]["recent"] and (name := _channel(ticket_pb2.Ticket.Channel, total["_id"]["category"]))
    ]
    uses += [
        Use("CHANNEL_EMAIL", total["count"], total["last"])
        for total in of_kind[Kind.MESSAGE]
        if total["_id"]["recent"] and total["_id"]["state"] == CLICKED
    ]
    agreements = [
        Agreement(name, row["details"]["purpose"], row["time"])
        for row in consents
        if row["state"] == consent_pb2.Consent.STATE_GRANTED
        and (name := _channel(purpose_pb2.Channel, row["details"]["channel"]))
    ]
    channel, reason = rules.preferred_channel(uses, agreements)
    return agent_view_pb2.PreferredChannel(channel=channel or None, reason=reason)


def _channel(enum: Any, number: int) -> str:
    """The view's name of another contract's channel; empty for what is no way to reach a person."""
    found = enum.DESCRIPTOR.values_by_number.get(number)
    known = agent_view_pb2.PreferredChannel.Channel.DESCRIPTOR.values_by_name
    return found.name if number and found and found.name in known else ""


def _amounts(minor: Mapping[str, int]) -> list[Money]:
    return [money.from_minor(amount, currency) for currency, amount in sorted(minor.items())]


def _amount(row: Row, field: str) -> Money | None:
    currency = row.get("currency_code")
    return money.from_minor(row[field], currency) if currency else None


def _details(row: Row, *fields: str) -> dict[str, Any]:
    """Those details of a row; fields that a later release added stay away."""
    return {field: row["details"].get(field) for field in fields}
