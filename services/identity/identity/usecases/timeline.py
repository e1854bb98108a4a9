"""Reading timelines, and writing what other services tell."""

from datetime import UTC, datetime
from typing import Any

from rapport.identity.v1.identity_service_pb2 import ListTimelineEntriesRequest, SummarizeTimelineRequest

from chassis import context
from chassis.errors import InvalidArgument
from docstore import filters, paging
from docstore.filters import FilterField
from identity.store import TimelineEntry
from identity.store.customers import canonical_of, profile_members
from identity.store.timeline import doubly_counted, totals

SUMMARY_MAX_S = 20.0
"""The longest a summary may take when the caller names no deadline."""

_FILTER = {
    "event": FilterField("string"),
    "source": FilterField("string"),
    "event_time": FilterField("timestamp"),
}


def list_timeline_entries(request: ListTimelineEntriesRequest) -> tuple[list[TimelineEntry], str]:
    """What happened with all members of a profile, the newest first. Raises NotFound."""
    canonical = canonical_of(request.parent.rpartition("/")[2])
    members = sorted(member.uid for member in profile_members([canonical.uid]))
    named: dict[str, Any] = {"customer": members[0] if len(members) == 1 else {"$in": members}}
    wanted = filters.parse(request.filter, _FILTER)
    return paging.page(
        TimelineEntry,
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


def add_entry(entry: TimelineEntry) -> None:
    """Put what another service tells into a customer's timeline, once for each uid."""
    row = entry.to_row()
    values = {key: value for key, value in row.items() if key not in ("_id", "tenant", "uid")}
    TimelineEntry.rows().update_one({"uid": entry.uid}, {"$setOnInsert": values}, upsert=True)
