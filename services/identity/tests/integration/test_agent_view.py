"""The agent view: what services tell, in any order and however often, in one bounded read."""

import pytest
from google.type import dayofweek_pb2
from google.type.money_pb2 import Money
from rapport.campaigns.v1 import events_pb2 as campaigns
from rapport.consent.v1 import consent_pb2
from rapport.identity.v1 import agent_view_pb2
from rapport.sales.v1 import events_pb2 as sales
from rapport.scoring.v1 import events_pb2 as scoring
from rapport.scoring.v1.customer_usage_pb2 import CustomerUsage
from rapport.ticketing.v1 import events_pb2 as ticketing

from identity.store import Facet

from .conftest import merged, track
from .telling import (
    AUTHORS,
    EUR,
    LABELS,
    PARTS,
    TICKET,
    Told,
    ago,
    consented,
    deal,
    leaving,
    likely,
    mailed,
    order,
    posted,
    promise,
    reached,
    scored,
    ticket,
)

SERVICE = "identity"


LIKELY = ("scores", "churn_risk", "cluster", "usage", "renewal", "response", "send_time")


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
        leaving(customer, 0.5),
        *(likely(customer, part) for part in PARTS),
        reached(customer),
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
    risk = seen.churn_risk
    assert (risk.customer, risk.model, risk.decision) == (customer, "models/c", "decisions/d")
    assert (risk.probability, risk.low, risk.high, risk.percentile, risk.horizon_weeks) == (0.5, 0.4, 0.6, 90, 13)
    assert list(risk.reasons) == ["Bought long ago"]
    assert risk.as_of.ToDatetime() < seen.scores.as_of.ToDatetime()
    assert (seen.cluster.display_name, seen.cluster.fallback) == ("buy often, spend much", False)
    assert (seen.usage.state, seen.usage.used_count, seen.usage.expected_count) == (CustomerUsage.STATE_DROP, 1, 9.5)
    assert (seen.usage.low_count, seen.usage.HasField("high_count")) == (6, False)
    assert (seen.renewal.probability, seen.renewal.probability_high, seen.renewal.renewal_count) == (0.7, 0.8, 5)
    assert (seen.response.probability, seen.response.percentile, seen.response.horizon_days) == (0.2, 80, 14)
    for part in (seen.cluster, seen.usage, seen.renewal, seen.response):
        assert (part.customer, part.model, part.decision, len(part.reasons)) == (
            *(customer, "models/p", "decisions/d"),
            1,
        )
        assert part.as_of.ToDatetime() < risk.as_of.ToDatetime()
    hours = [(one.day_of_week, one.hour) for one in seen.send_time.best_hours]
    assert hours[:3] == [(dayofweek_pb2.TUESDAY, 2), (dayofweek_pb2.TUESDAY, 3), (dayofweek_pb2.MONDAY, 0)]
    assert (len(hours), seen.send_time.time_zone, seen.send_time.customer) == (10, "Europe/Berlin", customer)
    assert (seen.send_time.model, seen.send_time.decision) == ("models/s", "decisions/d")
    assert seen.send_time.HasField("change_time")
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
    assert not [part for part in LIKELY if seen.HasField(part)]
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


def test_how_something_sounds_is_shown_as_somebody_said_last(client, teller):
    customer = client.create().name
    first, said = (
        teller.envelope(posted(customer, "1", label, score, kind=kind))
        for label, score, kind in (
            (LABELS.LABEL_NEGATIVE, -0.8, ticketing.TicketMessagePosted),
            (LABELS.LABEL_POSITIVE, 1.0, ticketing.TicketMessageUpdated),
        )
    )
    teller.hear(ticket(customer, "t"), first)
    assert view(client, customer).sentiment.label == LABELS.LABEL_NEGATIVE
    # What was told first may come again, and last.
    teller.hear(said, first, ticket(customer, "t", 2, label=LABELS.LABEL_POSITIVE))
    seen = view(client, customer)
    assert (seen.sentiment.label, seen.sentiment.score, len(seen.sentiment.sources)) == (LABELS.LABEL_POSITIVE, 1.0, 1)
    assert [each.sentiment for each in seen.tickets.recent_tickets] == [LABELS.LABEL_POSITIVE]
    events = [each.event.rpartition(".")[2] for each in client.ListTimelineEntries(parent=customer).timeline_entries]
    assert sorted(events) == ["TicketMessagePosted", "TicketOpened"]


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


def test_a_deal_that_was_reopened_is_neither_won_nor_lost_until_it_ends_anew(client, teller):
    customer = client.create().name
    won, reopened = (
        teller.envelope(deal(customer, "d", kind)) for kind in (sales.OpportunityWon, sales.OpportunityReopened)
    )
    teller.hear(won)
    assert view(client, customer).deals.won_count == 1
    teller.hear(reopened, won)
    assert view(client, customer).deals == type(view(client, customer).deals)()
    teller.hear(deal(customer, "d", sales.OpportunityLost))
    ended = view(client, customer).deals
    assert (ended.won_count, ended.lost_count, list(ended.won_amounts)) == (0, 1, [])


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


