"""The agent view does not depend on the order of events, nor on repeats, and can be rebuilt."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from rapport.campaigns.v1 import events_pb2 as campaigns
from rapport.options.v1 import options_pb2
from rapport.sales.v1 import events_pb2 as sales
from rapport.scoring.v1 import events_pb2 as scoring
from rapport.ticketing.v1 import events_pb2 as ticketing

import docstore
from chassis import ids
from contracts import descriptors
from eventing.records import HandledEvent, StateGuard
from identity.store import Facet, TimelineEntry

from .telling import (
    LABELS,
    TICKET,
    Told,
    consented,
    deal,
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
        likely(customer, "usages", minute=1),
        likely(customer, "clusters", minute=1),
        scored(customer, 0, removed=[customer], minute=2),
        scored(customer, 0.6, minute=3),
        likely(customer, "clusters", display_name="bought once", minute=4),
        likely(customer, "responses", minute=4),
        likely(customer, "responses", removed=[customer], minute=5),
        reached(customer),
        reached(customer, (9,), minute=1),
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
    seen = client.ViewCustomer(name=customer)
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
    assert (wanted.cluster.display_name, wanted.send_time.best_hours[0].hour) == ("bought once", 9)
    assert not wanted.HasField("usage"), "the scores were removed, and all with them"
    assert not wanted.HasField("response")

    @settings(max_examples=6)
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
    wanted = client.ViewCustomer(name=customer)
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
    rebuilt = client.ViewCustomer(name=customer)
    for part in (wanted, rebuilt):
        part.ClearField("timeline_entries")
    assert rebuilt == wanted
