"""The people that documents name."""

from chassis import inputs as fields
from chassis.errors import FailedPrecondition
from eventing import tombstones


def customer(name: str, field: str) -> str:
    """The name of a customer who may be written about, or nothing.

    Raises InvalidArgument INVALID_CUSTOMER, FailedPrecondition CUSTOMER_ERASED.
    """
    if name:
        require_not_erased(fields.customer(name, field))
    return name


def require_not_erased(name: str) -> None:
    """Raises FailedPrecondition CUSTOMER_ERASED when the customer (resource name) was erased."""
    if tombstones.erased([name]):
        raise FailedPrecondition(
            "CUSTOMER_ERASED",
            "The customer was erased on request; nothing may be written about them any more.",
            preconditions=[("CUSTOMER_ERASED", name, "Must not have been erased.")],
        )