def test_a_risk_goes_alone_or_with_the_scores_and_comes_alone(client, teller):
    customer = client.create().name
    first, without = (
        teller.envelope(leaving(customer, 0.2)),
        teller.envelope(leaving(customer, 0, removed=[customer], minute=1)),
    )
    teller.hear(scored(customer, 0.7), without, first)
    seen = view(client, customer)
    assert (seen.scores.p_alive, seen.HasField("churn_risk")) == (0.7, False)
    later = teller.envelope(leaving(customer, 0.8, minute=2))
    gone = teller.envelope(scored(customer, 0, removed=[customer], minute=3))
    teller.hear(later)
    assert view(client, customer).churn_risk.probability == 0.8
    teller.hear(gone, later)
    seen = view(client, customer)
    assert not seen.HasField("scores")
    assert not seen.HasField("churn_risk")
    teller.hear(leaving(customer, 0.6, minute=4))
    seen = view(client, customer)
    assert (seen.HasField("scores"), seen.churn_risk.probability) == (False, 0.6)
    teller.hear(scored(customer, 0.7, minute=5), scored(customer, 0, removed=[customer], alone=True, minute=6))
    seen = view(client, customer)
    assert (seen.HasField("scores"), seen.churn_risk.probability) == (False, 0.6)


@pytest.mark.parametrize(
    ("part", "shown"),
    [("clusters", "cluster"), ("usages", "usage"), ("renewals", "renewal"), ("responses", "response")],
)
def test_what_else_is_likely_goes_alone_or_with_the_scores_and_comes_alone(client, teller, part, shown):
    customer = client.create().name
    first = teller.envelope(likely(customer, part))
    without = teller.envelope(likely(customer, part, removed=[customer], minute=1))
    teller.hear(scored(customer, 0.7), leaving(customer, 0.5), without, first)
    seen = view(client, customer)
    assert [each for each in LIKELY if seen.HasField(each)] == ["scores", "churn_risk"], "late, and removed"
    later = teller.envelope(likely(customer, part, minute=2))
    teller.hear(later, scored(customer, 0, removed=[customer], alone=True, minute=3))
    seen = view(client, customer)
    assert [each for each in LIKELY if seen.HasField(each)] == ["churn_risk", shown], "values alone were removed"
    teller.hear(scored(customer, 0, removed=[customer], minute=4), later)
    seen = view(client, customer)
    assert not [each for each in LIKELY if seen.HasField(each)], "as after an objection"
    with client.context():
        kept = list(Facet.rows().find({"customer": customer.rpartition("/")[2]}))
    assert {str(row.get("details")) for row in kept} == {"None"}, "nothing but marks of when"
    teller.hear(likely(customer, part, minute=5))
    seen = view(client, customer)
    assert [each for each in LIKELY if seen.HasField(each)] == [shown]


def test_of_hours_the_last_that_were_told_count_until_they_are_taken_back(client, teller):
    customer = client.create().name
    first, second = (teller.envelope(reached(customer, hours, minute=n)) for n, hours in enumerate(((5,), (30,))))
    teller.hear(second, first)
    assert view(client, customer).send_time.best_hours[0].day_of_week == dayofweek_pb2.TUESDAY
    # Scoring tells of hours by events of their own: scores that are removed say nothing of them.
    teller.hear(scored(customer, 0, removed=[customer], minute=9))
    assert view(client, customer).HasField("send_time")
    teller.hear(reached(customer, removed=[customer], minute=2), second)
    assert not view(client, customer).HasField("send_time")


def test_usage_that_is_not_judged_has_no_expectation(client, teller):
    customer = client.create().name
    teller.hear(likely(customer, "usages", state="STATE_NOT_JUDGED", expected_count=None))
    usage = view(client, customer).usage
    assert (usage.state, usage.HasField("expected_count")) == (CustomerUsage.STATE_NOT_JUDGED, False)


def test_a_merged_person_is_seen_whole_and_apart_again_after_the_undo(client, applier, teller):
    one, other, merge = merged(client)
    teller.hear(
        order(one, 1, euros=10),
        order(other, 2, euros=20),
        consented(one, "c1", "STATE_WITHDRAWN", days=9),
        consented(other, "c2", "STATE_GRANTED", days=1),
        scored(other, 0.1),
        scored(one, 0.9),
        leaving(one, 0.3),
        leaving(other, 0.6),
        likely(one, "responses", probability=0.3),
        likely(other, "responses", probability=0.6),
        likely(other, "clusters"),
        reached(other),
        promise(other, "p"),
    )
    whole = view(client, other)
    assert whole == view(client, one)
    assert (whole.customer.name, whole.purchases.order_count, whole.purchases.revenue[0].units) == (one, 2, 30)
    (stands,) = whole.consents
    assert (stands.customer, stands.state) == (one, consent_pb2.Consent.STATE_WITHDRAWN)
    assert whole.scores.customer == one
    assert (whole.churn_risk.customer, whole.churn_risk.probability) == (one, 0.3)
    assert (whole.response.customer, whole.response.probability) == (one, 0.3)
    assert (whole.cluster.customer, whole.send_time.customer) == (other, other), "until scoring tells it of the whole"
    assert len(whole.promises) == 1
    teller.hear(consented(other, "c2", "STATE_GRANTED", 2, days=0, answered=["consentRecords/c1-1"]))
    assert view(client, one).consents[0].state == consent_pb2.Consent.STATE_GRANTED
    client.UndoMerge(name=merge)
    assert (view(client, one).purchases.order_count, view(client, other).purchases.order_count) == (1, 1)
    assert view(client, one).consents[0].state == consent_pb2.Consent.STATE_WITHDRAWN
    assert view(client, other).churn_risk.probability == 0.6
    assert view(client, other).promises[0].promise == "promises/p"
    assert not view(client, one).promises
