"""Orders and refunds that sources tell as events: each once, whatever is repeated and in whatever order it comes.

A refund that is told before its order is kept as an order that is awaited, so that both orders of events meet at the
unique number; of two orders with one number the first one stands.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC

from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.sales.v1 import events_pb2

from chassis import money
from sales.store import Order, Refund, orders, tenants

logger = logging.getLogger(__name__)

COMPLETED, REFUNDED = "Order Completed", "Order Refunded"

Tracked = identity_events_pb2.TrackedEvent
_Key = tuple[str, str]
"""Source and order number."""


@dataclass
class _Taken:
    """Orders of one message on their way: what is stored, what is new, and what others are told."""

    orders: dict[_Key, Order]
    new: list[Order] = field(default_factory=list)
    placed: dict[_Key, Order] = field(default_factory=dict)
    refunded: dict[_Key, Order] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def take(events: Iterable[Tracked]) -> None:
    """Takes over the orders and refunds among events, in the caller's transaction."""
    told = [event for event in events if event.event in (COMPLETED, REFUNDED)]
    completed = [event for event in told if event.event == COMPLETED]
    refunds = [event for event in told if event.event == REFUNDED and event.order_id]
    if not completed and not refunds:
        return
    taken = _Taken(_stored([*completed, *refunds]))
    taken.left_out["refunds without order_id"] = len(told) - len(completed) - len(refunds)
    default = tenants.currency()
    for event in completed:
        _place(taken, event, default)
    for event in refunds:
        _refund(taken, event)
    for key in taken.placed.keys() | taken.refunded.keys():
        taken.left_out["refunds in another currency"] += taken.orders[key].settle()
    Order.insert_many(taken.new)
    new = {order.uid for order in taken.new}
    Order.save_many(order for order in taken.orders.values() if order.uid not in new)
    _tell(taken)
    if left_out := +taken.left_out:
        logger.warning("left out of orders: %s", ", ".join(f"{count} {what}" for what, count in left_out.items()))


def _key(event: Tracked) -> _Key:
    return event.source, event.order_id or event.message_id


def _stored(events: Sequence[Tracked]) -> dict[_Key, Order]:
    numbers: dict[str, set[str]] = defaultdict(set)
    for source, number in map(_key, events):
        numbers[source].add(number)
    return orders.by_number(numbers)


def _place(taken: _Taken, event: Tracked, default_currency: str) -> None:
    key = _key(event)
    currency, minor = default_currency, 0
    if event.HasField("amount"):
        currency, minor = event.amount.currency_code, money.to_minor(event.amount)
    order = taken.orders.get(key)
    if order is None:
        order = _new(taken, key)
    elif not order.awaited:
        if (order.amount_minor, order.currency) != (minor, currency):
            taken.left_out["repeats with another amount"] += 1
        return
    order.customer, order.message_id = event.customer, event.message_id
    order.amount_minor, order.currency = minor, currency
    order.order_time = event.event_time.ToDatetime(UTC)
    order.tracked, order.awaited = True, None
    taken.placed[key] = order
    if order.refunds:
        taken.refunded[key] = order


def _refund(taken: _Taken, event: Tracked) -> None:
    key = _key(event)
    order = taken.orders.get(key)
    if order is None:
        order = _new(taken, key)
        order.customer, order.awaited = event.customer, True
    if any(refund.key == event.message_id for refund in order.refunds):
        return
    if len(order.refunds) >= orders.REFUNDS_MAX:
        taken.left_out["refunds past the most one order takes"] += 1
        return
    asked, currency = None, None
    if event.HasField("amount"):
        # Some sources tell what they give back as a negative amount.
        asked, currency = abs(money.to_minor(event.amount)), event.amount.currency_code
    when = event.event_time.ToDatetime(UTC)
    order.refunds.append(Refund(key=event.message_id, asked=asked, currency=currency, share=0, time=when))
    if not order.awaited:
        taken.refunded[key] = order


def _new(taken: _Taken, key: _Key) -> Order:
    source, number = key
    order = Order.new(source=source, order_number=number)
    taken.orders[key] = order
    taken.new.append(order)
    return order


def _tell(taken: _Taken) -> None:
    """One message for all orders and one for all refunds, in a document of their own: order by order is many."""
    if not taken.placed and not taken.refunded:
        return
    change = orders.change()
    for event, told in (
        (events_pb2.OrdersPlaced, taken.placed),
        (events_pb2.OrdersRefunded, taken.refunded),
    ):
        if told:
            states = [order.public_state(order.version) for order in told.values()]
            change.emit(event(orders=states), {order.customer for order in told.values() if order.customer})
    change.insert()
