"""The timeline: everything that happened with a customer, one row each."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

import pymongo.errors
from mongoengine import DynamicField, LongField, StringField

import docstore
from docstore.connection import Row
from identity.store.customers import Customer, of_members

_CHUNK = 1000
_DUPLICATE_KEY = 11000


class TimelineEntry(docstore.Record):
    """One thing that happened. Its uid is a hash of source and message id, so repeats meet."""

    customer: Any = StringField(required=True)
    """Uid of the customer it happened to; a merge does not change it."""
    event: Any = StringField(required=True)
    source: Any = StringField(required=True)
    message_id: Any = StringField(required=True)
    event_time: Any = docstore.InstantField(required=True)
    create_time: Any = docstore.InstantField(required=True)
    currency_code: Any = StringField()
    amount_minor: Any = LongField()
    """Minor units of the currency."""
    order_id: Any = StringField()
    details: Any = DynamicField()
    identifier_kind: Any = StringField()
    """The kind of identifier that brought it to the customer."""
    batch: Any = StringField()
    """Uid of the ingestion batch that brought it: what a batch that is applied again has to tell as its own."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "timeline",
        "indexes": [
            {"fields": ["tenant", "customer", "event_time", "id"]},
            # Covers summaries.
            {"fields": ["tenant", "event", "event_time", "customer", "currency_code", "amount_minor"]},
        ],
    }

    @staticmethod
    def uid_of(source: str, message_id: str) -> str:
        """The row's uid."""
        return hashlib.sha256(f"{source}\x1f{message_id}".encode()).hexdigest()[:32]


def known_entries(uids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Which of these entries are stored, by uid; without their details."""
    found = TimelineEntry.rows().find({"uid": {"$in": list(uids)}}, {"details": 0})
    return {row["uid"]: row for row in found}


def insert_new(rows: Iterable[dict[str, Any]], batch: str) -> set[str]:
    """Insert the entries that are not there yet; returns the uids of those that `batch` has brought, now or before."""
    wanted = list(rows)
    uids = {row["uid"] for row in wanted}
    try:
        TimelineEntry.rows().insert_many(wanted, ordered=False)
    except pymongo.errors.BulkWriteError as error:
        failures = (error.details or {}).get("writeErrors", [])
        if any(failure["code"] != _DUPLICATE_KEY for failure in failures):
            raise
        taken = known_entries([wanted[failure["index"]]["uid"] for failure in failures])
        uids -= {uid for uid, row in taken.items() if row.get("batch") != batch}
    return uids


def newest(customers: Iterable[str], limit: int) -> list[Row]:
    """The newest entries of the members of a profile."""
    order = [("event_time", -1), ("_id", -1)]
    return list(TimelineEntry.rows().find(of_members(customers), sort=order, limit=limit))


def totals(event: str, window: dict[str, datetime], max_time_ms: int) -> tuple[int, int, dict[str, int]]:
    """Events of one name in a window (`$gte`, `$lt`): their number, that of their customers, minor units a currency.

    Customers are counted as they stood at the event; `doubly_counted` tells how many of them are one person.
    """
    rows = TimelineEntry.rows()
    match = _match(event, window)
    counted = rows.aggregate(
        [
            {"$match": match},
            {"$group": {"_id": "$currency_code", "events": {"$sum": 1}, "amount": {"$sum": "$amount_minor"}}},
        ],
        maxTimeMS=max_time_ms,
    )
    events, amounts = 0, {}
    for group in counted:
        events += group["events"]
        if group["_id"] is not None:
            amounts[group["_id"]] = group["amount"]
    customers = next(
        iter(
            rows.aggregate(
                [{"$match": match}, {"$group": {"_id": "$customer"}}, {"$count": "customers"}],
                maxTimeMS=max_time_ms,
                allowDiskUse=True,
            )
        ),
        {"customers": 0},
    )
    return events, customers["customers"], amounts


def doubly_counted(event: str, window: dict[str, datetime], max_time_ms: int) -> int:
    """By how many `totals` counts too many customers because profiles have several members with such events."""
    surplus = 0
    merged = Customer.rows().find({"merged": True}, {"_id": 0, "uid": 1, "canonical": 1}).sort("canonical")
    for chunk in _whole_profiles(merged):
        canonicals = {canonical for _, canonical in chunk}
        belongs = dict(chunk) | {uid: uid for uid in canonicals}
        present = TimelineEntry.rows().aggregate(
            [
                {"$match": {**_match(event, window), "customer": {"$in": list(belongs)}}},
                {"$group": {"_id": "$customer"}},
            ],
            maxTimeMS=max_time_ms,
        )
        found = [belongs[row["_id"]] for row in present]
        surplus += len(found) - len(set(found))
    return surplus


def _whole_profiles(merged: Iterable[dict[str, Any]]) -> Iterator[Sequence[tuple[str, str]]]:
    """Chunks of about a thousand, none of which ends inside a profile."""
    chunk: list[tuple[str, str]] = []
    for row in merged:
        if len(chunk) >= _CHUNK and row["canonical"] != chunk[-1][1]:
            yield chunk
            chunk = []
        chunk.append((row["uid"], row["canonical"]))
    if chunk:
        yield chunk


def _match(event: str, window: dict[str, datetime]) -> dict[str, Any]:
    return {"event": event, **({"event_time": window} if window else {})}
