"""Making ingested events visible: whose they are, what they tell of a customer, and the timeline.

First identities and profiles (one transaction, when there is anything to write), then the timeline. Both steps may be
repeated: a crash, or another runner at the same customers, changes nothing about the result. A timeline row names the
batch that brought it, so a batch that is applied again tells its own rows, and only those.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pymongo.errors
from rapport.identity.v1 import events_pb2
from rapport.identity.v1.identity_service_pb2 import IngestEventsRequest
from rapport.identity.v1.tracking_event_pb2 import TrackingEvent

import docstore
from chassis import clock, metric_names, money, telemetry
from chassis.errors import Aborted, Unavailable
from identity import intake, messages
from identity.domain.identifiers import BlockList, Identifier, Kind
from identity.domain.resolution import Evidence
from identity.settings import IdentitySettings
from identity.store import Customer, IngestionBatch, QuarantinedEvent, TimelineEntry
from identity.store.ingestion import QUARANTINE_KEPT
from identity.store.timeline import insert_new, known_entries
from identity.traits import Understood, understand
from identity.usecases import resolving
from identity.usecases.tenant import currency_of_tenant, region_of_tenant

_SINGLY_FROM_ATTEMPT = 3
_INFRASTRUCTURE = (pymongo.errors.ConnectionFailure, Unavailable, Aborted)

_NAMES = {
    TrackingEvent.KIND_IDENTIFY: "Identify",
    TrackingEvent.KIND_PAGE: "Page",
    TrackingEvent.KIND_SCREEN: "Screen",
    TrackingEvent.KIND_GROUP: "Group",
    TrackingEvent.KIND_ALIAS: "Alias",
}


@dataclass
class _Incoming:
    """An event with what is worked out about it."""

    event: TrackingEvent
    uid: str
    """Of its timeline entry."""
    time: datetime
    evidence: Evidence
    understood: Understood | None = None


@dataclass
class _Applied:
    """What has become of events."""

    rows: Sequence[tuple[TrackingEvent, Mapping[str, Any]]]
    """Events whose timeline entry this batch has brought, with the entry's row."""
    unread: int = 0


def apply_batch(batch: IngestionBatch, settings: IdentitySettings) -> tuple[()]:
    """Apply a claimed batch and emit `EventsTracked` of its events on it; for `docstore.batches.process`.

    From the third attempt on events are applied one by one, and one that fails is quarantined: a single event that
    nothing can be made of must not hold up the others.
    """
    events = IngestEventsRequest.FromString(batch.payload).events
    if batch.attempts < _SINGLY_FROM_ATTEMPT:
        applied = [_apply(batch, events, settings)]
    else:
        applied = [one for event in events if (one := _apply_or_quarantine(batch, event, settings)) is not None]
    rows = [row for one in applied for row in one.rows]
    batch.duplicate_count = batch.accepted_count - len(rows)
    batch.unread_value_count = sum(one.unread for one in applied)
    if rows:
        tracked = events_pb2.EventsTracked(events=(_tracked(batch, event, row) for event, row in rows))
        batch.emit(tracked, dict.fromkeys(one.customer for one in tracked.events))
    telemetry.counter(metric_names.INGESTED).add(batch.duplicate_count, {"rapport.ingest.outcome": "duplicate"})
    return ()


def _apply_or_quarantine(batch: IngestionBatch, event: TrackingEvent, settings: IdentitySettings) -> _Applied | None:
    try:
        return _apply(batch, [event], settings)
    except _INFRASTRUCTURE:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is about the event, the others must go on
        now = clock.now()
        values = {
            "source": batch.source,
            "message_id": event.message_id,
            "reason": "APPLY_FAILED",
            "description": f"The event could not be applied ({type(error).__name__}); report it to whoever runs this.",
            "body": intake.body(event),
            "create_time": now,
            "expire_time": now + QUARANTINE_KEPT,
        }
        uid = TimelineEntry.uid_of(batch.source, event.message_id)
        QuarantinedEvent.rows().update_one({"uid": uid}, {"$setOnInsert": values}, upsert=True)
        return None


