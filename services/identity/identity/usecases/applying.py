"""Making ingested events visible: whose they are, what they tell of a customer, and the timeline.

First identities and profiles (one transaction, when there is anything to write), then the timeline. Both steps may be
repeated: a crash, or another runner at the same customers, changes nothing about the result. A timeline row names the
batch that brought it, so a batch that is applied again tells its own rows, and only those.

Events about people who were erased are quarantined without anything of theirs (`ERASED_PERSON`). Only here, not when
they are taken in: the answer must not tell whoever sends that a person was erased, for write keys of shops are public.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pymongo.errors
from pymongo import UpdateOne
from rapport.identity.v1 import events_pb2
from rapport.identity.v1.identity_service_pb2 import IngestEventsRequest
from rapport.identity.v1.tracking_event_pb2 import TrackingEvent

import docstore
from chassis import clock, metric_names, money, telemetry
from chassis.errors import Aborted, Unavailable
from eventing import tombstones
from identity import intake, messages, tracked_payments, tracked_products
from identity.domain.identifiers import BlockList, Identifier, Kind
from identity.domain.resolution import Evidence
from identity.settings import IdentitySettings
from identity.store import Customer, IngestionBatch, QuarantinedEvent, TimelineEntry
from identity.store.ingestion import QUARANTINE_KEPT
from identity.store.timeline import insert_new, known_entries
from identity.traits import Understood, understand
from identity.usecases import resolving
from identity.usecases.tenant import currency_of_tenant, region_of_tenant

ERASED_PERSON = "ERASED_PERSON"
_SINGLY_FROM_ATTEMPT = 3
_INFRASTRUCTURE = (pymongo.errors.ConnectionFailure, Unavailable, Aborted)

_NAMES = {
    TrackingEvent.KIND_IDENTIFY: "Identify",
    TrackingEvent.KIND_PAGE: "Page",
    TrackingEvent.KIND_SCREEN: "Screen",
    TrackingEvent.KIND_GROUP: "Group",
    TrackingEvent.KIND_ALIAS: "Alias",
}


Numbered = tuple[int, TrackingEvent]
"""An event with its place in the batch."""


@dataclass
class Incoming:
    """An event with what is worked out about it."""

    place: int
    """In the batch."""
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
    erased: int = 0
    """How many events are about people who were erased."""


def apply_batch(batch: IngestionBatch, settings: IdentitySettings) -> tuple[()]:
    """Apply a claimed batch and emit `EventsTracked` of its events on it; for `docstore.batches.process`.

    From the third attempt on events are applied one by one, and one that fails is quarantined: a single event that
    nothing can be made of must not hold up the others.
    """
    events = list(enumerate(IngestEventsRequest.FromString(batch.payload).events))
    if batch.attempts < _SINGLY_FROM_ATTEMPT:
        applied = [_apply(batch, events, settings)]
    else:
        applied = [one for event in events if (one := _apply_or_quarantine(batch, event, settings)) is not None]
    rows = [row for one in applied for row in one.rows]
    erased = sum(one.erased for one in applied)
    batch.duplicate_count = len(events) - len(rows) - erased
    rows = _of_living(rows)
    batch.unread_value_count = sum(one.unread for one in applied)
    if rows:
        tracked = events_pb2.EventsTracked(events=(_tracked(batch, event, row) for event, row in rows))
        batch.emit(tracked, dict.fromkeys(one.customer for one in tracked.events))
    telemetry.counter(metric_names.INGESTED).add(batch.duplicate_count, {"rapport.ingest.outcome": "duplicate"})
    telemetry.counter(metric_names.INGESTED).add(erased, {"rapport.ingest.outcome": "quarantined"})
    return ()


def _of_living(
    rows: Sequence[tuple[TrackingEvent, Mapping[str, Any]]],
) -> list[tuple[TrackingEvent, Mapping[str, Any]]]:
    """Takes back the entries of people who were erased while their events were applied; returns the others.

    Either the erasure found an entry, or the entry was written after the tombstones were, which are looked at now.
    """
    gone = tombstones.erased({Customer.described(row["customer"]) for _, row in rows})
    if gone:
        uids = [name.rpartition("/")[2] for name in gone]
        TimelineEntry.rows().delete_many({"customer": {"$in": uids}})
    return [(event, row) for event, row in rows if Customer.described(row["customer"]) not in gone]


def _apply_or_quarantine(batch: IngestionBatch, numbered: Numbered, settings: IdentitySettings) -> _Applied | None:
    event = numbered[1]
    try:
        return _apply(batch, [numbered], settings)
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


def quarantine_erased(batch: str, source: str, places: Iterable[int]) -> None:
    """Notes that events of a batch (uid) are about people who were erased: their places, and nothing of theirs."""
    now = clock.now()
    operations = []
    for place in places:
        values = {
            "source": source,
            "reason": ERASED_PERSON,
            "description": f"Event {place} of ingestionBatches/{batch} is about a person who was erased; "
            "it happened or came before that.",
            "create_time": now,
            "expire_time": now + QUARANTINE_KEPT,
        }
        operations.append(
            UpdateOne({"uid": TimelineEntry.uid_of(batch, str(place))}, {"$setOnInsert": values}, upsert=True)
        )
    QuarantinedEvent.rows().bulk_write(operations)


def _apply(batch: IngestionBatch, events: Sequence[Numbered], settings: IdentitySettings) -> _Applied:
    region, currency, block_list = region_of_tenant(settings), currency_of_tenant(settings), settings.block_list()
    incoming = [read(numbered, batch.source, region, block_list) for numbered in _first_of_each(events)]
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
    owners = resolving.settle([one.evidence for one in new], news, batch.source, batch.create_time, settings)
    now = docstore.whole_milliseconds(clock.now())
    owned = [(one, owner) for one, owner in zip(new, owners, strict=True) if owner]
    erased = [one.place for one, owner in zip(new, owners, strict=True) if not owner]
    quarantine_erased(batch.uid, batch.source, erased)
    rows = {one.uid: _entry(batch, one, owner, now, currency) for one, owner in owned}
    inserted = insert_new(rows.values(), batch.uid) if rows else set()
    mine += [(one.event, rows[one.uid]) for one, _ in owned if one.uid in inserted]
    return _Applied(mine, sum(len(one.understood.unread) for one, _ in owned if one.understood), len(erased))


def _first_of_each(events: Iterable[Numbered]) -> Iterable[Numbered]:
    """Without repeats of a message id inside the batch."""
    first: dict[str, Numbered] = {}
    for numbered in events:
        first.setdefault(numbered[1].message_id, numbered)
    return first.values()


def read(numbered: Numbered, source: str, region: str, block_list: BlockList) -> Incoming:
    """What an accepted event says."""
    place, event = numbered
    time = docstore.whole_milliseconds(event.event_time.ToDatetime(UTC))
    understood = None
    if event.kind == TrackingEvent.KIND_IDENTIFY:
        understood = understand(messages.plain(event.traits), region, block_list)
    found = _evidence(event, source, time, understood, block_list)
    return Incoming(place, event, TimelineEntry.uid_of(source, event.message_id), time, found, understood)


def evidence_of_refused(event: TrackingEvent, source: str, region: str, block_list: BlockList) -> Evidence:
    """What an event that cannot be accepted says about who it is; it counts as old."""
    understood = understand(messages.plain(event.traits), region, block_list)
    if not event.user_id.strip():
        event = TrackingEvent(kind=event.kind, user_id=event.previous_id, anonymous_id=event.anonymous_id)
    return _evidence(event, source, intake.OLDEST, understood, block_list)


def _evidence(
    event: TrackingEvent, source: str, time: datetime, understood: Understood | None, block_list: BlockList
) -> Evidence:
    strong: list[Identifier] = []
    weak: list[Identifier] = []
    user_id, anonymous_id = event.user_id.strip(), event.anonymous_id.strip()
    if user_id:
        strong.append(Identifier(Kind.USER_ID, source, user_id))
    if anonymous_id and not block_list.blocks(Kind.ANONYMOUS_ID, anonymous_id):
        weak.append(Identifier(Kind.ANONYMOUS_ID, source, anonymous_id))
    if understood:
        strong += understood.identifiers
    previous = event.previous_id.strip() if event.kind == TrackingEvent.KIND_ALIAS else ""
    return Evidence(event.message_id, time, tuple(strong), tuple(weak), previous)


def _entry(
    batch: IngestionBatch, one: Incoming, owner: resolving.Owner, now: datetime, currency: str
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
        subscription_id=intake.shop_id(event, "subscription_id"),
    )
    if event.kind == TrackingEvent.KIND_TRACK and event.event in tracked_products.EVENTS:
        # Entries that were there before come without their details.
        properties = row.get("details") or messages.plain(event.properties)
        tracked_products.tell(properties, row.get("currency_code", ""), tracked)
    if "currency_code" in row:
        tracked.amount.CopyFrom(money.from_minor(row["amount_minor"], row["currency_code"]))
    tracked_payments.tell(event, tracked)
    return tracked
