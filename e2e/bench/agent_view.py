"""Everything of a customer in one read, through the gateway, at 40 reads/s, open loop."""

import itertools
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pymongo
import requests
from google.protobuf.message import Message
from google.type.money_pb2 import Money
from rapport.sales.v1 import events_pb2 as sales
from rapport.sales.v1 import promise_pb2
from rapport.scoring.v1 import events_pb2 as scoring
from rapport.ticketing.v1 import events_pb2 as ticketing
from rapport.ticketing.v1 import ticket_pb2

from chassis.ids import uuid7
from e2e import tenants
from e2e.bench.figures import percentile, say, tell
from e2e.demo.api import Json, patiently, wait_for
from e2e.faults.backlog import publish
from e2e.platform import Platform
from e2e.tenants import Tenant
from eventing.envelope import Envelope

RATE, SECONDS, WARM_UP_SECONDS, CLIENTS = 40, 15, 3, 16
CUSTOMERS, TRACKED, ORDERS, TICKETS, CONSENTS = 40, 75, 10, 5, 4
ENTRIES = 100
"""Of the timeline: TRACKED events, ORDERS from elsewhere, CONSENTS, a promise, and TICKETS with a message each."""


LIKELY = {"scores", "churnRisk", "cluster", "usage", "renewal", "response", "sendTime"}
"""What scoring tells, as the view shows it."""


def measure(platform: Platform) -> None:
    """Tells agent_view_p95 (ms), against the raw finds of the same documents in the same run."""
    tenant = tenants.create(platform.gateway, platform.bootstrap_key, f"bench-{uuid.uuid4().hex[:8]}")
    customers = _seed(platform, tenant)

    def read(number: int, begin: float) -> float:
        # Open loop: each call has its instant, whatever became of those before.
        due = begin + number / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        tenant.api.get(f"/v1/{customers[number % CUSTOMERS]}:agentView")
        return (time.monotonic() - due) * 1000

    def read_for(seconds: int) -> list[float]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(partial(read, begin=time.monotonic() + 0.5), range(RATE * seconds)))

    read_for(WARM_UP_SECONDS)
    say(f"agent view: {RATE} reads a second for {SECONDS} s")
    spent = read_for(SECONDS)
    tell("agent_view_p95", percentile(spent, 0.95), "ms", _raw_finds(platform, tenant.id, customers))


def _seed(platform: Platform, tenant: Tenant) -> list[str]:
    """Customers with `ENTRIES` entries in the timeline each, and with orders, tickets, consents, scores, a promise."""
    say(f"agent view: making {CUSTOMERS} customers with {ENTRIES} timeline entries each")
    session, write_key = requests.Session(), next(iter(tenant.write_keys.values()))
    for number in range(CUSTOMERS):
        batch = {"batch": [_tracked(number, place) for place in range(TRACKED)]}
        patiently(
            lambda batch=batch: session.post(  # type: ignore[misc]
                f"{platform.gateway}/v1/batch", json=batch, auth=(write_key, ""), timeout=60
            )
        )

    def known() -> list[str]:
        found = [str(customer["name"]) for customer in tenant.api.pages("/v1/customers", "customers")]
        return found if len(found) == CUSTOMERS else []

    customers = wait_for(known, "all customers are known")
    for purpose in (tenants.create_purpose(tenant.api, f"view-{n}", double_opt_in=False) for n in range(CONSENTS)):
        for customer in customers:
            about = {"customer": customer, "purpose": purpose, "channel": "CHANNEL_EMAIL"}
            tenant.api.post("/v1/consents:grant", {**about, "evidence": {"method": "METHOD_AGENT"}})
    # As a republication does: straight to the one queue.
    publish(platform, "identity", (event for customer in customers for event in _told(tenant.id, customer)))
    for customer in customers:
        wait_for(partial(_complete, tenant, customer), "everything of a customer is known")
    return customers


def _tracked(number: int, place: int) -> Json:
    bought = place % 5 == 0
    return {
        "type": "track",
        "userId": f"user-{number}",
        "event": "Order Completed" if bought else "Product Viewed",
        "messageId": f"{number}-{place}",
        "timestamp": (datetime.now(UTC) - timedelta(days=place)).isoformat(),
        "properties": {"revenue": 12.5, "currency": "USD", "order_id": f"{number}-{place}"}
        if bought
        else {"product": "bench", "place": place, "path": f"/products/{place}"},
    }


def _complete(tenant: Tenant, customer: str) -> bool:
    view = tenant.api.get(f"/v1/{customer}:agentView")
    entries = tenant.api.get(f"/v1/{customer}/timelineEntries", pageSize=1000)["timelineEntries"]
    return len(entries) >= ENTRIES and len(view["consents"]) == CONSENTS and view.keys() >= LIKELY


