"""Orders of all sources: each once, refunds never lost, sums exact to the cent."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rapport.sales.v1 import events_pb2, order_pb2

from sales.domain import refunds as rules
from sales.store import Order, OrderChange

SERVICE = "sales"
State = order_pb2.Order.State


def euros(minor: int) -> dict:
    return {"currency_code": "EUR", "units": minor // 100, "nanos": minor % 100 * 10_000_000}


def minor(money) -> int:
    return money.units * 100 + money.nanos // 10_000_000


def totals(client, **interval) -> dict[str, tuple[int, int, int]]:
    """Currency -> (orders, revenue, refunded) in minor units."""
    found = client.SummarizeOrders(**interval).currencies
    return {each.revenue.currency_code: (each.order_count, minor(each.revenue), minor(each.refunded)) for each in found}


def announced(client) -> list:
    """The events of tracked orders that wait to be published, in order, with their datasubjects."""
    kinds = {kind.DESCRIPTOR.full_name: kind for kind in (events_pb2.OrdersPlaced, events_pb2.OrdersRefunded)}
    with client.context():
        rows = list(OrderChange.rows().find({}, sort=[("_id", 1)]))
    return [
        (kinds[each["type"]].FromString(each["body"]), each["datasubjects"]) for row in rows for each in row["outbox"]
    ]


def test_an_order_is_created_and_told(client, refused) -> None:
    person = client.customer()
    made = client.CreateOrder(
        order={"customer": person, "order_number": "A-1", "amount": euros(1999), "order_time": {"seconds": 1000}}
    )
    assert (made.source, made.order_number, made.state, minor(made.amount), minor(made.refunded_amount)) == (
        "api", "A-1", State.STATE_PLACED, 1999, 0,
    )  # fmt: skip
    with client.context():
        row = Order.rows().find_one({"uid": made.uid})
    (event,) = row["outbox"]
    (told,) = events_pb2.OrdersPlaced.FromString(event["body"]).orders
    assert (told.order, told.customer, told.source, told.amount, told.revision, told.tracked) == (
        made.name, person, "api", made.amount, 1, False,
    )  # fmt: skip
    assert event["datasubjects"] == [person]
    with refused("ALREADY_EXISTS", grpc.StatusCode.ALREADY_EXISTS) as error:
        client.CreateOrder(order={"customer": person, "order_number": "A-1", "amount": euros(5)})
    assert error.metadata["fields"] == "source,order_number"
    unnumbered = client.CreateOrder(order={"customer": person, "amount": euros(0)})
    assert unnumbered.order_number == unnumbered.uid
    assert [each.name for each in client.ListOrders().orders] == [unnumbered.name, made.name]


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        ({"currency_code": "EURO", "units": 1}, "CURRENCY_UNKNOWN"),
        ({"currency_code": "", "units": 1}, "CURRENCY_UNKNOWN"),
        ({"currency_code": "JPY", "units": 1, "nanos": 500_000_000}, "MONEY_TOO_PRECISE"),
        ({"currency_code": "EUR", "units": 1, "nanos": -10_000_000}, "MONEY_MALFORMED"),
        ({"currency_code": "EUR", "units": -1}, "INVALID_AMOUNT"),
        ({"currency_code": "EUR", "units": 10**14}, "INVALID_AMOUNT"),
        ({"currency_code": "EUR", "units": 2**62}, "MONEY_OUT_OF_RANGE"),
    ],
)
def test_an_amount_that_is_none_is_refused(client, refused, amount, reason) -> None:
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT):
        client.CreateOrder(order={"customer": client.customer(), "amount": amount})


def test_refunds_stay_within_the_order(client, refused) -> None:
    person = client.customer()
    made = client.CreateOrder(order={"customer": person, "amount": euros(1000)})
    part = client.RefundOrder(name=made.name, amount=euros(300), refund_time={"seconds": 2000}, etag=made.etag)
    assert (part.state, minor(part.refunded_amount)) == (State.STATE_PARTLY_REFUNDED, 300)
    with refused("REFUND_TOO_LARGE", grpc.StatusCode.FAILED_PRECONDITION) as error:
        client.RefundOrder(name=made.name, amount=euros(701))
    assert (error.metadata["rest_minor_units"], error.metadata["currency_code"]) == ("700", "EUR")
    with refused("CURRENCY_MISMATCH", grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.RefundOrder(name=made.name, amount={"currency_code": "USD", "units": 1})
    assert "EUR" in error.violations["amount.currency_code"]
    for amount, reason in (({"currency_code": "EURO"}, "CURRENCY_UNKNOWN"), (euros(0), "INVALID_AMOUNT")):
        with refused(reason, grpc.StatusCode.INVALID_ARGUMENT):
            client.RefundOrder(name=made.name, amount=amount)
    whole = client.RefundOrder(name=made.name)
    assert (whole.state, [minor(each.amount) for each in whole.refunds]) == (State.STATE_REFUNDED, [300, 700])
    with refused("ORDER_REFUNDED", grpc.StatusCode.FAILED_PRECONDITION):
        client.RefundOrder(name=made.name)
    with client.context():
        outbox = Order.rows().find_one({"uid": made.uid})["outbox"]
    told = [events_pb2.OrdersRefunded.FromString(each["body"]).orders[0] for each in outbox[1:]]
    assert [(minor(each.refunded_amount), each.revision) for each in told] == [(300, 2), (1000, 3)]
    assert totals(client) == {"EUR": (1, 1000, 1000)}


def test_refunds_at_the_same_time_never_give_back_too_much(client) -> None:
    made = client.CreateOrder(order={"customer": client.customer(), "amount": euros(1000)})

    def refund(_: int) -> str:
        try:
            client.RefundOrder(name=made.name, amount=euros(300))
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with ThreadPoolExecutor(6) as pool:
        answers = Counter(pool.map(refund, range(8)))
    assert minor(client.GetOrder(name=made.name).refunded_amount) == 300 * answers["OK"]
    assert 1 <= answers["OK"] <= 3
    assert set(answers) <= {"OK", "FAILED_PRECONDITION", "ABORTED"}


def test_tracked_orders_become_orders_and_one_message_tells_of_all(client) -> None:
    ann, ben = client.customer(), client.customer()
    client.track(
        client.bought(ann, 1050, "1"),
        client.bought(ben, 2000, "2"),
        client.bought(ben, 999, "") | {"event": "Product Viewed"},
        client.bought(ann, 500),
        client.bought(ann, 500),
    )
    found = client.ListOrders(filter='source = "shop"').orders
    assert sorted(minor(each.amount) for each in found) == [500, 500, 1050, 2000]
    assert len({each.order_number for each in found}) == 4
    ((placed, subjects),) = announced(client)
    assert sorted(minor(each.amount) for each in placed.orders) == [500, 500, 1050, 2000]
    assert set(subjects) == {ann, ben}
    assert all(each.tracked and each.revision == 1 for each in placed.orders)
    assert totals(client) == {"EUR": (4, 4050, 0)}
    assert client.SummarizeOrders().customer_count == 2


def test_of_two_orders_with_one_number_the_first_stands(client) -> None:
    ann = client.customer()
    event = client.bought(ann, 1000, "1")
    client.track(event, client.bought(ann, 1200, "1"))
    client.track(client.bought(ann, 1300, "1"))
    client.track(event)
    client.track(event | {"source": "app"})
    assert sorted((each.source, minor(each.amount)) for each in client.ListOrders().orders) == [
        ("app", 1000), ("shop", 1000),
    ]  # fmt: skip
    assert [len(told.orders) for told, _ in announced(client)] == [1, 1]


def test_an_order_without_an_amount_is_worth_nothing_in_the_tenants_currency(client) -> None:
    client.settle_in("JPY")
    client.track(client.bought(client.customer(), None, "1"))
    (order,) = client.ListOrders().orders
    assert (order.amount.currency_code, order.amount.units) == ("JPY", 0)


def test_a_tracked_refund_is_of_its_amount_or_of_all(client) -> None:
    ann = client.customer()
    client.track(client.bought(ann, 1000, "1"), client.bought(ann, 1000, "2"), client.bought(ann, 1000, "3"))
    part = client.returned(ann, 300, "1")
    client.track(part, client.returned(ann, None, "2"), client.returned(ann, -250, "3"), client.returned(ann, 9, ""))
    client.track(part)
    client.track(client.returned(ann, 5000, "3"), client.returned(ann, 1, "3") | {"amount": {"currency_code": "USD"}})
    found = {each.order_number: each for each in client.ListOrders().orders}
    assert {number: minor(each.refunded_amount) for number, each in found.items()} == {"1": 300, "2": 1000, "3": 1000}
    assert [found[number].state for number in "123"] == [
        State.STATE_PARTLY_REFUNDED, State.STATE_REFUNDED, State.STATE_REFUNDED,
    ]  # fmt: skip
    kinds = [(type(told).__name__, len(told.orders)) for told, _ in announced(client)]
    assert kinds == [("OrdersPlaced", 3), ("OrdersRefunded", 3), ("OrdersRefunded", 1)]


def test_a_refund_that_comes_before_its_order_is_not_lost_and_nobody_sees_it_until_then(client, refused) -> None:
    ann = client.customer()
    client.track(client.returned(ann, 300, "1"), client.returned(ann, None, "2"))
    with client.context():
        rows = list(Order.rows().find({}))
    assert len(rows) == 2
    assert list(client.ListOrders().orders) == []
    assert totals(client) == {}
    assert announced(client) == []
    with refused("NOT_FOUND"):
        client.GetOrder(name=f"orders/{rows[0]['uid']}")
    client.track(client.bought(ann, 1000, "1"), client.bought(ann, 700, "2"))
    assert totals(client) == {"EUR": (2, 1700, 1000)}
    (placed, _), (refunded, _) = announced(client)
    assert sorted(minor(each.refunded_amount) for each in placed.orders) == [300, 700]
    assert [MessageToDict(each) for each in refunded.orders] == [MessageToDict(each) for each in placed.orders]


def test_an_interval_a_source_and_merged_profiles_are_added_up(client, refused) -> None:
    ann, alias, ben = (client.customer() for _ in range(3))
    may, june = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    client.track(
        client.bought(ann, 100, "1", event_time=may),
        client.bought(alias, 200, "2", event_time=june, source="app"),
        client.bought(ben, 400, "3", event_time=june),
        client.bought(ben, 7, "4", event_time=june, amount={"currency_code": "JPY", "units": 7}),
    )
    assert client.SummarizeOrders().customer_count == 3
    client.merge(alias, ann)
    assert client.SummarizeOrders().customer_count == 2
    assert {each.order_number for each in client.ListOrders(filter=f'customer = "{alias}"').orders} == {"1", "2"}
    assert totals(client, end_time=june) == {"EUR": (1, 100, 0)}
    assert totals(client, start_time=june, source="app") == {"EUR": (1, 200, 0)}
    found = client.SummarizeOrders(start_time=june)
    assert [(each.revenue.currency_code, each.revenue.units) for each in found.currencies] == [("EUR", 6), ("JPY", 7)]
    with refused("INVALID_INTERVAL"):
        client.SummarizeOrders(start_time=june, end_time=may)


ORDERS = st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), min_size=1, max_size=6)
REFUNDS = st.lists(st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 3_000))), max_size=8)


@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders=ORDERS, refunds=REFUNDS, chance=st.randoms(use_true_random=False))
def test_however_events_are_shuffled_cut_and_repeated_the_sums_are_exact(client_of, orders, refunds, chance) -> None:
    client = client_of()
    person = client.customer()
    told = [client.bought(person, amount, str(n) if named else "") for n, (amount, named) in enumerate(orders)]
    refunded = {n: [] for n in range(7)}
    for number, amount in refunds:
        told.append(client.returned(person, amount, str(number)))
        refunded[number].append(rules.Asked(amount, "EUR" if amount is not None else None))
    told += chance.sample(told, len(told) // 2)
    chance.shuffle(told)
    while told:
        cut = chance.randrange(1, len(told) + 1)
        client.track(*told[:cut])
        told = told[cut:]
    back = [sum(rules.shares(amount, "EUR", refunded[n])) if named else 0 for n, (amount, named) in enumerate(orders)]
    assert totals(client) == {"EUR": (len(orders), sum(amount for amount, _ in orders), sum(back))}
    by_number = {each.order_number: each for each in client.ListOrders().orders}
    for n, (amount, named) in enumerate(orders):
        if named:
            order = by_number[str(n)]
            assert (minor(order.amount), minor(order.refunded_amount)) == (amount, back[n])
            assert sum(minor(each.amount) for each in order.refunds) == back[n]


def test_workers_that_handle_the_same_orders_at_the_same_time_keep_each_once(client) -> None:
    """Orders and their refunds in different messages, several told twice, by six workers at once."""
    chance = random.Random(3)
    people = [client.customer() for _ in range(10)]
    bought = [client.bought(chance.choice(people), 100 + n, str(n)) for n in range(60)]
    back = [client.returned(each["customer"], 10, each["order_id"]) for each in bought]
    messages = [bought[n : n + 20] for n in range(0, 60, 20)] + [back[n : n + 20] for n in range(0, 60, 20)]
    messages += [chance.sample(bought, 30), chance.sample(back, 30)]
    chance.shuffle(messages)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda events: client.track(*events), messages))
    assert totals(client) == {"EUR": (60, sum(range(100, 160)), 600)}
    placed = [each.order for told, _ in announced(client) if isinstance(told, events_pb2.OrdersPlaced)
              for each in told.orders]  # fmt: skip
    assert len(placed) == len(set(placed)) == 60


def test_500_orders_in_one_message_are_taken_at_once(client, record_property) -> None:
    people = [client.customer() for _ in range(200)]
    for round_ in range(2):
        events = [client.bought(people[n % 200], n, f"{round_}-{n}") for n in range(500)]
        started = time.monotonic()
        client.track(*events)
        took = time.monotonic() - started
    record_property("seconds for 500 orders", round(took, 3))
    assert took < 5
    started = time.monotonic()
    assert totals(client) == {"EUR": (1000, 2 * sum(range(500)), 0)}
    record_property("seconds to add up 1000", round(time.monotonic() - started, 3))