def _apply(batch: IngestionBatch, events: Sequence[TrackingEvent], settings: IdentitySettings) -> _Applied:
    region, currency, block_list = region_of_tenant(settings), currency_of_tenant(settings), settings.block_list()
    incoming = [_read(event, batch.source, region, block_list) for event in _first_of_each(events)]
    known = known_entries([one.uid for one in incoming])
    mine = [(one.event, row) for one in incoming if (row := known.get(one.uid)) and row.get("batch") == batch.uid]
    new = [one for one in incoming if one.uid not in known]
    if not new:
        return _Applied(mine)
    news = [
        (index, one.understood.values, one.time)
        for index, one in enumerate(new)
        if one.understood and one.understood.values
    ]
    owners = resolving.settle([one.evidence for one in new], news, batch.source, settings)
    now = docstore.whole_milliseconds(clock.now())
    rows = {one.uid: _entry(batch, one, owner, now, currency) for one, owner in zip(new, owners, strict=True)}
    inserted = insert_new(rows.values(), batch.uid)
    mine += [(one.event, rows[one.uid]) for one in new if one.uid in inserted]
    return _Applied(mine, sum(len(one.understood.unread) for one in new if one.understood))


def _first_of_each(events: Iterable[TrackingEvent]) -> Iterable[TrackingEvent]:
    """Without repeats of a message id inside the batch."""
    first: dict[str, TrackingEvent] = {}
    for event in events:
        first.setdefault(event.message_id, event)
    return first.values()


def _read(event: TrackingEvent, source: str, region: str, block_list: BlockList) -> _Incoming:
    time = docstore.whole_milliseconds(event.event_time.ToDatetime(UTC))
    strong: list[Identifier] = []
    weak: list[Identifier] = []
    user_id, anonymous_id = event.user_id.strip(), event.anonymous_id.strip()
    if user_id:
        strong.append(Identifier(Kind.USER_ID, source, user_id))
    if anonymous_id and not block_list.blocks(Kind.ANONYMOUS_ID, anonymous_id):
        weak.append(Identifier(Kind.ANONYMOUS_ID, source, anonymous_id))
    understood = None
    if event.kind == TrackingEvent.KIND_IDENTIFY:
        understood = understand(messages.plain(event.traits), region, block_list)
        strong += understood.identifiers
    previous = event.previous_id.strip() if event.kind == TrackingEvent.KIND_ALIAS else ""
    evidence = Evidence(event.message_id, time, tuple(strong), tuple(weak), previous)
    return _Incoming(event, TimelineEntry.uid_of(source, event.message_id), time, evidence, understood)


def _entry(
    batch: IngestionBatch, one: _Incoming, owner: resolving.Owner, now: datetime, currency: str
) -> dict[str, Any]:
    event = one.event
    customer, identifier = owner
    row: dict[str, Any] = {
        "uid": one.uid,
        "customer": customer,
        "event": event.event or _NAMES[event.kind],
        "source": batch.source,
        "message_id": event.message_id,
        "event_time": one.time,
        "create_time": now,
        "identifier_kind": identifier.kind.value,
        "batch": batch.uid,
    }
    told = event.traits if event.kind in (TrackingEvent.KIND_IDENTIFY, TrackingEvent.KIND_GROUP) else event.properties
    if told.fields:
        row["details"] = messages.plain(told)
    if found := intake.amount(event, currency):
        row |= {"currency_code": found.currency_code, "amount_minor": found.minor}
    if order := intake.order_id(event):
        row["order_id"] = order
    return row


def _tracked(batch: IngestionBatch, event: TrackingEvent, row: Mapping[str, Any]) -> events_pb2.TrackedEvent:
    tracked = events_pb2.TrackedEvent(
        customer=Customer.described(row["customer"]),
        event=row["event"],
        source=batch.source,
        message_id=event.message_id,
        event_time=event.event_time,
        order_id=row.get("order_id", ""),
        kind=TrackingEvent.Kind.Name(event.kind),
    )
    if "currency_code" in row:
        tracked.amount.CopyFrom(money.from_minor(row["amount_minor"], row["currency_code"]))
    return tracked
