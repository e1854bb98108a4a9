"""Customers, as far as tickets know them."""

from chassis.errors import FailedPrecondition
from eventing import tombstones


def refuse_erased(customer: str | None) -> None:
    """Raises FailedPrecondition CUSTOMER_ERASED when the customer (resource name) has been erased."""
    if customer and tombstones.erased([customer]):
        raise FailedPrecondition(
            "CUSTOMER_ERASED",
            "The customer has been erased: nothing is kept of them any more.",
            metadata={"resource": customer},
        )
