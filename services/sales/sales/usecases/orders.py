"""Orders through the API: created, refunded, added up."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from rapport.sales.v1 import events_pb2, order_pb2

import docstore
from chassis import clock, money
from chassis import inputs as fields
from chassis.errors import FailedPrecondition
from docstore import aliases
from sales import inputs
from sales.store import Order, Refund, orders
from sales.usecases import people

_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_ALIASES_AT_ONCE = 10_000


@docstore.command(Order)
def create(message: order_pb2.Order) -> Order:
    """Creates an order. Raises AlreadyExists for a taken number, FailedPrecondition CUSTOMER_ERASED."""
    order = Order.new(source=orders.API, customer=people.customer(message.customer, "order.customer"))
    number = inputs.text(message.order_number, "order.order_number", inputs.ORDER_NUMBER_MAX)
    order.order_number = number.strip() or order.uid
    order.amount_minor, order.currency = inputs.amount(message.amount, "order.amount")
    order.order_time = inputs.instant(message.order_time) if message.HasField("order_time") else clock.now()
    order.emit(events_pb2.OrdersPlaced(orders=[order.public_state(1)]), [order.customer])
    return order.insert()


@docstore.command(Order)
def refund(uid: str, amount: Money | None, when: datetime | None, etag: str) -> Order:
    """Notes a refund, of all that is left without `amount`.

    Raises NotFound, Aborted, InvalidArgument CURRENCY_MISMATCH and the like, FailedPrecondition REFUND_TOO_LARGE,
    ORDER_REFUNDED.
    """
    order = Order.get(uid)
    minor, currency = inputs.amount(amount, "amount") if amount is not None else (None, None)
    if currency not in (None, order.currency):
        raise fields.refusal("CURRENCY_MISMATCH", "amount.currency_code", f"The order is in {order.currency}.")
    if minor == 0:
        raise fields.refusal("INVALID_AMOUNT", "amount", "More than nothing.")
    if not order.rest:
        raise FailedPrecondition(
            "ORDER_REFUNDED", f"Nothing is left of {order.name} to give back.", metadata={"resource": order.name}
        )
    if minor is not None and minor > order.rest:
        raise FailedPrecondition(
            "REFUND_TOO_LARGE",
            f"Only {order.rest} minor units of {order.currency} are left of {order.name}.",
            metadata={"resource": order.name, "rest_minor_units": str(order.rest), "currency_code": order.currency},
        )
    if len(order.refunds) >= orders.REFUNDS_MAX:
        raise FailedPrecondition(
            "TOO_MANY_REFUNDS", f"{order.name} has {orders.REFUNDS_MAX} refunds.", metadata={"resource": order.name}
        )
    order.refunds.append(Refund(asked=minor, currency=currency, share=0, time=when or clock.now()))
    order.settle()
    event = events_pb2.OrdersRefunded(orders=[order.public_state(order.version + 1)])
    order.emit(event, [order.customer] if order.customer else [])
    return order.save(etag or None)


def summarize(start: Timestamp | None, end: Timestamp | None, source: str) -> order_pb2.OrderSummary:
    """Adds up orders from `start` (inclusive) to `end` (exclusive). Raises InvalidArgument INVALID_INTERVAL."""
    interval = {"$gte": inputs.instant(start) if start is not None else _FIRST}
    if end is not None:
        interval["$lt"] = inputs.instant(end)
        if interval["$lt"] <= interval["$gte"]:
            raise fields.refusal("INVALID_INTERVAL", "end_time", "Must lie after start_time.")
    counts: Counter[str] = Counter()
    revenue: Counter[str] = Counter()
    refunded: Counter[str] = Counter()
    customers: set[str] = set()
    # Sums of sums in Python's integers, which have no end.
    for row in orders.sums(interval, source):
        currency = row["_id"]["currency"]
        counts[currency] += row["orders"]
        revenue[currency] += row["revenue"]
        refunded[currency] += row["refunded"]
        if row["_id"].get("customer"):
            customers.add(row["_id"]["customer"])
    return order_pb2.OrderSummary(
        order_count=counts.total(),
        customer_count=_profiles(customers),
        currencies=[
            order_pb2.CurrencySummary(
                order_count=counts[currency],
                revenue=money.from_minor(revenue[currency], currency),
                refunded=money.from_minor(refunded[currency], currency),
            )
            for currency in sorted(counts)
        ],
    )


def _profiles(customers: Iterable[str]) -> int:
    names = list(customers)
    canonical: set[str] = set()
    for first in range(0, len(names), _ALIASES_AT_ONCE):
        canonical.update(aliases.resolve(names[first : first + _ALIASES_AT_ONCE]).values())
    return len(canonical)
