"""By what a payment was made, and where to: told to other services as keyed fingerprints, never as the ids."""

from rapport.identity.v1.events_pb2 import TrackedEvent
from rapport.identity.v1.tracking_event_pb2 import TrackingEvent

from chassis import keys, tenancy
from identity.intake import PAYMENT_ATTEMPTED, shop_id

_LENGTH = 32
"""Hexadecimal digits: 128 bits."""
_PAYMENT_METHOD, _ADDRESS = "payment_method_id", "address_id"


def tell(event: TrackingEvent, tracked: TrackedEvent) -> None:
    """Puts the fingerprints of a `Payment Attempted` into what is told of it; nothing into any other event."""
    if event.event != PAYMENT_ATTEMPTED:
        return
    tracked.payment_method_fingerprint = _fingerprint(event, _PAYMENT_METHOD)
    tracked.address_fingerprint = _fingerprint(event, _ADDRESS)


def _fingerprint(event: TrackingEvent, name: str) -> str:
    """Empty where the property is none; of the current tenant, so that equal ids of two tenants do not meet."""
    found = shop_id(event, name)
    return keys.keyring().fingerprint(name, f"{tenancy.tenant()}\x1f{found}")[:_LENGTH] if found else ""
