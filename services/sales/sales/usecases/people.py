"""The people that documents name."""

from chassis import inputs as fields
from eventing import erasing


def customer(name: str, field: str) -> str:
    """The name of a customer who may be written about, or nothing.

    Raises InvalidArgument INVALID_CUSTOMER, FailedPrecondition CUSTOMER_ERASED.
    """
    if name:
        erasing.require_not_erased(fields.customer(name, field))
    return name
