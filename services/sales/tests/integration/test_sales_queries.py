"""Every query the service sends runs on an index, whatever else is stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import docstore
from chassis import tenancy
from docstore.connection import database
from docstore.documents import TenantDocument
from docstore.explain import assert_indexed
from docstore.tenanted import whole_tenant
from sales.store import (
    Account,
    Contact,
    ConversionEstimate,
    Lead,
    LeadAssignment,
    Opportunity,
    Order,
    Pipeline,
    Promise,
    SalesRep,
    Stage,
    orders,
)

SERVICE = "sales"
MANY = 120
NOW = datetime(2026, 5, 1, tzinfo=UTC)
LATELY = datetime(2100, 1, 1, tzinfo=UTC)
BY_CREATE_TIME = [("create_time", 1), ("_id", 1)]
BY_SCORE = [("score", -1), ("_id", -1)]
BY_PROBABILITY = [("conversion_estimate.probability", -1)]
BY_ORDER_TIME = [("order_time", -1), ("_id", -1)]
BY_DUE_TIME = [("due_time", 1), ("_id", 1)]


@pytest.fixture(scope="module", autouse=True)
def stored(request):
    request.getfixturevalue("database")
    for tenant in ("acme", "other"):
        with tenancy.service_context(tenant):
            for kind in zip(*map(documents, range(MANY)), strict=True):
                docstore.in_transaction(lambda kind=kind: kind[0].insert_many(kind))


def documents(number: int) -> list[Any]:
    some, customer = number % 12, f"customers/{number % 12}"
    assignment = LeadAssignment(
        owner=f"principals/{some}", sales_rep=f"r{some}", rule="RULE_MANUAL", reason="x", assign_time=NOW
    )
    waiting = number % 12 == 0
    if waiting:
        assignment = LeadAssignment(rule="RULE_WAITING", reason="x", assign_time=NOW)
    return [
        Account.new(display_name=f"A{some}", region_code=f"R{some}", owner=f"o{some}",
                    person=customer if some == 3 else None),
        Contact.new(account=f"accounts/{some}", customer=customer, display_name="C", email=f"{some}@example.com"),
        Lead.new(display_name="L", source=f"SOURCE_{some}", email=f"{some}@example.com", customer=customer,
                 score=number % 30, assignment=assignment, waiting=waiting or None,
                 state=["STATE_OPEN", "STATE_CONVERTED", "STATE_DISQUALIFIED"][number % 3],
                 conversion_estimate=ConversionEstimate(change_time=NOW, probability=number % 10 / 10)),
        SalesRep.new(f"r{number}", principal="p", display_name="R", capacity=3, available=True),
        Pipeline.new(f"p{number}", display_name="P", stages=[Stage(stage="s", display_name="S", probability=1)]),
        Opportunity.new(display_name="O", account=f"accounts/{some}", contact=f"contacts/{some}", customer=customer,
                        lead=f"leads/{some}", pipeline=f"p{number % 4}", stage=f"s{number % 3}", amount_minor=1,
                        currency="EUR", owner=f"o{some}", state=["STATE_OPEN", "STATE_WON"][number % 2]),
        Order.new(customer=customer, source=f"shop{number % 4}", order_number=f"n{number}", currency="EUR",
                  amount_minor=number, order_time=NOW + timedelta(hours=number),
                  state=["STATE_PLACED", "STATE_REFUNDED"][number % 2]),
        Promise.new(customer=customer, subject=f"tickets/{some}", text="P", owner=f"o{some}",
                    due_time=NOW + timedelta(hours=number), due=NOW, state=["STATE_OPEN", "STATE_KEPT"][number % 2]),
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def acme():
    with tenancy.service_context("acme"):
        yield


LISTS: list[tuple[type[TenantDocument], dict[str, Any], list[tuple[str, int]]]] = [
    (Account, {}, BY_CREATE_TIME),
    (Account, {"owner": "o3"}, BY_CREATE_TIME),
    (Account, {"region_code": "R3"}, BY_CREATE_TIME),
    (Account, {"display_name": "A3"}, BY_CREATE_TIME),
    (Contact, {"account": "accounts/3"}, BY_CREATE_TIME),
    (Contact, {"customer": {"$in": ["customers/3", "customers/4"]}}, BY_CREATE_TIME),
    (Contact, {"email": "3@example.com"}, BY_CREATE_TIME),
    (Lead, {}, BY_CREATE_TIME),
    (Lead, {"state": "STATE_OPEN"}, BY_CREATE_TIME),
    (Lead, {"source": "SOURCE_3"}, BY_CREATE_TIME),
    (Lead, {"email": "3@example.com"}, BY_CREATE_TIME),
    (Lead, {"customer": {"$in": ["customers/3", "customers/4"]}}, BY_CREATE_TIME),
    (Lead, {"$and": [{"state": "STATE_OPEN"}, {"assignment.owner": "principals/3"}]}, BY_CREATE_TIME),
    (Lead, {}, BY_SCORE),
    (Lead, {"state": "STATE_OPEN"}, BY_SCORE),
    (Lead, {"$and": [{"state": "STATE_OPEN"}, {"assignment.owner": "principals/3"}]}, BY_SCORE),
    (Lead, {}, BY_PROBABILITY),
    (Lead, {"state": "STATE_OPEN"}, BY_PROBABILITY),
    (Lead, {"$and": [{"state": "STATE_OPEN"}, {"assignment.owner": "principals/3"}]}, BY_PROBABILITY),
    (Lead, {"conversion_estimate.probability": {"$gte": 0.9}}, BY_PROBABILITY),
    (Lead, {"waiting": True}, [("_id", 1)]),
    (Opportunity, {}, BY_CREATE_TIME),
    (Opportunity, {"state": "STATE_OPEN"}, BY_CREATE_TIME),
    (Opportunity, {"pipeline": "p1"}, BY_CREATE_TIME),
    (Opportunity, {"$and": [{"pipeline": "p1"}, {"stage": "s1"}]}, BY_CREATE_TIME),
    (Opportunity, {"$and": [{"pipeline": "p1"}, {"stage": "s1"}, {"state": "STATE_WON"}]}, BY_CREATE_TIME),
    (Opportunity, {"owner": "o3"}, BY_CREATE_TIME),
    (Opportunity, {"$and": [{"owner": "o3"}, {"state": "STATE_WON"}]}, BY_CREATE_TIME),
    (Opportunity, {"account": "accounts/3"}, BY_CREATE_TIME),
    (Opportunity, {"lead": "leads/3"}, BY_CREATE_TIME),
    (Opportunity, {"customer": {"$in": ["customers/3", "customers/4"]}}, BY_CREATE_TIME),
    (Order, {}, BY_ORDER_TIME),
    (Order, {"source": "shop3"}, BY_ORDER_TIME),
    (Order, {"state": "STATE_PLACED"}, BY_ORDER_TIME),
    (Order, {"customer": {"$in": ["customers/3", "customers/4"]}}, BY_ORDER_TIME),
    (Order, {"order_time": {"$gte": NOW + timedelta(hours=90)}}, BY_ORDER_TIME),
    (Promise, {}, BY_CREATE_TIME),
    (Promise, {"customer": {"$in": ["customers/3", "customers/4"]}}, BY_CREATE_TIME),
    (Promise, {"state": "STATE_OPEN"}, BY_CREATE_TIME),
    (Promise, {"subject": "tickets/3"}, BY_CREATE_TIME),
    (Promise, {"$and": [{"owner": "o3"}, {"state": "STATE_KEPT"}]}, BY_CREATE_TIME),
    (Promise, {}, BY_DUE_TIME),
    (Promise, {"customer": {"$in": ["customers/3", "customers/4"]}}, BY_DUE_TIME),
    (Promise, {"$and": [{"owner": "o3"}, {"state": "STATE_KEPT"}]}, BY_DUE_TIME),
    (Promise, {"state": "STATE_OPEN"}, BY_DUE_TIME),
]


@pytest.mark.parametrize(("document", "filter", "order"), LISTS)
def test_lists(document, filter, order) -> None:
    whole = whole_tenant() if not filter and order == BY_CREATE_TIME else {}
    wanted = document.read_filter({**whole, **filter}, deleted=False)
    stats = assert_indexed(document, wanted, order, limit=8, max_keys=20)
    assert stats["nReturned"]
    assert stats["totalDocsExamined"] <= 12


@pytest.mark.parametrize("document", [SalesRep, Pipeline])
def test_lists_by_creation(document) -> None:
    order = [("create_time", 1), ("_id", 1)]
    assert_indexed(document, document.read_filter({}, deleted=False), order, limit=11, max_keys=12)


@pytest.mark.parametrize(
    ("document", "also"),
    [(Account, {}), (Contact, {}), (Lead, {}), (Lead, {"state": "STATE_OPEN"}), (Opportunity, {}), (Promise, {}),
     (Opportunity, {"owner": "o3"})],
)  # fmt: skip
def test_what_was_created_lately_is_found_without_looking_at_the_rest(document, also) -> None:
    wanted = document.read_filter({"create_time": {"$gte": LATELY}, **also}, deleted=False)
    assert_indexed(document, wanted, BY_CREATE_TIME, limit=8, max_keys=2)


def test_orders_by_their_numbers() -> None:
    stats = assert_indexed(Order, {"source": "shop3", "order_number": {"$in": ["n3", "n7", "nowhere"]}}, max_keys=7)
    assert stats["nReturned"] == 2


def test_what_is_looked_up_inside_commands() -> None:
    assert_indexed(Opportunity, {"pipeline": "p1", "stage": "s1", "state": "STATE_OPEN"}, limit=1, max_keys=1)
    assert_indexed(Lead, {"waiting": True}, limit=1, max_keys=1)
    assert_indexed(SalesRep, {"purged": None, **whole_tenant()}, max_keys=MANY + 1)


def test_what_erasure_looks_up() -> None:
    named = {"customer": {"$in": ["customers/3", "customers/4"]}}
    for document in (Contact, Promise, Lead, Order):
        assert_indexed(document, named, max_keys=22)
    assert_indexed(Lead, {**named, "state": "STATE_OPEN"}, max_keys=22)
    for document in (Contact, Lead):
        assert_indexed(document, {"customer": None, "email": {"$in": ["3@example.com"]}}, max_keys=12)
    assert_indexed(Opportunity, {"$or": [named, {"contact": {"$in": ["contacts/3"]}}]}, max_keys=35)
    assert_indexed(Account, {"person": {"$in": ["customers/3"]}}, max_keys=12)


def test_sums_are_read_from_the_index_alone() -> None:
    interval = {"$gte": NOW + timedelta(hours=100)}
    assert sum(row["revenue"] for row in orders.sums(interval, "")) == sum(range(100, MANY))
    matched, *rest = orders.sums_pipeline(interval, "")
    pipeline = [{"$match": Order.rows().scoped(matched["$match"])}, *rest]
    command = {"aggregate": "orders", "pipeline": pipeline, "cursor": {}, "hint": orders.SUMMARY_INDEX}
    explained = database().command("explain", command, verbosity="executionStats")
    stats = (explained["stages"][0]["$cursor"] if "stages" in explained else explained)["executionStats"]
    assert stats["totalDocsExamined"] == 0
    assert stats["totalKeysExamined"] <= MANY - 100 + 1
