"""The roles as processes: killed where it hurts, fed with repeats and disorder; real servers throughout."""

import random
from collections import Counter
from datetime import timedelta

from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.sales.v1 import events_pb2, promise_pb2

from chassis import clock
from eventing.envelope import Envelope
from sales.store import LeadDesk, Order, Promise
from testkit import eventually
from testkit.telling import decoded

SERVICE = "sales"
State = promise_pb2.Promise.State


def overdue_events(client) -> Counter[int]:
    """How often promises were told to be overdue -> how many."""
    with client.context():
        rows = list(Promise.rows().find({}, {"outbox.type": 1}))
    kind = events_pb2.PromiseOverdue.DESCRIPTOR.full_name
    return Counter(sum(each["type"] == kind for each in row["outbox"]) for row in rows)


def test_every_promise_falls_due_once_though_run_is_killed_meanwhile(client, made, travel, failpoint) -> None:
    due = clock.now() + timedelta(hours=1)
    for number in range(40):
        client.CreatePromise(promise={"customer": client.customer(), "text": f"Call {number}", "due_time": due})
    travel(hours=2)
    for call in (8, 15):
        before = overdue_events(client)[1]
        with failpoint("sales.usecases.promises:_miss", call=call) as there:
            made("run").start()
            there.wait()
        assert overdue_events(client)[1] == before + call - 1
        with client.context():  # what the killed one held is free, as it would be when its lease ends
            Promise.rows().update_many({}, {"$unset": {"lease": ""}})
    process = made("run").start().wait_ready()
    eventually(lambda: overdue_events(client)[1] == 40, 20, "all are overdue")
    assert overdue_events(client) == {1: 40}
    assert process.stop() == 0
    assert len(client.ListPromises(filter="state = STATE_OVERDUE", page_size=1000).promises) == 40


def test_leads_are_given_out_once_though_who_does_is_killed_at_the_desk(client, made, started, failpoint) -> None:
    names_ = [client.lead().name for _ in range(150)]
    for uid in ("anna", "ben", "cem"):
        client.rep(uid, capacity=45)
    with failpoint("sales.usecases.assigning:_give_some", call=2) as there:
        made("run").start()
        there.wait()

    def owners() -> Counter[str]:
        return Counter(each.assignment.owner for each in client.ListLeads(page_size=1000).leads)

    assert owners()[""] == 50
    with client.context():  # the desk of the killed one is free, as it would be when its lease ends
        LeadDesk.rows().update_one({"uid": "default"}, {"$unset": {"lease": ""}})
    one, other = started("run"), started("run")
    wanted = {"principals/anna": 45, "principals/ben": 45, "principals/cem": 45, "": 15}
    eventually(lambda: owners() == wanted, 20, "all room is taken")
    first = client.ListLeads(filter="owner:*", page_size=1000).leads
    assert [each.name for each in first] == names_[:135]
    assert [each.load for each in client.ListSalesReps().sales_reps] == [45, 45, 45]
    assert (one.stop(), other.stop()) == (0, 0)


def test_a_worker_takes_over_orders_told_twice_and_in_disorder(client, publish, started) -> None:
    chance = random.Random(7)
    people = [client.customer() for _ in range(20)]
    bought = [client.bought(chance.choice(people), 100 + n, str(n)) for n in range(100)]
    back = [client.returned(each["customer"], 7, each["order_id"]) for each in bought]
    events = bought + back
    chance.shuffle(events)
    told = []
    for first in range(0, len(events), 25):
        some = events[first : first + 25]
        about = {each["customer"]: None for each in some}
        told.append(publish(identity_events_pb2.EventsTracked(events=some), *about, subject=f"batches/{first}"))
    for event in told[::2]:
        publish(event)
    worker = started("work")

    def refunded() -> int:
        with client.context():
            return Order.rows().count({"refunded_minor": 7, "awaited": None})

    eventually(lambda: refunded() == 100, 30, "all are refunded")
    (euro,) = client.SummarizeOrders().currencies
    revenue = sum(range(100, 200))
    assert (euro.order_count, euro.revenue.units * 100 + euro.revenue.nanos // 10_000_000) == (100, revenue)
    assert (euro.refunded.units, client.SummarizeOrders().customer_count) == (7, len({e["customer"] for e in bought}))
    assert worker.stop() == 0


def test_what_happened_is_told_with_whom_it_is_about(client, captured, started) -> None:
    so_far = captured("rapport.sales.v1.#")
    person = client.customer()
    lead = client.lead(customer=person)
    deal = client.ConvertLead(name=lead.name).conversion.opportunity
    client.WinOpportunity(name=deal)
    client.track(client.bought(person, 700, "1"))
    client.CreatePromise(promise={"customer": person, "text": "Call", "due_time": {"seconds": 4_000_000_000}})
    process = started("relay")

    def told() -> dict[str, Envelope]:
        return {event.type.rpartition(".")[2]: event for event in so_far()}

    kinds = {"LeadCreated", "LeadConverted", "OpportunityWon", "OrdersPlaced", "PromiseMade"}
    eventually(lambda: told().keys() == kinds, 30, "the events")
    assert all(event.datasubjects == (person,) for event in told().values())
    assert told()["OpportunityWon"].subject == deal
    placed = decoded(told()["OrdersPlaced"])
    assert placed.orders[0].tracked
    assert process.stop() == 0


def test_an_erasure_is_carried_out_by_run(client, publish, started) -> None:
    person = client.customer()
    client.lead(customer=person, display_name="Planted")
    worker = started("work")
    request = consent_events_pb2.ErasureRequested(erasure_request="erasureRequests/1", customers=[person])
    publish(request, person, subject="erasureRequests/1")
    runner = started("run")
    eventually(lambda: list(client.ListLeads().leads) == [], 30, "the lead is gone")
    assert (worker.stop(), runner.stop()) == (0, 0)
    assert "Planted" not in worker.log.read_text() + runner.log.read_text()


def test_the_role_serve_answers_and_ends_in_peace(client, started) -> None:
    process = started("serve")
    assert process.stop() == 0