def _told(tenant: str, customer: str) -> Iterator[Envelope]:
    """What sales, ticketing and scoring would have told of a customer."""
    now = datetime.now(UTC)

    def event(message: Message, subject: str) -> Envelope:
        return Envelope(
            id=uuid7(),
            type=message.DESCRIPTOR.full_name,
            source=f"//rapport/{message.DESCRIPTOR.full_name.split('.')[1]}",
            subject=subject,
            tenant=tenant,
            time=now,
            sequence=(1, 0),
            body=message.SerializeToString(),
            datasubjects=(customer,),
        )

    for number in range(ORDERS):
        order = sales.OrderState(
            order=f"orders/{uuid7()}",
            customer=customer,
            source="api",
            order_number=str(number),
            amount=Money(currency_code="USD", units=20),
            order_time=now - timedelta(days=number),
            revision=1,
        )
        yield event(sales.OrdersPlaced(orders=[order]), order.order)
    for number in range(TICKETS):
        opened = now - timedelta(days=number * 30)
        ticket = ticketing.TicketState(
            ticket=f"tickets/{uuid7()}",
            customer=customer,
            subject="Where is my parcel?",
            state=ticket_pb2.Ticket.STATE_OPEN,
            kind=ticket_pb2.Ticket.KIND_QUESTION,
            channel=ticket_pb2.Ticket.CHANNEL_PHONE,
            create_time=opened,
        )
        yield event(ticketing.TicketOpened(ticket=ticket), ticket.ticket)
        posted = ticketing.TicketMessagePosted(
            ticket_message=f"{ticket.ticket}/messages/{uuid7()}",
            ticket=ticket.ticket,
            customer=customer,
            author=ticket_pb2.TicketMessage.AUTHOR_CUSTOMER,
            channel=ticket_pb2.Ticket.CHANNEL_PHONE,
            sentiment=ticket_pb2.Sentiment(label=ticket_pb2.Sentiment.LABEL_NEGATIVE, score=-0.4),
            post_time=opened,
        )
        yield event(posted, ticket.ticket)
    promise = sales.PromiseState(
        promise=f"promises/{uuid7()}",
        customer=customer,
        text="Call back",
        due_time=now + timedelta(days=1),
        state=promise_pb2.Promise.STATE_OPEN,
        create_time=now,
    )
    yield event(sales.PromiseMade(promise=promise), promise.promise)
    scores = scoring.ScoreSnapshot(
        customer=customer,
        p_alive=0.8,
        expected_purchases=2.0,
        lifetime_value=Money(currency_code="USD", units=90),
        rfm_segment="Champions",
        reasons=["Bought 15 times.", "Bought this week."],
        model="models/bench",
        decision="decisions/bench",
    )
    yield event(scoring.ScoresUpdated(as_of=now, scores=[scores]), f"scoreChanges/{uuid7()}")
    risk = scoring.ChurnRiskState(
        customer=customer,
        probability=0.3,
        low=0.2,
        high=0.4,
        percentile=60,
        horizon_weeks=13,
        reasons=["Days since the last purchase is 9: lowers the risk of leaving by 8 points"],
        model="models/leaving",
        decision="decisions/bench",
    )
    yield event(scoring.ScoresUpdated(as_of=now, churn_risks=[risk]), f"scoreChanges/{uuid7()}")
    named = {"customer": customer, "reasons": ["As usual."], "model": "models/bench", "decision": "decisions/bench"}
    likely = {"probability": 0.3, **named}
    others = scoring.ScoresUpdated(
        as_of=now,
        clusters=[{"display_name": "buy often, spend much", **named}],
        usages=[{"state": "STATE_USUAL", "begin_time": now, "used_count": 9, "expected_count": 9.5, **named}],
        renewals=[{"renewal_due_time": now, **likely}],
        responses=[{"horizon_days": 14, **likely}],
    )
    yield event(others, f"scoreChanges/{uuid7()}")
    hours = scoring.CustomerSendTimeState(customer=customer, hours_of_week=range(168), time_zone="Europe/Berlin")
    yield event(scoring.SendTimesUpdated(change_time=now, send_times=[hours]), f"scoreChanges/{uuid7()}")


def _raw_finds(platform: Platform, tenant: str, customers: Sequence[str]) -> float:
    """The 95th percentile (ms) of finding one customer's documents by the same indexes, one customer after another."""
    spent = []
    with pymongo.MongoClient[Json](platform.mongodb_uri) as client:
        database = client.get_database(platform.environment("identity-serve")["RAPPORT_DATABASE"])
        for customer in itertools.islice(itertools.cycle(customers), RATE * SECONDS):
            uid = customer.rpartition("/")[2]
            begin = time.monotonic()
            about = {"tenant": tenant, "customer": uid}
            found = list(database["customers"].find({"tenant": tenant, "canonical": uid}))
            found += database["identifiers"].find(about)
            found += database["facets"].find(about)
            found += database["timeline"].find(about, sort=[("event_time", -1), ("_id", -1)], limit=20)
            assert len(found) > ENTRIES // 2, "the documents are where they are looked for"
            spent.append((time.monotonic() - begin) * 1000)
    return percentile(spent, 0.95)
