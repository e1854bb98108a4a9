"""Segment payloads to tracking events.

Only what stands in the way of building an event is judged here (types, instants, size); whether the event makes sense
is for the identity service, which judges every event the same way, however it came.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rapport.identity.v1 import identity_service_pb2, tracking_event_pb2

from chassis import ids
from gateway.transcoder.scalars import WrongValue, json_type
from gateway.transcoder.well_known import fill_struct

EVENT_MAX_BYTES = 32 * 1024
"""Of one event as JSON, as Segment has it."""

SKEW_IGNORED = timedelta(minutes=1)
SKEW_MAX = timedelta(hours=24)

_TrackingEvent = tracking_event_pb2.TrackingEvent
KINDS: Mapping[str, int] = {
    "identify": _TrackingEvent.KIND_IDENTIFY,
    "track": _TrackingEvent.KIND_TRACK,
    "page": _TrackingEvent.KIND_PAGE,
    "screen": _TrackingEvent.KIND_SCREEN,
    "group": _TrackingEvent.KIND_GROUP,
    "alias": _TrackingEvent.KIND_ALIAS,
}
"""Segment's `type` -> kind."""

_STRINGS = (
    ("messageId", "message_id"),
    ("userId", "user_id"),
    ("anonymousId", "anonymous_id"),
    ("previousId", "previous_id"),
    ("groupId", "group_id"),
)
_UNDERSTOOD = frozenset(
    ("type", "event", "name", "category", "traits", "properties", "context", "timestamp", "originalTimestamp", "sentAt")
) | {name for name, _ in _STRINGS}
_DROPPED = frozenset(("writeKey", "receivedAt"))


class Unreadable(Exception):  # noqa: N818 - reads as what the event is
    """An event that cannot be made out: a stable reason, the field, and how to mend it; never a value."""

    def __init__(self, reason: str, field: str, description: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.description = description


def read(
    raw: Any,
    kind: int | None,
    *,
    received_at: datetime,
    sent_at: Any = None,
    context: Mapping[str, Any] | None = None,
    check_size: bool = True,
) -> Any:
    """The TrackingEvent of one payload.

    `kind` None takes it from `type`; `sent_at` and `context` are the batch's. `check_size` False spares measuring
    what cannot be too large. Raises Unreadable. Fields we do not know are kept in `context`.
    """
    if type(raw) is not dict:
        raise Unreadable("INVALID_TYPE", "", f"An event must be an object, not {json_type(raw)}.")
    if check_size and size_of(raw) > EVENT_MAX_BYTES:
        raise Unreadable(
            "EVENT_TOO_LARGE", "", f"The event is larger than {EVENT_MAX_BYTES} bytes of JSON; shorten it."
        )
    event: Any = _TrackingEvent()
    event.kind = _kind(raw) if kind is None else kind
    for name, field in _STRINGS:
        value = raw.get(name)
        if value is not None:
            setattr(event, field, _text(name, value))
    if not event.message_id:
        event.message_id = ids.uuid7()
    properties = _object(raw, "properties")
    if event.kind == _TrackingEvent.KIND_TRACK:
        _set_text(event, "event", raw, "event")
    elif event.kind in (_TrackingEvent.KIND_PAGE, _TrackingEvent.KIND_SCREEN):
        _set_text(event, "event", raw, "name")
        if (category := raw.get("category")) is not None:
            properties = {"category": category, **properties}
    _fill(event.properties, properties, "properties")
    _fill(event.traits, _object(raw, "traits"), "traits")
    _fill(event.context, _context(raw, context), "context")
    _set_time(event, raw, sent_at, received_at)
    return event


def unreadable_event(index: int, raw: Any, error: Unreadable) -> Any:
    """What is kept of an event that could not be made out."""
    message_id = raw.get("messageId") if type(raw) is dict else None
    known_id = message_id if type(message_id) is str and message_id.isprintable() else ""
    return identity_service_pb2.UnreadableEvent(
        index=index,
        message_id=known_id[:255].encode("utf-8", "ignore").decode(),
        reason=error.reason,
        field=error.field,
        description=error.description,
        body=json.dumps(raw)[:EVENT_MAX_BYTES],
    )


def size_of(raw: Any) -> int:
    """Bytes of an event as compact JSON in UTF-8."""
    return len(json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def _kind(raw: dict[str, Any]) -> int:
    name = raw.get("type")
    kind = KINDS.get(name) if type(name) is str else None
    if kind is None:
        raise Unreadable("UNKNOWN_TYPE", "type", f"`type` must be one of {', '.join(KINDS)}.")
    return kind


def _text(name: str, value: Any) -> str:
    # Many shops number their users; Segment's own libraries send such ids as they are.
    if type(value) is int or (type(value) is float and value.is_integer()):
        return str(int(value))
    if type(value) is not str:
        raise Unreadable("INVALID_TYPE", name, f"`{name}` must be a string, not {json_type(value)}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unreadable(
            "INVALID_TYPE", name, f"`{name}` holds half a surrogate pair, which is no character."
        ) from None
    return value


def _set_text(event: Any, field: str, raw: dict[str, Any], name: str) -> None:
    value = raw.get(name)
    if value is not None:
        setattr(event, field, _text(name, value))


def _object(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise Unreadable("INVALID_TYPE", name, f"`{name}` must be an object, not {json_type(value)}.")
    return value


def _context(raw: dict[str, Any], shared: Mapping[str, Any] | None) -> dict[str, Any]:
    context = _object(raw, "context")
    if shared:
        context = {**shared, **context}
    unknown = raw.keys() - _UNDERSTOOD - _DROPPED
    if unknown:
        context = {**{name: raw[name] for name in sorted(unknown)}, **context}
    return context


def _fill(struct: Any, value: dict[str, Any], name: str) -> None:
    if not value:
        return
    try:
        # The event lies two levels down in the request it is sent in.
        fill_struct(struct, value, 3)
    except WrongValue as error:
        raise Unreadable("INVALID_VALUE", name, f"`{name}`: {error}.") from None


def _set_time(event: Any, raw: dict[str, Any], batch_sent_at: Any, received_at: datetime) -> None:
    final, original = raw.get("timestamp"), raw.get("originalTimestamp")
    if final is None and original is None:
        return
    at = _instant("timestamp" if final is not None else "originalTimestamp", final if final is not None else original)
    if final is None or original is None:  # Both: somebody has corrected it already.
        sent = raw.get("sentAt", batch_sent_at)
        at += correction(sent, received_at)
    event.event_time.FromDatetime(at.replace(tzinfo=None))


def correction(sent_at: Any, received_at: datetime) -> timedelta:
    """What to add to a client's instants because its clock is off: `received - sent`, as Segment has it.

    Nothing within a minute (that is the way through the network, and an exact instant is worth more), and nothing
    beyond a day (no clock, but a recorded payload that is sent again, or a movable clock in a test).
    """
    try:
        sent = _parse(sent_at)
    except (TypeError, ValueError, OverflowError):
        return timedelta()
    skew = received_at - sent
    return skew if SKEW_IGNORED < abs(skew) <= SKEW_MAX else timedelta()


def _instant(name: str, value: Any) -> datetime:
    try:
        return _parse(value)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable(
            "INVALID_TIMESTAMP", name, f"`{name}` must be an ISO 8601 instant such as 2026-03-01T12:00:00.000Z."
        ) from None


def _parse(value: Any) -> datetime:
    parsed = datetime.fromisoformat(value)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
