"""The rules of incoming events."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapport.identity.v1.tracking_event_pb2 import TrackingEvent

from identity import intake, messages
from identity.domain.identifiers import BlockList
from identity.intake import Amount

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def event(**fields):
    return TrackingEvent(
        **({"message_id": "m", "kind": "KIND_TRACK", "user_id": "u", "event": "Order Completed"} | fields)
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
properties = st.dictionaries(
    st.sampled_from(["revenue", "total", "currency", "order_id", "x"]), json_values, max_size=4
)


@given(properties)
def test_what_is_accepted_can_be_applied(values):
    one = event(properties=values)
    refused = intake.refusal(one, NOW, BlockList())
    if refused is None:
        found = intake.amount(one, "USD")
        assert found is None or isinstance(found.minor, int)
        intake.order_id(one)
    else:
        assert refused.reason in {"AMOUNT_INVALID", "UNKNOWN_CURRENCY", "VALUE_UNSTORABLE"}
        assert refused.description
    json.loads(intake.body(one))


@given(st.text(max_size=20).filter(lambda text: len(text) > 3))
def test_a_refusal_never_quotes_the_value(value):
    refused = intake.refusal(event(properties={"revenue": value + "!", "currency": value}), NOW, BlockList())
    assert refused is None or value not in refused.description


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"revenue": 12.345, "currency": "EUR"}, Amount("EUR", 1234)),
        ({"revenue": "12.355", "currency": "eur"}, Amount("EUR", 1236)),
        ({"total": 7, "currency": "JPY"}, Amount("JPY", 7)),
        ({"revenue": None, "total": 7}, Amount("USD", 700)),
        ({"revenue": 1, "total": 7}, Amount("USD", 100)),
        ({"revenue": 0}, Amount("USD", 0)),
        ({"currency": "EUR"}, None),
    ],
)
def test_money_is_read_from_revenue_then_total(values, found):
    assert intake.amount(event(properties=values), "USD") == found
    assert intake.amount(event(event="Order Refunded", properties=values), "USD") == found
    assert intake.amount(event(event="Product Viewed", properties=values), "USD") is None


def test_money_of_a_payment_is_its_amount_else_as_of_an_order():
    def paid(**values):
        return event(event="Payment Attempted", properties=values)

    assert intake.amount(paid(amount="9.995", revenue=1, currency="eur"), "USD") == Amount("EUR", 1000)
    assert intake.amount(paid(total=7), "USD") == Amount("USD", 700)
    assert intake.amount(event(properties={"amount": 7}), "USD") is None
    refused = intake.refusal(paid(amount="much"), NOW, BlockList())
    assert (refused.reason, refused.field) == ("AMOUNT_INVALID", "properties.amount")


def test_the_size_limit_counts_json():
    fits, large = event(properties={"x": "y" * 32_000}), event(properties={"x": "y" * 33_000})
    escaped = event(properties={"x": "\x01" * 6_000})
    assert intake.refusal(fits, NOW, BlockList()) is None
    assert intake.refusal(large, NOW, BlockList()).reason == "EVENT_TOO_LARGE"
    assert intake.refusal(escaped, NOW, BlockList()).reason == "EVENT_TOO_LARGE"
    assert len(intake.body(large).encode()) <= intake.EVENT_BYTES_MAX


def test_cutting_never_splits_a_character():
    assert intake.cut("é" * intake.EVENT_BYTES_MAX).encode() == ("é" * (intake.EVENT_BYTES_MAX // 2)).encode()


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_structs_survive_the_store(values):
    assert messages.plain(messages.struct(values)) == values


def test_deep_nesting_is_refused():
    deep = []
    for _ in range(60):
        deep = [deep]
    assert intake.struct_problem(messages.struct({"x": deep})) is not None
    assert intake.struct_problem(messages.struct({"x": [[{"y": 1}]]})) is None
