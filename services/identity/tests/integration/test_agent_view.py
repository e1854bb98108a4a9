"""The agent view: what services tell, in any order and however often, in one bounded read."""

import json
import re
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import grpc
import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import monitoring
from rapport.campaigns.v1 import events_pb2 as campaigns
from rapport.consent.v1 import consent_pb2, purpose_pb2
from rapport.consent.v1 import events_pb2 as consent
from rapport.identity.v1 import agent_view_pb2
from rapport.options.v1 import options_pb2
from rapport.sales.v1 import events_pb2 as sales
from rapport.scoring.v1 import events_pb2 as scoring
from rapport.ticketing.v1 import events_pb2 as ticketing
from rapport.ticketing.v1 import ticket_pb2

import docstore
from chassis import clock, consistency, ids
from chassis.consistency import Written
from contracts import descriptors
from docstore.listener import TenantGuard
from eventing.delivery import DONE, Delivery, InfrastructureTrouble, Outcome
from eventing.envelope import Envelope
from eventing.records import HandledEvent, StateGuard
from identity.handlers import Handlers
from identity.store import Facet, TimelineEntry
from identity.store.agent_view import pipelines
from identity.usecases.agent_view import view_customer
from testkit import eventually

from .conftest import identify, track

SERVICE = "identity"

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
        self._delivery = Delivery(SERVICE, Handlers)

    def envelope(self, told: Told) -> Envelope:
        return Envelope(
            id=ids.uuid7(),
            type=told.message.DESCRIPTOR.full_name,
            source=f"//rapport/{told.service}",
            subject=told.subject,
            tenant=self.tenant,
            time=self.now - timedelta(days=1) + timedelta(minutes=told.minute),
            sequence=(told.version, 0),
            body=told.message.SerializeToString(),
        )

    def hear(self, *events: Told | Envelope) -> None:
        for each in events:
            envelope = each if isinstance(each, Envelope) else self.envelope(each)
            assert eventually(lambda envelope=envelope: self._outcome(envelope)) == DONE, envelope.type

    def _outcome(self, envelope: Envelope) -> Outcome | None:
        """None while the database is in trouble: the worker holds such a message, and tries it again."""
        properties = envelope.to_properties()
        try:
            return self._delivery.process(properties["headers"], properties, envelope.body)
        except InfrastructureTrouble:
            return None


@pytest.fixture
def teller(client):
    return Teller(client.tenant, clock.now())


def ago(**spans):
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


def ticket(customer, name, version=1, *, state=TICKET.STATE_NEW, about=TICKET.KIND_QUESTION, kind=None, days=2):
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
        sentiment={"label": LABELS.LABEL_NEGATIVE, "score": -0.5},
        create_time=ago(days=days),
        resolve_time=ago(hours=1) if resolved else None,
    )
    kind = kind or (ticketing.TicketOpened if version == 1 else ticketing.TicketUpdated)
    return Told(kind(ticket=told), "ticketing", told.ticket, version, version)


