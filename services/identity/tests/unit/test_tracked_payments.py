"""What is told of how a payment was made, and where to."""

import pytest
from rapport.identity.v1.events_pb2 import TrackedEvent
from rapport.identity.v1.tracking_event_pb2 import TrackingEvent

from chassis import keys, tenancy
from identity import tracked_payments
from identity.settings import IdentitySettings
from testkit.keys import TEST_KEYRING


@pytest.fixture(scope="module", autouse=True)
def keyring() -> None:
    keys.configure(IdentitySettings(keys=TEST_KEYRING))


def told(tenant: str = "t1", event: str = "Payment Attempted", **properties) -> tuple[str, str]:
    tracked = TrackedEvent(event=event)
    given = TrackingEvent(message_id="m", kind="KIND_TRACK", user_id="u", event=event, properties=properties)
    with tenancy.service_context(tenant):
        tracked_payments.tell(given, tracked)
    return tracked.payment_method_fingerprint, tracked.address_fingerprint


def test_equal_ids_of_a_tenant_are_told_alike_and_no_id_is_told() -> None:
    card, address = told(payment_method_id="pm-4711", address_id=4711)
    assert (card, address) == told(payment_method_id="pm-4711", address_id="4711")
    assert len({card, address, *told(payment_method_id="4711", address_id="pm-4711")}) == 4
    assert {len(card), len(address)} == {32}
    assert "4711" not in card + address
    assert told("t2", payment_method_id="pm-4711", address_id=4711) != (card, address)


def test_what_is_no_id_or_no_payment_is_told_as_none() -> None:
    assert told() == told(payment_method_id=None, address_id=[1]) == told(payment_method_id="", address_id=1.5)
    assert told() == ("", "")
    assert told(event="Order Completed", payment_method_id="pm-1", address_id="a") == ("", "")
