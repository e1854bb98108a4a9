"""Taking events in: acknowledged once they are durable; what cannot be taken is quarantined and named."""

from collections.abc import Iterator
from datetime import datetime

from rapport.identity.v1.identity_service_pb2 import (
    IngestEventsRequest,
    IngestEventsResponse,
    ListQuarantinedEventsRequest,
    UnreadableEvent,
)
from rapport.identity.v1.tracking_event_pb2 import TrackingEvent

import docstore
from chassis import clock, metric_names, telemetry
from chassis.errors import InvalidArgument
from docstore import filters, paging
from docstore.filters import FilterField
from identity import intake
from identity.settings import IdentitySettings
from identity.store import IngestionBatch, QuarantinedEvent
from identity.store.erasures import erased
from identity.store.ingestion import QUARANTINE_KEPT
from identity.usecases import applying
from identity.usecases.tenant import region_of_tenant

_FILTER = {
    "source": FilterField("string"),
    "reason": FilterField("string"),
    "message_id": FilterField("string"),
    "create_time": FilterField("timestamp"),
}


def ingest_events(request: IngestEventsRequest, settings: IdentitySettings) -> IngestEventsResponse:
    """Store the good events and quarantine the others.

    Raises InvalidArgument INVALID_BATCH for the wrong number of events or an unusable source: nothing is stored then.
    """
    _check(request)
    response = _store(request, settings)
    counter = telemetry.counter(metric_names.INGESTED)
    counter.add(response.accepted_count, {"rapport.ingest.outcome": "accepted"})
    counter.add(len(response.rejected_events), {"rapport.ingest.outcome": "quarantined"})
    return response


def _check(request: IngestEventsRequest) -> None:
    violations = []
    count = len(request.events) + len(request.unreadable_events)
    if not 1 <= count <= intake.EVENTS_MAX:
        violations.append(("events", f"1 to {intake.EVENTS_MAX} events a batch; these are {count}, split them"))
    if not intake.SOURCE.fullmatch(request.source):
        violations.append(
            ("source", "1 to 64 lower-case letters, digits, '-', '_' and '.', beginning with a letter or digit")
        )
    indexes = {bad.index for bad in request.unreadable_events}
    if len(indexes) < len(request.unreadable_events) or any(not 0 <= index < count for index in indexes):
        violations.append(("unreadable_events", "each names another index within the batch"))
    if violations:
        said = " ".join(f"{field}: {description}." for field, description in violations)
        raise InvalidArgument("INVALID_BATCH", said, violations=violations)


@docstore.command(None, replay=IngestEventsResponse.FromString)
def _store(request: IngestEventsRequest, settings: IdentitySettings) -> IngestEventsResponse:
    now = docstore.whole_milliseconds(clock.now())
    block_list = settings.block_list()
    response = IngestEventsResponse()
    accepted: list[TrackingEvent] = []
    quarantined: list[QuarantinedEvent] = []
    readable: list[tuple[QuarantinedEvent, TrackingEvent]] = []
    for index, event in _placed(request):
        if isinstance(event, UnreadableEvent):
            refused = intake.Refusal(event.reason or "UNREADABLE", event.field, event.description)
            text = intake.cut(event.body)
        else:
            found = intake.refusal(event, now, block_list)
            if found is None:
                if not event.HasField("event_time"):
                    event.event_time.FromDatetime(now)
                accepted.append(event)
                continue
            refused, text = found, intake.body(event)
        message_id = event.message_id[: intake.MESSAGE_ID_MAX]
        row = QuarantinedEvent.new(
            source=request.source,
            message_id=message_id,
            reason=refused.reason,
            field=refused.field,
            description=refused.description or "The event could not be read.",
            body=text,
            create_time=now,
            expire_time=now + QUARANTINE_KEPT,
        )
        quarantined.append(row)
        if isinstance(event, TrackingEvent):
            readable.append((row, event))
        response.rejected_events.add(
            index=index,
            message_id=message_id,
            reason=row.reason,
            field=row.field,
            description=row.description,
            quarantined_event=f"quarantinedEvents/{row.uid}",
        )
    _leave_out_erased(readable, request.source, now, settings)
    QuarantinedEvent.insert_many(quarantined)
    if accepted:
        payload = IngestEventsRequest(source=request.source, events=accepted).SerializeToString()
        batch = IngestionBatch.new(source=request.source, payload=payload, accepted_count=len(accepted))
        response.ingestion_batch = batch.insert().name
        response.accepted_count = len(accepted)
    return response


def _leave_out_erased(
    refused: list[tuple[QuarantinedEvent, TrackingEvent]], source: str, now: datetime, settings: IdentitySettings
) -> None:
    """Keeps nothing of refused events that carry an identifier of somebody who was erased, whenever they happened.

    The answer does not tell: it is the same for everybody.
    """
    if not refused:
        return
    region, block_list = region_of_tenant(settings), settings.block_list()
    evidence = [applying.evidence_of_refused(event, source, region, block_list) for _, event in refused]
    for place in erased(evidence, now):
        row, _ = refused[place]
        row.message_id, row.body = "", None


def _placed(request: IngestEventsRequest) -> Iterator[tuple[int, TrackingEvent | UnreadableEvent]]:
    """All events with their place in the batch as it was sent."""
    unreadable = {event.index: event for event in request.unreadable_events}
    readable = iter(request.events)
    for index in range(len(request.events) + len(unreadable)):
        yield index, unreadable[index] if index in unreadable else next(readable)


def get_ingestion_batch(uid: str) -> IngestionBatch:
    """A batch; kept for 7 days once applied. Raises NotFound."""
    return IngestionBatch.get(uid)


def list_quarantined_events(request: ListQuarantinedEventsRequest) -> tuple[list[QuarantinedEvent], str]:
    """Quarantined events, the newest first."""
    return paging.page(
        QuarantinedEvent,
        filter={"$and": [filters.parse(request.filter, _FILTER), {"expire_time": {"$gt": clock.now()}}]}
        if request.filter
        else {"expire_time": {"$gt": clock.now()}},
        order=[("create_time", -1)],
        request=request,
        bind={"filter": request.filter},
    )
