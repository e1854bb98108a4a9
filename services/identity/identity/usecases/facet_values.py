"""The values that rows of the agent view have in common, whatever they are about."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from chassis import money
from docstore.documents import whole_milliseconds
from eventing.envelope import Envelope


def row(customer: str, envelope: Envelope, when: Timestamp | None = None) -> dict[str, Any]:
    """What every row has; `when` it is listed by, else the event's time."""
    told = whole_milliseconds(envelope.time)
    return {"customer": uid(customer), "time": instant(when) if when else told, "told": told}


def instant(stamp: Timestamp | None, envelope: Envelope | None = None) -> datetime:
    """The instant, the event's own for None."""
    if stamp is None:
        assert envelope
        return whole_milliseconds(envelope.time)
    return whole_milliseconds(stamp.ToDatetime(UTC))


def amount(worth: Money | None) -> dict[str, Any]:
    """What totals add up, each field empty for None."""
    if worth is None:
        return {"currency_code": None, "amount_minor": None}
    return {"currency_code": worth.currency_code, "amount_minor": money.to_minor(worth)}


def strings(message: Any, *fields: str) -> dict[str, str]:
    """Fields of a message, by their names."""
    return {field: getattr(message, field) for field in fields}


def uid(name: str) -> str:
    """The last part of a resource name."""
    return name.rpartition("/")[2]
