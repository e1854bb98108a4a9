"""The rules an incoming event must keep; one that breaks them is quarantined by itself."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, NamedTuple

from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.identity.v1.tracking_event_pb2 import TrackingEvent

from chassis import money
from identity import messages
from identity.domain.identifiers import BlockList, Kind

EVENTS_MAX = 500
EVENT_BYTES_MAX = 32 * 1024
MESSAGE_ID_MAX = 128
ID_MAX = 256
FUTURE_MAX = timedelta(hours=24)
OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
DEPTH_MAX = 50
"""Levels of nesting; MongoDB allows 100 with what is around."""
AMOUNT_MAX = Decimal(10) ** 12
ORDER_EVENTS = frozenset({"Order Completed", "Order Refunded"})
PAYMENT_ATTEMPTED = "Payment Attempted"
_AMOUNTS = dict.fromkeys(ORDER_EVENTS, ("revenue", "total")) | {PAYMENT_ATTEMPTED: ("amount", "revenue", "total")}
"""Events that carry money, and the properties that tell it: the first that is there."""
SOURCE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

# A character can take six bytes of JSON where it takes one of protobuf (a control character, say); numbers less.
_SURELY_SMALL = EVENT_BYTES_MAX // 6
_KINDS = frozenset(TrackingEvent.Kind.values()) - {TrackingEvent.KIND_UNSPECIFIED}
_NAMED = (TrackingEvent.KIND_TRACK,)


class Refusal(NamedTuple):
    """Why an event is quarantined. `description` says how to mend it and holds no value of the event."""

    reason: str
    field: str
    description: str


@dataclass(frozen=True)
class Amount:
    """Money in an event."""

    currency_code: str
    minor: int


def refusal(event: TrackingEvent, now: datetime, block_list: BlockList) -> Refusal | None:
    """Why the event cannot be taken, or None."""
    return (
        _size(event)
        or _message_id(event)
        or _kind(event)
        or _ids(event, block_list)
        or _time(event, now)
        or _structs(event)
        or _money(event)
    )


def body(event: TrackingEvent) -> str:
    """The event as it came, JSON, at most EVENT_BYTES_MAX bytes of it."""
    return cut(_json(event))


def cut(text: str) -> str:
    """At most EVENT_BYTES_MAX bytes of the text, without NUL, which MongoDB keeps but few tools read."""
    return text.encode("utf-8", "replace")[:EVENT_BYTES_MAX].decode("utf-8", "ignore")


def amount(event: TrackingEvent, default_currency: str) -> Amount | None:
    """The money in the event: `revenue`, else `total`, of an order, its refund or a payment; None when there is none.

    Of a payment `amount` comes first.

    Rounded half to even to the currency's minor unit. The event has passed `refusal`.
    """
    given = next((value for name in _AMOUNTS.get(event.event, ()) if (value := _given(event, name))), None)
    number = _number(given) if given else None
    if number is None:
        return None
    named = _given(event, "currency")
    currency = named.string_value.strip().upper() if named else default_currency
    return Amount(currency, minor_units(number, currency))


def order_id(event: TrackingEvent) -> str | None:
    """The order an event belongs to, as the source names it."""
    return shop_id(event, "order_id")


def shop_id(event: TrackingEvent, name: str) -> str | None:
    """A property of a track call that is an id of the shop: a text, cut to ID_MAX characters, or a whole number."""
    value = event.properties.fields.get(name)
    if value is None or event.kind != TrackingEvent.KIND_TRACK:
        return None
    kind = value.WhichOneof("kind")
    if kind == "number_value" and value.number_value.is_integer():
        return str(int(value.number_value))
    return value.string_value[:ID_MAX] or None


def decimal(value: object) -> Decimal | None:
    """A number, or a text that is one, such as 12.50; None for anything else, and beyond AMOUNT_MAX."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(value.strip() if isinstance(value, str) else repr(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) <= AMOUNT_MAX else None


