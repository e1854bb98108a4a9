"""What other services tell identity, and how it hears it: as the worker does, without the broker."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from google.protobuf.message import Message
from google.type.money_pb2 import Money
from rapport.campaigns.v1 import events_pb2 as campaigns
from rapport.consent.v1 import events_pb2 as consent
from rapport.consent.v1 import purpose_pb2
from rapport.sales.v1 import events_pb2 as sales
from rapport.scoring.v1 import events_pb2 as scoring
from rapport.scoring.v1.customer_renewal_pb2 import CustomerRenewalState
from rapport.scoring.v1.response_propensity_pb2 import ResponsePropensityState
from rapport.ticketing.v1 import events_pb2 as ticketing
from rapport.ticketing.v1 import ticket_pb2

from chassis import clock
from eventing.delivery import Delivery
from eventing.envelope import Envelope
from eventing.verdicts import DONE
from identity.handlers import Handlers
from testkit import eventually
from testkit.telling import delivered, enveloped

EUR = {"currency_code": "EUR"}
LABELS = ticket_pb2.Sentiment
AUTHORS = ticket_pb2.TicketMessage
TICKET = ticket_pb2.Ticket


@dataclass(frozen=True)
class Told:
    """An event of another service."""

    message: Message
    service: str
    subject: str
    version: int = 1
    minute: int = 0


class Teller:
    """Tells identity what other services would, as the worker does, without the broker."""

    def __init__(self, tenant: str, now: datetime) -> None:
        self.tenant, self.now = tenant, now
        self._delivery = Delivery("identity", Handlers)

    def envelope(self, told: Told) -> Envelope:
        return enveloped(
            told.message,
            self.tenant,
            subject=told.subject,
            sequence=told.version,
            time=self.now - timedelta(days=1) + timedelta(minutes=told.minute),
        )

    def hear(self, *events: Told | Envelope) -> None:
        for each in events:
            envelope = each if isinstance(each, Envelope) else self.envelope(each)
            # While the database is in trouble a message is held: the worker tries it again.
            outcome = eventually(lambda envelope=envelope: delivered(self._delivery, envelope))
            assert outcome == DONE, envelope.type


def ago(**spans):
    """An instant of the business clock."""
    return clock.now() - timedelta(**spans)


def order(customer, number, *, revision=1, euros=10, refunded=0, days=1, tracked=False, kind=sales.OrdersPlaced):
    state = sales.OrderState(
        order=f"orders/{number}",
        customer=customer,
        source="api",
        order_number=f"N{number}",
        amount=Money(units=euros, **EUR),
        refunded_amount=Money(units=refunded, **EUR),
        order_time=ago(days=days),
        revision=revision,
        tracked=tracked,
    )
    return Told(kind(orders=[state]), "sales", f"orderBatches/{number}-{revision}")


def promise(customer, name, version=1, *, state="STATE_OPEN", due=1, kind=sales.PromiseMade):
    about = sales.PromiseState(
        promise=f"promises/{name}",
        customer=customer,
        text=f"Call about {name}",
        due_time=clock.now() + timedelta(days=due),
        owner="principals/anna",
        state=state,
        create_time=ago(days=3),
    )
    return Told(kind(promise=about), "sales", about.promise, version, version)


def ticket(
    customer,
    name,
    version=1,
    *,
    state=TICKET.STATE_NEW,
    about=TICKET.KIND_QUESTION,
    kind=None,
    days=2,
    label=LABELS.LABEL_NEGATIVE,
):
    resolved = state == TICKET.STATE_RESOLVED
    told = ticketing.TicketState(
        ticket=f"tickets/{name}",
        customer=customer,
        subject=f"About {name}",
        state=state,
        priority=TICKET.PRIORITY_HIGH,
        kind=about,
        channel=TICKET.CHANNEL_PHONE,
        agent="agents/a",
        sentiment={"label": label, "score": -0.5},
        create_time=ago(days=days),
        resolve_time=ago(hours=1) if resolved else None,
    )
    kind = kind or (ticketing.TicketOpened if version == 1 else ticketing.TicketUpdated)
    return Told(kind(ticket=told), "ticketing", told.ticket, version, version)


def posted(
    customer,
    name,
    label,
    score,
    *,
    days=1,
    author=AUTHORS.AUTHOR_CUSTOMER,
    channel=TICKET.CHANNEL_PHONE,
    kind=ticketing.TicketMessagePosted,
):
    message = kind(
        ticket_message=f"tickets/t/messages/{name}",
        ticket="tickets/t",
        customer=customer,
        author=author,
        channel=channel,
        sentiment={"label": label, "score": score, "reasons": ["terrible"]},
        post_time=ago(days=days),
    )
    return Told(message, "ticketing", "tickets/t")


def consented(customer, name, state, version=1, *, days=1, purpose="news", answered=()):
    kinds = {"STATE_GRANTED": consent.ConsentGranted, "STATE_PENDING": consent.ConsentPending}
    told = consent.ConsentState(
        consent=f"consents/{name}",
        customer=customer,
        purpose=f"purposes/{purpose}",
        channel=purpose_pb2.CHANNEL_EMAIL,
        state=state,
        notice_version=version,
        consent_record=f"consentRecords/{name}-{version}",
        decide_time=None if state == "STATE_PENDING" else ago(days=days),
        answered_records=answered,
    )
    return Told(kinds.get(state, consent.ConsentWithdrawn)(consent=told), "consent", told.consent, version, version)


def scored(customer, p_alive, *, minute=0, removed=(), alone=False):
    snapshots = [
        scoring.ScoreSnapshot(
            customer=customer,
            p_alive=p_alive,
            expected_purchases=2.5,
            lifetime_value=Money(units=80, **EUR),
            rfm_segment="Champions",
            reasons=["Bought often"],
            model="models/m",
            decision="decisions/d",
        )
    ]
    event = scoring.ScoresUpdated(
        as_of=ago(days=1), scores=[] if removed else snapshots, removed_customers=[customer] if removed else []
    )
    if alone:
        event = scoring.ScoresUpdated(removed_value_customers=removed)
    return Told(event, "scoring", "scoreChanges/c", 1, minute)


def leaving(customer, probability, *, minute=0, removed=()):
    """A risk of leaving, or that those who are removed have none any more."""
    risk = scoring.ChurnRiskState(
        customer=customer,
        probability=probability,
        low=probability - 0.1,
        high=probability + 0.1,
        percentile=90,
        horizon_weeks=13,
        reasons=["Bought long ago"],
        model="models/c",
        decision="decisions/d",
    )
    event = scoring.ScoresUpdated(
        as_of=ago(days=2), churn_risks=[] if removed else [risk], removed_churn_customers=removed
    )
    return Told(event, "scoring", "scoreChanges/r", 1, minute)


PARTS = {
    "clusters": (
        scoring.CustomerClusterState,
        "removed_cluster_customers",
        {"display_name": "buy often, spend much", "reasons": ["far above usual in number of purchases"]},
    ),
    "usages": (
        scoring.CustomerUsageState,
        "removed_usage_customers",
        {"state": "STATE_DROP", "used_count": 1, "expected_count": 9.5, "low_count": 6, "reasons": ["Used 1, not 9.5"]},
    ),
    "renewals": (
        CustomerRenewalState,
        "removed_renewal_customers",
        {"probability": 0.7, "probability_low": 0.6, "probability_high": 0.8, "renewal_count": 5, "reasons": ["Five"]},
    ),
    "responses": (
        ResponsePropensityState,
        "removed_response_customers",
        {"probability": 0.2, "low": 0.1, "high": 0.3, "percentile": 80, "horizon_days": 14, "reasons": ["Clicked"]},
    ),
}
"""What else scoring tells: by its field of ScoresUpdated its message, where it is told no more, and of what."""


def likely(customer, part, *, minute=0, removed=(), **values):
    """What a job told of a customer, or that those who are removed have that no more."""
    state, gone, told = PARTS[part]
    if removed:
        return Told(scoring.ScoresUpdated(**{gone: removed}), "scoring", "scoreChanges/p", 1, minute)
    whole = state(customer=customer, model="models/p", decision="decisions/d", **(told | values))
    return Told(scoring.ScoresUpdated(as_of=ago(days=3), **{part: [whole]}), "scoring", "scoreChanges/p", 1, minute)


def reached(customer, hours=(26, 27, 0), *, minute=0, removed=()):
    """When somebody is best reached, as of a minute."""
    event = scoring.SendTimesUpdated(removed_customers=removed, change_time=ago(days=1) + timedelta(minutes=minute))
    if not removed:
        ranking = [*hours, *(hour for hour in range(168) if hour not in hours)]
        named = {"time_zone": "Europe/Berlin", "model": "models/s", "decision": "decisions/d"}
        event.send_times.add(customer=customer, hours_of_week=ranking, **named)
    return Told(event, "scoring", "scoreChanges/s", 1, minute)


def mailed(customer, name, kind=campaigns.MessageSent, *, days=1):
    about = {"message": f"messages/{name}", "customer": customer, "journey": "journeys/j", "purpose": "purposes/news"}
    stamps = {campaigns.MessageSent: "send_time", campaigns.MessageOpened: "open_time"}
    stamp = {stamps.get(kind, "click_time"): ago(days=days)}
    extra = {"decision": "decisions/d"} if kind is campaigns.MessageSent else {}
    return Told(kind(message=about, **stamp, **extra), "campaigns", about["message"])


def deal(customer, name, kind=sales.OpportunityWon):
    about = {"opportunity": f"opportunities/{name}", "customer": customer, "amount": {"units": 500, **EUR}}
    return Told(kind(opportunity=about), "sales", about["opportunity"])