def posted(customer, name, label, score, *, days=1, author=AUTHORS.AUTHOR_CUSTOMER, channel=TICKET.CHANNEL_PHONE):
    message = ticketing.TicketMessagePosted(
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


def scored(customer, p_alive, *, minute=0, removed=()):
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
    return Told(event, "scoring", "scoreChanges/c", 1, minute)


def mailed(customer, name, kind=campaigns.MessageSent, *, days=1):
    about = {"message": f"messages/{name}", "customer": customer, "journey": "journeys/j", "purpose": "purposes/news"}
    stamps = {campaigns.MessageSent: "send_time", campaigns.MessageOpened: "open_time"}
    stamp = {stamps.get(kind, "click_time"): ago(days=days)}
    extra = {"decision": "decisions/d"} if kind is campaigns.MessageSent else {}
    return Told(kind(message=about, **stamp, **extra), "campaigns", about["message"])


def deal(customer, name, kind=sales.OpportunityWon):
    about = {"opportunity": f"opportunities/{name}", "customer": customer, "amount": {"units": 500, **EUR}}
    return Told(kind(opportunity=about), "sales", about["opportunity"])


def view(client, name):
    return client.ViewCustomer(name=name)


def test_one_read_shows_everything(client, teller):
    customer = client.create(display_name="Ada Lovelace", email="ada@example.com").name
    teller.hear(
        order(customer, 1, euros=10, days=5),
        order(customer, 2, euros=20, days=3),
        order(customer, 2, euros=20, refunded=5, revision=2, days=3, kind=sales.OrdersRefunded),
        ticket(customer, "a", about=TICKET.KIND_COMPLAINT),
        ticket(customer, "b", days=9),
        ticket(customer, "b", 2, state=TICKET.STATE_RESOLVED, kind=ticketing.TicketResolved, days=9),
        posted(customer, "1", LABELS.LABEL_POSITIVE, 0.8, days=200),
        posted(customer, "2", LABELS.LABEL_NEGATIVE, -0.6, days=2),
        posted(customer, "3", LABELS.LABEL_UNCERTAIN, 0, days=1),
        posted(customer, "4", LABELS.LABEL_POSITIVE, 1, author=AUTHORS.AUTHOR_AGENT),
        mailed(customer, "m"),
        mailed(customer, "m", campaigns.MessageOpened, days=0),
        consented(customer, "c", "STATE_GRANTED"),
        scored(customer, 0.9),
        Told(
            scoring.SegmentEntered(segment="segments/best", customers=[{"customer": customer}]), "scoring", "changes/1"
        ),
        promise(customer, "later", due=2),
        promise(customer, "late", due=-2),
        promise(customer, "kept", 2, state="STATE_KEPT", kind=sales.PromiseUpdated),
        deal(customer, "won"),
        deal(customer, "lost", sales.OpportunityLost),
    )
    seen = view(client, customer)
    assert (seen.customer.name, seen.customer.display_name) == (customer, "Ada Lovelace")
    assert seen.customer == client.GetCustomer(name=customer)

    bought = seen.purchases
    assert (bought.order_count, list(bought.revenue), list(bought.refunds)) == (
        2,
        [Money(units=30, **EUR)],
        [Money(units=5, **EUR)],
    )
    assert [(one.order, one.refunded_amount.units) for one in bought.recent_orders] == [
        ("orders/2", 5),
        ("orders/1", 0),
    ]
    assert bought.first_order_time == bought.recent_orders[1].order_time
    assert bought.last_order_time == bought.recent_orders[0].order_time

    asked = seen.tickets
    assert (asked.open_count, asked.complaint_open) == (1, True)
    assert [(one.state, one.count) for one in asked.open_counts] == [(TICKET.STATE_NEW, 1)]
    assert [(one.ticket, one.subject, one.state) for one in asked.recent_tickets] == [
        ("tickets/a", "About a", TICKET.STATE_NEW),
        ("tickets/b", "About b", TICKET.STATE_RESOLVED),
    ]
    assert asked.recent_tickets[1].HasField("resolve_time")
    assert not asked.recent_tickets[0].HasField("resolve_time")
    assert asked.recent_tickets[0].priority == TICKET.PRIORITY_HIGH

    mood = seen.sentiment
    assert (mood.label, mood.score) == (LABELS.LABEL_UNCERTAIN, 0)
    assert mood.direction == agent_view_pb2.SentimentTrend.DIRECTION_WORSENING
    assert (mood.recent_score, mood.recent_count, mood.earlier_score, mood.earlier_count) == (-0.6, 1, 0.8, 1)
    assert [source.ticket_message[-1] for source in mood.sources] == ["3", "2", "1"]

    (message,) = seen.messages
    assert (message.message, message.decision, message.HasField("open_time")) == ("messages/m", "decisions/d", True)
    assert not message.HasField("click_time")

    (stands,) = seen.consents
    assert (stands.purpose, stands.state, stands.consent_record) == (
        "purposes/news",
        consent_pb2.Consent.STATE_GRANTED,
        "consentRecords/c-1",
    )
    assert (seen.scores.p_alive, seen.scores.lifetime_value.units, list(seen.scores.reasons)) == (
        0.9,
        80,
        ["Bought often"],
    )
    assert list(seen.segments) == ["segments/best"]
    assert [(one.text, one.overdue) for one in seen.promises] == [
        ("Call about late", True),
        ("Call about later", False),
    ]
    assert (seen.deals.won_count, seen.deals.lost_count, seen.deals.won_amounts[0].units) == (1, 1, 500)
    assert seen.preferred_channel.channel == agent_view_pb2.PreferredChannel.CHANNEL_PHONE
    assert "2 messages" in seen.preferred_channel.reason
    assert list(seen.timeline_entries) == list(client.ListTimelineEntries(parent=customer).timeline_entries)
    assert len(seen.timeline_entries) == 17
    assert [source.source.rpartition("/")[2] for source in seen.sources] == [
        "campaigns",
        "consent",
        "sales",
        "scoring",
        "ticketing",
    ]
    assert all(source.HasField("as_of") for source in seen.sources)


def test_of_a_stranger_everything_is_empty_and_nothing_is_guessed(client):
    seen = view(client, client.create().name)
    assert (seen.purchases, seen.tickets) == (agent_view_pb2.Purchases(), agent_view_pb2.Tickets())
    assert not seen.HasField("scores")
    assert seen.preferred_channel.channel == agent_view_pb2.PreferredChannel.CHANNEL_UNSPECIFIED
    assert seen.preferred_channel.reason.startswith("Not known")
    assert not any(source.HasField("as_of") for source in seen.sources)
    assert client.refused("ViewCustomer", name="customers/none").code == "NOT_FOUND"


def test_another_tenant_sees_nothing_and_the_permission_is_its_own(client, client_of, teller):
    customer = client.create().name
    teller.hear(order(customer, 1), promise(customer, "p"))
    assert client_of().refused("ViewCustomer", name=customer).code == "NOT_FOUND"
    reader = client_of(client.tenant, {"identity.customers.get"})
    assert reader.refused("ViewCustomer", name=customer).code == "PERMISSION_DENIED"
    assert view(client_of(client.tenant, {"identity.customers.view"}), customer).purchases.order_count == 1


def test_lists_end_at_their_limits_and_totals_do_not(client, teller):
    customer = client.create().name
    teller.hear(
        *(order(customer, n, days=40 - n) for n in range(12)),
        *(ticket(customer, f"{n:02}", days=40 - n) for n in range(12)),
        *(promise(customer, f"{n:02}", due=n - 3) for n in range(22)),
    )
    seen = view(client, customer)
    assert [one.order for one in seen.purchases.recent_orders] == [f"orders/{n}" for n in range(11, 1, -1)]
    assert seen.purchases.order_count == 12
    assert [one.ticket for one in seen.tickets.recent_tickets] == [f"tickets/{n:02}" for n in range(11, 1, -1)]
    assert seen.tickets.open_count == 12
    assert [one.promise for one in seen.promises] == [f"promises/{n:02}" for n in range(20)]
    # The fourth was due just now.
    assert [one.overdue for one in seen.promises] == [True] * 4 + [False] * 16
    assert len(seen.timeline_entries) == 20


def test_a_ticket_that_moves_to_another_customer_leaves_the_first(client, teller):
    one, other = client.create().name, client.create().name
    teller.hear(ticket(one, "t"), ticket(other, "t", 2))
    assert view(client, one).tickets.open_count == 0
    assert view(client, other).tickets.open_count == 1
    teller.hear(ticket("", "t", 3))
    assert view(client, other).tickets.open_count == 0


def test_what_sources_tracked_is_told_once_and_summaries_stay(client, applier, teller):
    client.apply(track("m1", "u1", properties={"revenue": 5, "currency": "EUR"}))
    customer = client.lookup("KIND_USER_ID", "u1", "shop").name
    before = client.SummarizeTimeline(event="Order Completed")
    teller.hear(
        order(customer, 1, tracked=True),
        order(customer, 2),
        order(customer, 2, revision=2, refunded=3, kind=sales.OrdersRefunded),
    )
    assert client.SummarizeTimeline(event="Order Completed") == before
    entries = client.ListTimelineEntries(parent=customer).timeline_entries
    assert sorted((entry.event.rpartition(".")[2], entry.amount.units) for entry in entries) == [
        ("Order Completed", 5),
        ("OrdersPlaced", 10),
        ("OrdersRefunded", 3),
    ]


def test_every_kind_of_event_shows_in_the_timeline_once_and_without_what_was_said(client, teller):
    customer = client.create().name
    clock_of = {"ticket": "tickets/a", "customer": customer, "target": "TARGET_RESOLUTION", "due_time": ago(hours=2)}
    lead = sales.LeadConverted(lead={"lead": "leads/l", "customer": customer}, opportunity="opportunities/o")
    events = [
        ticket(customer, "a"),
        ticket(customer, "a", 2, state=TICKET.STATE_RESOLVED, kind=ticketing.TicketResolved),
        posted(customer, "1", LABELS.LABEL_NEGATIVE, -1),
        Told(ticketing.SlaBreached(clock=clock_of), "ticketing", "tickets/a", 3),
        deal(customer, "w"),
        deal(customer, "l", sales.OpportunityLost),
        promise(customer, "p"),
        promise(customer, "p", 2, state="STATE_OVERDUE", due=-1, kind=sales.PromiseOverdue),
        Told(lead, "sales", "leads/l", 2),
    ]
    envelopes = [teller.envelope(event) for event in events]
    teller.hear(*envelopes, *reversed(envelopes))
    found = client.ListTimelineEntries(parent=customer).timeline_entries
    assert sorted(entry.event.rpartition(".")[2] for entry in found) == sorted(
        envelope.type.rpartition(".")[2] for envelope in envelopes
    )
    assert "terrible" not in str(found)
    assert "Call about" not in str(found)


def test_scores_that_were_removed_stay_removed_whatever_comes_late(client, teller):
    customer = client.create().name
    old = teller.envelope(scored(customer, 0.2))
    removal = teller.envelope(scored(customer, 0, removed=[customer], minute=1))
    teller.hear(removal, old)
    assert not view(client, customer).HasField("scores")
    teller.hear(scored(customer, 0.7, minute=2))
    assert view(client, customer).scores.p_alive == 0.7


def token_for(client, envelopes):
    """What the mutations that wrote these events answered with."""
    with client.context():
        return consistency.token_of(Written(each.id, each.type, each.subject, *each.sequence) for each in envelopes)


def test_who_wrote_elsewhere_sees_it_here_or_is_told_that_it_is_not_here_yet(client, teller):
    customer = client.create().name
    late = [teller.envelope(event) for event in (promise(customer, "p"), order(customer, 1), ticket(customer, "t"))]
    token = token_for(client, late)
    stale, told = client.told_beside("ViewCustomer", token, name=customer)
    assert (len(stale.promises), told.get("x-stale")) == (0, "true")
    later = threading.Timer(0.1, teller.hear, late)
    later.start()
    seen, told = client.told_beside("ViewCustomer", token, name=customer)
    later.join()
    assert (len(seen.promises), seen.purchases.order_count, seen.tickets.open_count) == (1, 1, 1)
    assert "x-stale" not in told
    listed, told = client.told_beside("ListTimelineEntries", token, parent=customer)
    assert (len(listed.timeline_entries), "x-stale" in told) == (3, False)
    # What has come to a later version, or is not heard here at all, is not waited for.
    teller.hear(promise(customer, "p", 3, kind=sales.PromiseUpdated))
    between = teller.envelope(promise(customer, "p", 2, kind=sales.PromiseUpdated))
    unheard = replace(between, type="rapport.identity.v1.CustomerCreated", subject=customer)
    assert "x-stale" not in client.told_beside("ViewCustomer", token_for(client, [between, unheard]), name=customer)[1]


def test_tokens_of_others_are_refused(client, client_of, teller):
    customer = client.create().name
    token = token_for(client_of(), [teller.envelope(promise(customer, "p"))])
    for wrong in (token, "nonsense"):
        with pytest.raises(grpc.RpcError) as caught:
            client.told_beside("ViewCustomer", wrong, name=customer)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_mutation_names_what_it_wrote(client):
    made, told = client.told_beside("CreateCustomer", "", customer={"email": "ada@example.com"})
    with client.context():
        (event,) = consistency.events_of(told["x-consistency-token"])
    assert (event.type, event.subject) == ("rapport.identity.v1.CustomerCreated", made.name)
    assert "x-consistency-token" not in client.told_beside("GetCustomer", "", name=made.name)[1]


def merged(client, applier):
    """Two customers that are one person."""
    client.apply(identify("i1", "u1", {"email": "one@example.com"}))
    client.apply(identify("i2", "u2", {"email": "one@example.com"}), source="app")
    (merge,) = client.ListMerges().merges
    return merge.customer, merge.merged_customer, merge.name


def test_a_merged_person_is_seen_whole_and_apart_again_after_the_undo(client, applier, teller):
    one, other, merge = merged(client, applier)
    teller.hear(
        order(one, 1, euros=10),
        order(other, 2, euros=20),
        consented(one, "c1", "STATE_WITHDRAWN", days=9),
        consented(other, "c2", "STATE_GRANTED", days=1),
        scored(other, 0.1),
        scored(one, 0.9),
        promise(other, "p"),
    )
    whole = view(client, other)
    assert whole == view(client, one)
    assert (whole.customer.name, whole.purchases.order_count, whole.purchases.revenue[0].units) == (one, 2, 30)
    (stands,) = whole.consents
    assert (stands.customer, stands.state) == (one, consent_pb2.Consent.STATE_WITHDRAWN)
    assert whole.scores.customer == one
    assert len(whole.promises) == 1
    teller.hear(consented(other, "c2", "STATE_GRANTED", 2, days=0, answered=["consentRecords/c1-1"]))
    assert view(client, one).consents[0].state == consent_pb2.Consent.STATE_GRANTED
    client.UndoMerge(name=merge)
    assert (view(client, one).purchases.order_count, view(client, other).purchases.order_count) == (1, 1)
    assert view(client, one).consents[0].state == consent_pb2.Consent.STATE_WITHDRAWN
    assert view(client, other).promises[0].promise == "promises/p"
    assert not view(client, one).promises


def history(customer, other):
    """Everything that ever changes, with the same thing told in several versions."""
    return [
        order(customer, 1),
        order(customer, 1, revision=2, refunded=4, kind=sales.OrdersRefunded),
        order(customer, 1, revision=3, refunded=6, kind=sales.OrdersRefunded),
        order(customer, 2, euros=7, days=2),
        ticket(customer, "a"),
        ticket(customer, "a", 2, about=TICKET.KIND_COMPLAINT),
        ticket(customer, "b"),
        ticket(other, "b", 2, kind=ticketing.TicketAssigned),
        ticket(customer, "c"),
        ticket(customer, "c", 2, state=TICKET.STATE_RESOLVED, kind=ticketing.TicketResolved),
        posted(customer, "1", LABELS.LABEL_NEGATIVE, -0.3),
        posted(customer, "2", LABELS.LABEL_POSITIVE, 0.1, days=120),
        mailed(customer, "m"),
        mailed(customer, "m", campaigns.MessageOpened),
        mailed(customer, "m", campaigns.MessageOpened, days=0),
        mailed(customer, "m", campaigns.MessageClicked, days=0),
        consented(customer, "c", "STATE_GRANTED"),
        consented(customer, "c", "STATE_WITHDRAWN", 2),
        consented(customer, "c", "STATE_PENDING", 3),
        scored(customer, 0.4, minute=1),
        scored(customer, 0, removed=[customer], minute=2),
        scored(customer, 0.6, minute=3),
        Told(scoring.SegmentEntered(segment="segments/s", customers=[{"customer": customer}]), "scoring", "changes/1"),
        Told(scoring.SegmentLeft(segment="segments/s", customers=[{"customer": customer}]), "scoring", "changes/2"),
        promise(customer, "p"),
        promise(customer, "p", 2, state="STATE_OVERDUE", due=-1, kind=sales.PromiseOverdue),
        promise(customer, "q"),
        promise(customer, "q", 2, state="STATE_KEPT", kind=sales.PromiseUpdated),
        deal(customer, "d", sales.OpportunityLost),
        deal(customer, "d"),
    ]


def wiped(client):
    """Forgets everything that was told, as if the database were new."""
    with client.context():
        for cls in (Facet, TimelineEntry, HandledEvent, StateGuard):
            docstore.collection(cls).delete_many({})


def shown(client, customer):
    """The view; but for when the platform learnt of things."""
    seen = view(client, customer)
    for entry in seen.timeline_entries:
        entry.ClearField("create_time")
    return seen


def test_neither_order_nor_repeats_change_the_view(client, teller):
    customer, other = client.create().name, client.create().name
    envelopes = [teller.envelope(event) for event in history(customer, other)]
    teller.hear(*envelopes)
    wanted, elsewhere = shown(client, customer), shown(client, other)
    assert (wanted.tickets.open_count, elsewhere.tickets.open_count) == (1, 1)
    assert (wanted.scores.p_alive, wanted.deals.won_count, list(wanted.segments)) == (0.6, 1, [])

    @settings(max_examples=8)
    @given(st.permutations(envelopes), st.lists(st.sampled_from(envelopes), max_size=8))
    def any_order(shuffled, repeated):
        wiped(client)
        teller.hear(*repeated, *shuffled)
        assert shown(client, customer) == wanted
        assert shown(client, other) == elsewhere

    any_order()


def test_a_republication_into_an_empty_database_gives_the_same_view(client, teller):
    customer, other = client.create().name, client.create().name
    envelopes = [teller.envelope(event) for event in history(customer, other)]
    teller.hear(*envelopes)
    wanted = view(client, customer)
    wiped(client)
    facts, newest = [], {}
    for envelope in envelopes:
        rule = descriptors.event_rule(descriptors.message_class(envelope.type).DESCRIPTOR)
        if rule.kind == options_pb2.EventRule.KIND_STATE and not rule.kept:
            # A republished state has a new event id.
            newest[envelope.subject] = replace(envelope, id=ids.uuid7())
        else:
            facts.append(envelope)
    teller.hear(*newest.values(), *facts)
    rebuilt = view(client, customer)
    for part in (wanted, rebuilt):
        part.ClearField("timeline_entries")
    assert rebuilt == wanted


class Counted(monitoring.CommandListener):
    """Notes what is sent."""

    def __init__(self):
        self.commands = []

    def started(self, event):
        self.commands.append(f"{event.command_name} {event.command.get(event.command_name)}")

    def succeeded(self, event):
        """Nothing to see."""

    def failed(self, event):
        """Nothing to see."""


@pytest.fixture
def counted(database):
    """The commands that are sent, on a connection of the test's own."""
    docstore.disconnect()
    listener = Counted()
    docstore.connect(database, event_listeners=[TenantGuard(), listener])
    yield listener.commands
    docstore.disconnect()
    docstore.connect(database, event_listeners=[TenantGuard()])


@pytest.fixture
def crowd(client, teller):
    """A customer among others with enough rows that a scan shows."""
    customer = client.create().name
    for n in range(20):
        whose = customer if n % 2 else client.create().name
        teller.hear(*(order(whose, f"{n}-{i}", days=i) for i in range(4)), ticket(whose, f"{n}"))
        teller.hear(posted(whose, f"{n}", LABELS.LABEL_NEUTRAL, 0), mailed(whose, f"{n}"), promise(whose, f"{n}"))
    return customer


def test_the_view_takes_four_queries(client, applier, teller, counted):
    one, other, _ = merged(client, applier)
    teller.hear(order(one, 1), order(other, 2))
    with client.context():
        counted.clear()
        view_customer(one.rpartition("/")[2])
        assert counted == ["find customers", "aggregate facets", "find timeline", "find identifiers"]
        counted.clear()
        view_customer(other.rpartition("/")[2])
        assert len(counted) == 6


@pytest.mark.parametrize("members", [1, 2])
def test_every_list_ends_on_the_index_and_totals_read_nothing_else(client, crowd, members):
    uids = [crowd.rpartition("/")[2], client.create().uid][:members]
    with client.context():
        for place, pipeline in enumerate(pipelines(uids, ago(days=90))):
            command = {"aggregate": "facets", "pipeline": Facet.rows()._scoped_pipeline(pipeline), "cursor": {}}
            explained = docstore.database().command("explain", command, verbosity="executionStats")
            plan = json.dumps(explained, default=str)
            assert '"IXSCAN"' in plan, place
            assert not {'"COLLSCAN"', '"SORT"', '"$sort"'} & set(re.findall(r'"[^"]*"', plan.partition("command")[0]))
            stats = (explained.get("stages") or [{"$cursor": explained}])[0]["$cursor"]["executionStats"]
            if place == 0:
                assert "PROJECTION_COVERED" in plan
                assert stats["totalDocsExamined"] == 0
            else:
                assert stats["totalKeysExamined"] <= 10 + 2 * members, place