def minor_units(number: Decimal, currency: str) -> int:
    """Rounded half to even to the currency's minor unit. Raises InvalidArgument CURRENCY_UNKNOWN."""
    return int(number.scaleb(money.check_currency(currency)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _json(event: TrackingEvent) -> str:
    """The event as JSON, whatever is wrong with it: protobuf's own printer refuses instants past the year 9999."""
    told: dict[str, Any] = {}
    for field, value in event.ListFields():
        if isinstance(value, Struct):
            value = messages.plain(value)
        elif isinstance(value, Timestamp):
            value = {"seconds": value.seconds, "nanos": value.nanos}
        elif field.enum_type is not None:
            known = field.enum_type.values_by_number.get(value)
            value = known.name if known else value
        told[field.json_name] = value
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _size(event: TrackingEvent) -> Refusal | None:
    size = event.ByteSize()
    if size <= _SURELY_SMALL:
        return None
    if size <= 8 * EVENT_BYTES_MAX:
        size = len(_json(event).encode("utf-8", "replace"))
    if size <= EVENT_BYTES_MAX:
        return None
    return Refusal("EVENT_TOO_LARGE", "", "The event is larger than 32 KiB; send less of properties, traits, context.")


def _message_id(event: TrackingEvent) -> Refusal | None:
    if not event.message_id.strip():
        return Refusal("MESSAGE_ID_MISSING", "message_id", "Give every event an id that is unique for the source.")
    if len(event.message_id) > MESSAGE_ID_MAX:
        return Refusal("MESSAGE_ID_TOO_LONG", "message_id", f"At most {MESSAGE_ID_MAX} characters; shorten it.")
    return _nul("message_id", event.message_id)


def _kind(event: TrackingEvent) -> Refusal | None:
    if event.kind not in _KINDS:
        return Refusal("KIND_UNKNOWN", "kind", "Send identify, track, page, screen, group or alias.")
    if event.kind in _NAMED and not event.event.strip():
        return Refusal("EVENT_NAME_MISSING", "event", "A track call needs the event's name, such as Order Completed.")
    if len(event.event) > ID_MAX:
        return Refusal("EVENT_NAME_TOO_LONG", "event", f"At most {ID_MAX} characters; shorten it.")
    if event.kind == TrackingEvent.KIND_ALIAS and not (event.previous_id.strip() and event.user_id.strip()):
        missing = "previous_id" if event.user_id.strip() else "user_id"
        return Refusal("ALIAS_INCOMPLETE", missing, "An alias call needs both user_id and previous_id.")
    return _nul("event", event.event)


def _ids(event: TrackingEvent, block_list: BlockList) -> Refusal | None:
    for name in ("user_id", "anonymous_id", "previous_id", "group_id"):
        value = getattr(event, name)
        if len(value) > ID_MAX:
            return Refusal("IDENTIFIER_TOO_LONG", name, f"At most {ID_MAX} characters; send the source's own id.")
        if refused := _nul(name, value):
            return refused
    user_id, anonymous_id = event.user_id.strip(), event.anonymous_id.strip()
    if not user_id and not anonymous_id:
        return Refusal(
            "IDENTIFIER_MISSING", "user_id", "Give user_id or anonymous_id, so that it is known whose it is."
        )
    if user_id and block_list.blocks(Kind.USER_ID, user_id):
        return _blocked("user_id")
    if event.kind == TrackingEvent.KIND_ALIAS and block_list.blocks(Kind.USER_ID, event.previous_id):
        return _blocked("previous_id")
    if not user_id and block_list.blocks(Kind.ANONYMOUS_ID, anonymous_id):
        return _blocked("anonymous_id")
    return None


def _blocked(name: str) -> Refusal:
    return Refusal(
        "BLOCKED_IDENTIFIER",
        name,
        "The value stands for no one or for many people; send the person's own id, or leave it out.",
    )


def _time(event: TrackingEvent, now: datetime) -> Refusal | None:
    if not event.HasField("event_time"):
        return None
    try:
        when = event.event_time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        when = OLDEST - timedelta(days=1)
    if when < OLDEST:
        return Refusal("EVENT_TIME_INVALID", "event_time", "Not an instant since 1970; send RFC 3339 with an offset.")
    if when > now + FUTURE_MAX:
        return Refusal(
            "EVENT_TIME_IN_FUTURE", "event_time", "More than 24 hours in the future; set the clock of the sender."
        )
    return None


def _structs(event: TrackingEvent) -> Refusal | None:
    for name in ("traits", "properties", "context"):
        problem = struct_problem(getattr(event, name))
        if problem:
            return Refusal("VALUE_UNSTORABLE", name, problem)
    return None


def struct_problem(struct: Struct, depth: int = DEPTH_MAX) -> str | None:
    """Why these values cannot be stored, and how to mend it; None when they can."""
    if not depth:
        return f"Nested deeper than {DEPTH_MAX} levels; flatten it."
    for key, value in struct.fields.items():
        if "\0" in key:
            return "A name holds a NUL character; rename it."
        kind = value.WhichOneof("kind")
        problem = None
        if kind == "struct_value":
            problem = struct_problem(value.struct_value, depth - 1)
        elif kind == "list_value":
            problem = _list_problem(value, depth - 1)
        elif kind == "number_value" and value.number_value - value.number_value != 0:
            problem = "Holds a number that is not finite; leave it out."
        if problem:
            return problem
    return None


def _list_problem(value: Value, depth: int) -> str | None:
    if not depth:
        return f"Nested deeper than {DEPTH_MAX} levels; flatten it."
    for item in value.list_value.values:
        problem = None
        if item.HasField("struct_value"):
            problem = struct_problem(item.struct_value, depth - 1)
        elif item.HasField("list_value"):
            problem = _list_problem(item, depth - 1)
        if problem:
            return problem
    return None


def _money(event: TrackingEvent) -> Refusal | None:
    if event.event not in _AMOUNTS:
        return None
    for name in _AMOUNTS[event.event]:
        value = _given(event, name)
        if value is not None and _number(value) is None:
            return Refusal(
                "AMOUNT_INVALID", f"properties.{name}", "Neither a number nor a text such as 12.50, or too large."
            )
    currency = _given(event, "currency")
    if currency is not None and money.digits(currency.string_value.strip().upper()) is None:
        return Refusal("UNKNOWN_CURRENCY", "properties.currency", "Not an ISO 4217 code; send one such as EUR.")
    return None


def _given(event: TrackingEvent, name: str) -> Value | None:
    """A property, None when it is absent or null."""
    fields = event.properties.fields
    if name not in fields or fields[name].HasField("null_value"):
        return None
    return fields[name]


def _number(value: Value) -> Decimal | None:
    kind = value.WhichOneof("kind")
    return decimal(getattr(value, kind)) if kind in ("number_value", "string_value") else None


def _nul(name: str, value: str) -> Refusal | None:
    return Refusal("VALUE_UNSTORABLE", name, "Holds a NUL character; remove it.") if "\0" in value else None
