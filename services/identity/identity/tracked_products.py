"""Which products an event is about, by Segment's commerce specification; told to other services.

An order whose amount is right is never refused for a product that cannot be read: that one is left out and counted.
"""

from collections.abc import Mapping
from typing import Any

from rapport.identity.v1.events_pb2 import TrackedEvent

from chassis import money
from identity.intake import ORDER_EVENTS, decimal, minor_units

MOST = 100
ID_MAX = 128
QUANTITY_MAX = 10**9
_IDS = ("product_id", "sku")
_OF_ONE = frozenset(
    {"Product Viewed", "Product Clicked", "Product Added", "Product Removed", "Product Added to Wishlist"}
)
EVENTS = ORDER_EVENTS | _OF_ONE
"""Track calls that may name products: orders and refunds a list, the others one."""


def tell(properties: Mapping[str, Any], currency: str, tracked: TrackedEvent) -> None:
    """Puts the products of one of EVENTS into what is told of it.

    currency: that of the event's amount, empty where it has none; then `properties.currency` holds. A price without a
    currency is left out.
    """
    found = properties.get("products") if tracked.event in ORDER_EVENTS else _one(properties)
    if not isinstance(found, list) or not found:
        return
    currency = currency or _currency(properties.get("currency"))
    for values in found[:MOST]:
        uid, quantity = (_id(values), _quantity(values.get("quantity"))) if isinstance(values, dict) else ("", None)
        if not uid or quantity is None:
            continue
        product = tracked.products.add(product_id=uid, quantity=quantity)
        price = decimal(values.get("price")) if currency else None
        if price is not None and price >= 0:
            product.price.CopyFrom(money.from_minor(minor_units(price, currency), currency))
    tracked.left_out_product_count = len(found) - len(tracked.products)


def _one(properties: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [properties] if any(properties.get(name) is not None for name in _IDS) else []


def _currency(named: Any) -> str:
    """Empty when there is none, or none that is known."""
    code = named.strip().upper() if isinstance(named, str) else ""
    return code if money.digits(code) is not None else ""


def _id(values: Mapping[str, Any]) -> str:
    """Empty when there is none, or none that can be kept."""
    for name in _IDS:
        value = values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        text = value.strip() if isinstance(value, str) else ""
        if text and len(text) <= ID_MAX and "\0" not in text:
            return text
    return ""


def _quantity(value: Any) -> float | None:
    if value is None:
        return 1.0
    number = decimal(value)
    return float(number) if number is not None and 0 < number <= QUANTITY_MAX else None
