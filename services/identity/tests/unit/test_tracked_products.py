"""Which products are told of an event."""

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from rapport.identity.v1.events_pb2 import TrackedEvent
from rapport.identity.v1.tracking_event_pb2 import TrackingEvent

from identity import messages, tracked_products


def told(event: str = "Order Completed", of: str = "EUR", **properties) -> TrackedEvent:
    tracked = TrackedEvent(event=event)
    assert event in tracked_products.EVENTS
    given = TrackingEvent(message_id="m", kind="KIND_TRACK", user_id="u", event=event, properties=properties)
    tracked_products.tell(messages.plain(given.properties), of, tracked)
    return tracked


def lines(tracked: TrackedEvent) -> list[dict]:
    return [MessageToDict(product) for product in tracked.products]


def test_an_order_tells_its_products_with_quantity_and_price() -> None:
    found = told(
        products=[
            {"product_id": "p1", "sku": "other", "quantity": 2, "price": 12.345, "name": "Not told"},
            {"sku": " 7 ", "quantity": "1.5", "price": "3"},
            {"product_id": 42},
        ]
    )
    assert lines(found) == [
        {"productId": "p1", "quantity": 2.0, "price": {"currencyCode": "EUR", "units": "12", "nanos": 340_000_000}},
        {"productId": "7", "quantity": 1.5, "price": {"currencyCode": "EUR", "units": "3"}},
        {"productId": "42", "quantity": 1.0},
    ]
    assert found.left_out_product_count == 0


@pytest.mark.parametrize(
    "product",
    [
        *({}, "p1", None, 3, ["p1"], {"product_id": ""}, {"product_id": "x" * 129}, {"product_id": 1.5}),
        *({"product_id": {"id": "p1"}}, {"product_id": "a\0b"}, {"product_id": 1e300}, {"name": "Only a name"}),
        *({"product_id": "p1", "quantity": quantity} for quantity in (0, -1, "two", True, [1], 1e12)),
    ],
)
def test_what_cannot_be_read_is_left_out_and_counted(product) -> None:
    found = told(products=[{"product_id": "good"}, product])
    assert [line["productId"] for line in lines(found)] == ["good"]
    assert found.left_out_product_count == 1


def test_products_past_the_first_hundred_are_counted() -> None:
    found = told(products=[{"product_id": f"p{number}"} for number in range(130)])
    assert [line["productId"] for line in lines(found)] == [f"p{number}" for number in range(100)]
    assert found.left_out_product_count == 30


@pytest.mark.parametrize(
    ("amount_currency", "properties", "currency"),
    [
        ("EUR", {"currency": "usd"}, "EUR"),
        ("", {"currency": "usd"}, "USD"),
        ("", {"currency": "?"}, None),
        ("", {}, None),
    ],
)
def test_a_price_needs_a_currency(amount_currency, properties, currency) -> None:
    found = told("Product Viewed", of=amount_currency, product_id="p1", price=2, **properties)
    (line,) = found.products
    assert (line.price.currency_code if line.HasField("price") else None) == currency


@pytest.mark.parametrize("price", [-1, "free", True, 1e300, None])
def test_a_price_that_is_none_costs_no_line(price) -> None:
    found = told(products=[{"product_id": "p1", "price": price}])
    assert lines(found) == [{"productId": "p1", "quantity": 1.0}]


def test_events_about_one_product_tell_it_and_others_nothing() -> None:
    assert lines(told("Product Added", sku="s1", quantity=3)) == [{"productId": "s1", "quantity": 3.0}]
    assert lines(told("Product Viewed", url="/somewhere")) == []
    assert told("Product Viewed", url="/somewhere").left_out_product_count == 0
    for nothing in (None, [], {}, "p1", 3):
        assert told(products=nothing) == TrackedEvent(event="Order Completed")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["product_id", "sku", "quantity", "price", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(json_values, st.sampled_from(["EUR", "JPY", ""]))
def test_whatever_is_sent_every_product_is_told_or_counted(products, currency) -> None:
    found = told(of=currency, products=products)
    count = len(products) if isinstance(products, list) else 0
    assert len(found.products) + found.left_out_product_count == count
    assert all(line.product_id and line.quantity > 0 for line in found.products)
