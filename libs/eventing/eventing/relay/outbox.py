"""Reading the unsent events of all aggregates, keeping facts, and removing what is out."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pymongo.errors
from pymongo import DeleteOne, UpdateOne, WriteConcern
from pymongo.collection import Collection
from rapport.options.v1 import options_pb2

import docstore
from chassis import clock, tenancy
from contracts import descriptors
from docstore.outbox import PURGED_AND_SENT
from eventing import sweeping
from eventing.pruning import erasure_types
from eventing.records import Fact, Tombstone

log = logging.getLogger(__name__)

Row = dict[str, Any]

# As in the partial index that docstore gives every aggregate.
_UNSENT: Row = {"outbox.0": {"$exists": True}}

_DOCUMENTS_PER_PASS = 1000
_EVENTS_PER_PASS = 2000
_BYTES_PER_PASS = 16 * 1024 * 1024
_MOST_HELD = 1000
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Source:
    """A document with unsent events: its collection, `_id`, whether it is a tombstone, and the events in order."""

    collection: str
    key: str
    purged: bool
    entries: list[Row]


class Outbox:
    """The unsent events of a service, all tenants together."""

    def __init__(self) -> None:
        self.collections = [cls._get_collection_name() for cls in docstore.aggregates()]
        self._pauses: dict[tuple[str, str], tuple[int, float]] = {}

    def read(self, collections: Sequence[str] | None = None) -> list[Source]:
        """The documents whose oldest events have waited longest, as many as one pass takes; by default everywhere."""
        found: list[Source] = []
        with docstore.platform_scope():
            for name in self.collections if collections is None else collections:
                found.extend(self._read_collection(name))
        return found

    @property
    def holds_back(self) -> bool:
        """Whether `read` leaves documents out for a while because the broker did not take all their events."""
        return bool(self._pauses)

    def oldest(self) -> str | None:
        """Id of the event that has waited longest, None when there is none."""
        found = []
        with docstore.platform_scope():
            for name in self.collections:
                row = docstore.platform_collection(name).find_one(_UNSENT, {"outbox.id": 1}, sort=[("outbox.time", 1)])
                found += [row["outbox"][0]["id"]] if row else []
        return min(found, default=None)

    def _read_collection(self, name: str) -> Iterator[Source]:
        now = time.monotonic()
        paused = [key for (owner, key), (_, until) in self._pauses.items() if owner == name and until > now]
        query = dict(_UNSENT)
        if paused:
            query["_id"] = {"$nin": paused}
        cursor = docstore.platform_collection(name).find(
            query, {"outbox": 1, "purged": 1}, sort=[("outbox.time", 1)], limit=_DOCUMENTS_PER_PASS
        )
        events = size = 0
        with cursor:
            for row in cursor:
                yield Source(name, row["_id"], bool(row.get("purged")), row["outbox"])
                events += len(row["outbox"])
                size += sum(len(entry["body"]) for entry in row["outbox"])
                if events >= _EVENTS_PER_PASS or size >= _BYTES_PER_PASS:
                    return

    def keep_facts(self, sources: Iterable[Source]) -> None:
        """Logs the FACT events for replay; repeating it changes nothing."""
        now = clock.real_now()
        rows = [
            {**entry, "_id": f"{entry['tenant']}/{entry['id']}", "uid": entry["id"], "publish_time": now}
            for source in sources
            for entry in source.entries
            if is_logged(entry["type"])
        ]
        for row in rows:
            del row["id"]
        if not rows:
            return
        with docstore.platform_scope():
            try:
                _bookkeeping(Fact).insert_many(rows, ordered=False)
            except pymongo.errors.BulkWriteError as error:
                if any(failed["code"] != 11000 for failed in error.details["writeErrors"]):
                    raise
        _forget_erased(rows)

    def remove(self, sources: Iterable[Source], settled: set[str]) -> None:
        """Takes the settled events (ids) out of their documents; pauses documents that have others left."""
        changes: dict[str, list[UpdateOne | DeleteOne]] = {}
        for source in sources:
            ids = [entry["id"] for entry in source.entries if entry["id"] in settled]
            self._note(source, complete=len(ids) == len(source.entries))
            if not ids:
                continue
            operations = changes.setdefault(source.collection, [])
            operations.append(UpdateOne({"_id": source.key}, {"$pull": {"outbox": {"id": {"$in": ids}}}}))
            if source.purged:
                operations.append(DeleteOne({"_id": source.key, **PURGED_AND_SENT}))
        with docstore.platform_scope():
            for name, operations in changes.items():
                # Ordered only where a deletion must follow its update.
                ordered = any(isinstance(operation, DeleteOne) for operation in operations)
                _bookkeeping(name).bulk_write(operations, ordered=ordered)

    def _note(self, source: Source, *, complete: bool) -> None:
        key = (source.collection, source.key)
        failures, _ = self._pauses.pop(key, (0, 0.0))
        if not complete and len(self._pauses) < _MOST_HELD:
            pause = min(_LONGEST_PAUSE_S, 0.5 * 2**failures)
            self._pauses[key] = (failures + 1, time.monotonic() + pause)


def _bookkeeping(target: type[Fact] | str) -> Collection[Row]:
    """A collection whose writes are not waited for until a majority has them.

    Safe, for writes last in the order they were made in: a removal that lasts finds its fact kept, and one that does
    not last is made again after its event was published again.
    """
    return docstore.platform_collection(target).with_options(write_concern=WriteConcern(w=1))


def _forget_erased(rows: Iterable[Row]) -> None:
    """Takes the erased out of rows just logged: an erasure may have swept the log after these events were read.

    After the logging, not before: then either that sweep finds the rows, or this finds its tombstones.
    """
    people = {
        f"{row['tenant']}/{name}"
        for row in rows
        if row["type"] not in erasure_types()
        for name in row.get("datasubjects") or ()
    }
    if not people:
        return
    erased: dict[str, set[str]] = {}
    with docstore.platform_scope():
        for row in docstore.platform_collection(Tombstone).find({"_id": {"$in": list(people)}}):
            erased.setdefault(row["tenant"], set()).add(row["uid"])
    for tenant, names in erased.items():
        with tenancy.service_context(tenant, method="relay"):
            sweeping.facts(frozenset(names))


def is_logged(event_type: str) -> bool:
    """True for events that are kept in the fact log: FACTs, and STATEs whose versions make a history.

    Unknown types are kept too: better too long than lost.
    """
    try:
        rule = descriptors.event_rule(descriptors.message_class(event_type).DESCRIPTOR)
    except KeyError:
        return True
    return rule is None or rule.kept or rule.kind == options_pb2.EventRule.KIND_FACT
