"""Reading timelines, and writing what other services tell."""

from collections.abc import Iterable
from datetime import UTC, datetime

from pymongo import UpdateOne
from rapport.identity.v1.identity_service_pb2 import ListTimelineEntriesRequest, SummarizeTimelineRequest

from chassis import context
from chassis.errors import InvalidArgument
from docstore import filters, paging
from docstore.connection import Row
from docstore.filters import FilterField
from identity.store import TimelineEntry
from identity.store.customers import of_members, profile_of
from identity.store.timeline import doubly_counted, totals

SUMMARY_MAX_S = 20.0
"""The longest a summary may take when the caller names no deadline."""

_FILTER = {
    "event": FilterField("string"),
    "source": FilterField("string"),
    "event_time": FilterField("timestamp"),
}


def list_timeline_entries(request: ListTimelineEntriesRequest) -> tuple[list[Row], str]:
    """What happened with all members of a profile, the newest first. Raises NotFound."""
    _, members = profile_of(request.parent.rpartition("/")[2])
    named = of_members(member.uid for member in members)
    wanted = filters.parse(request.filter, _FILTER)
    return paging.page(
        TimelineEntry.rows(),
        filter={"$and": [named, wanted]} if wanted else named,
        order=[("event_time", -1)],
        request=request,
        bind={"parent": request.parent, "filter": request.filter},
    )


def summarize_timeline(request: SummarizeTimelineRequest) -> tuple[int, int, dict[str, int]]:
    """Number of events of one name, of their customers, and minor units by currency.

    Raises InvalidArgument INVALID_INTERVAL when the interval is empty.
    """
    window: dict[str, datetime] = {}
    if request.HasField("start_time"):
        window["$gte"] = request.start_time.ToDatetime(UTC)
    if request.HasField("end_time"):
        window["$lt"] = request.end_time.ToDatetime(UTC)
    if len(window) == 2 and window["$gte"] >= window["$lt"]:
        raise InvalidArgument(
            "INVALID_INTERVAL",
            "start_time must be before end_time.",
            violations=[("end_time", "must be after start_time")],
        )
    remaining = context.current().remaining()
    max_time_ms = max(1, int(1000 * (SUMMARY_MAX_S if remaining is None else remaining)))
    events, customers, amounts = totals(request.event, window, max_time_ms)
    return events, customers - doubly_counted(request.event, window, max_time_ms), amounts


def add_entries(entries: Iterable[TimelineEntry]) -> None:
    """Put what other services tell into timelines, once for each uid."""
    operations = []
    for entry in entries:
        values = {key: value for key, value in entry.to_row().items() if key not in ("_id", "tenant", "uid")}
        operations.append(UpdateOne({"uid": entry.uid}, {"$setOnInsert": values}, upsert=True))
    TimelineEntry.rows().gather(operations)
